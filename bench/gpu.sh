#!/bin/sh
# Measures the Vulkan backend on this machine's GPU: devices, tests, rates of two models in several
# types, and where the time goes. Needs nothing but built programs:
#
#   bench/gpu.sh [--bin FOLDER] [--out FOLDER] [--device NAME] [--peer LLAMA_BENCH]
#
# --bin: the folder of qbench and qinfo (build/release/bin); tests are looked for in ../tests.
# --peer: a llama-bench built with its Vulkan backend, run on the same files in turn.
set -eu
cd "$(dirname "$0")/.."
bin=build/release/bin
out=build/gpu
device=""
peer=""
while [ $# -gt 0 ]; do
  case "$1" in
    --bin) bin=$2 ;;
    --out) out=$2 ;;
    --device) device=$2 ;;
    --peer) peer=$2 ;;
    *)
      echo "gpu.sh: unknown argument '$1'" >&2
      exit 2
      ;;
  esac
  shift 2
done
[ -x "$bin/qbench" ] || { echo "gpu.sh: no qbench in $bin: build it first" >&2; exit 1; }
mkdir -p "$out"

"$bin/qinfo" --devices | tee "$out/devices.txt"
for test in "$bin"/../tests/vulkan_*_test; do
  [ -x "$test" ] || continue
  echo "== $(basename "$test")"
  "$test" >"$out/$(basename "$test").txt" 2>&1 || { tail -20 "$out/$(basename "$test").txt"; failed=1; }
done

# Products alone, with several cuts of the matrix-vector shaders.
if [ -x "$bin/shaders" ]; then
  "$bin/shaders" --all-shapes ${device:+--device "$device"} | tee "$out/shaders.txt"
fi

shapes=llama-3.2-1b,llama-3.1-8b
types=Q8_0,Q4_K_M,Q6_K
vulkan="--backend vulkan"
[ -z "$device" ] || vulkan="$vulkan --device $device"
# shellcheck disable=SC2086  # a list of words
"$bin/qbench" --synthetic $shapes --types $types $vulkan -p 512 -n 128 -r 5 --json >"$out/rates.json"
# Prompts by the other two kinds of tiles: 8-bit dot products, f32.
# shellcheck disable=SC2086
BRINK_VULKAN_COOPERATIVE=off "$bin/qbench" --synthetic $shapes --types $types $vulkan -p 512 -n 0 \
  -r 5 --json >"$out/rates-int8.json"
# shellcheck disable=SC2086
"$bin/qbench" --synthetic $shapes --types $types $vulkan --activations f32 -p 512 -n 0 -r 3 \
  --json >"$out/rates-f32.json"
# shellcheck disable=SC2086
"$bin/qbench" --synthetic $shapes --types $types $vulkan -p 512 -n 32 -r 1 --profile |
  tee "$out/profile.txt"

if [ -n "$peer" ]; then
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/brink
  for round in 1 2 3; do
    for file in "$cache"/llama-3*-Q8_0.synthetic*.gguf "$cache"/llama-3*-Q4_K_M.synthetic*.gguf \
      "$cache"/llama-3*-Q6_K.synthetic*.gguf; do
      echo "== round $round $file"
      "$peer" -m "$file" -ngl 99 -fa 1 -p 512 -n 128 -r 1
      # shellcheck disable=SC2086
      "$bin/qbench" -m "$file" $vulkan -p 512 -n 128 -r 1
    done
  done | tee "$out/peer.txt"
fi
exit "${failed:-0}"
