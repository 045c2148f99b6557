#!/bin/sh
# The main job on a fresh Debian 12: installs what is missing, builds, and measures on this machine
# how fast a model of Llama 3.2 1B's shape runs in each quantization. No download: the model files
# are synthetic, about 6 GB in ~/.cache/brink. Arguments are passed to qbench: --types Q4_K_M,
# -m FILE, --delete-cache, ...
set -eu
cd "$(dirname "$0")/.."
scripts/packages.sh
scripts/build.sh release qbench qrun qinfo
if [ $# -eq 0 ]; then
  set -- --synthetic llama-3.2-1b --types Q8_0,Q6_K,Q5_K_M,Q4_K_M,Q4_0,Q3_K_M,Q2_K -p 256 -n 32 -r 3
fi
exec build/release/bin/qbench "$@"
