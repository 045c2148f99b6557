#!/bin/sh
# The main job on a fresh Debian 12: installs what is missing, builds, and measures what each
# quantization costs in quality (of the small trained model in models/, on 100 items a skill) and
# how fast it is on this machine (of files with the shape of Llama 3.2 1B and random weights, about
# 6 GB in ~/.cache/brink). No download. Arguments are passed to qbench instead of its defaults
# here: --types Q4_K_M, -m FILE, --delete-cache, ...
set -eu
cd "$(dirname "$0")/.."
scripts/packages.sh
scripts/build.sh release qbench qrun qinfo qeval quantize
bin=build/release/bin
results=build/release/demo.sqlite
tasks=models/tasks
if [ $# -eq 0 ]; then
  rm -f "$results"*
  $bin/qeval sweep -m models/brink-skills-f16.gguf --quants all --activations f32 \
    -f models/text/heldout.txt -c 256 --parse-special --limit 100 \
    --task $tasks/facts.jsonl --grader exact --task $tasks/arithmetic.jsonl --grader gsm8k \
    --task $tasks/extraction.jsonl --grader json --task $tasks/code.jsonl --grader gsm8k \
    --task $tasks/debugging.jsonl --grader exact --no-speed --store "$results"
  $bin/qeval report --store "$results" -o build/release/demo.html >/dev/null
  echo
  echo "The same with pairwise comparisons and verdicts: build/release/demo.html"
  echo
  echo "Speed on this machine: Llama 3.2 1B's shape, random weights"
  set -- --synthetic llama-3.2-1b --types Q8_0,Q6_K,Q5_K_M,Q4_K_M,Q4_0,Q3_K_M,Q2_K -p 256 -n 32 -r 3
fi
exec $bin/qbench "$@"
