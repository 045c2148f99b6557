#!/bin/sh
# Installs brink from BUILD into a scratch prefix, builds the embedding program against what was
# installed, and runs it on MODEL. With --report it also prints what embedding costs: compile time
# of a unit that only uses the interface, of the implementation, and the size of the program.
# Usage: run.sh BUILD MODEL [--report]
set -eu
build=$(cd "$1" && pwd)
model=$2
report=${3:-}
source=$(cd "$(dirname "$0")" && pwd)
# Always the same folder, so that a compiler cache knows the files from the last time.
scratch=$build/embed
rm -rf "$scratch"
mkdir "$scratch"
trap 'rm -rf "$scratch"' EXIT INT TERM

cmake --install "$build" --prefix "$scratch/prefix" >"$scratch/log" 2>&1 ||
  { cat "$scratch/log"; exit 1; }
# Without the source tree: only what was installed can be found.
cp "$source"/*.cc "$source"/*.h "$source/CMakeLists.txt" "$scratch/"
# The kernels are not what is tested here, so they are compiled quickly; reports use the defaults.
type=${report:+Release}
launcher=$(command -v ccache || true)
cmake -S "$scratch" -B "$scratch/build" -DCMAKE_PREFIX_PATH="$scratch/prefix" \
  -DCMAKE_BUILD_TYPE="${type:-None}" ${launcher:+-DCMAKE_CXX_COMPILER_LAUNCHER="$launcher"} \
  >"$scratch/log" 2>&1 || { cat "$scratch/log"; exit 1; }
cmake --build "$scratch/build" --parallel "$(nproc)" >"$scratch/log" 2>&1 || { cat "$scratch/log"; exit 1; }

output=$("$scratch/build/embed" "$model" "Once upon a time")
[ -n "$output" ] || { echo "the program printed nothing"; exit 1; }
echo "embedding program printed: $output"
if "$scratch/build/embed" "$scratch/none.gguf" x 2>"$scratch/error"; then
  echo "a missing file was no error"
  exit 1
fi
grep -q '^embed: .*none.gguf' "$scratch/error"

# Without CMake: one command, one unit that defines BRINK_IMPLEMENTATION.
if [ -n "$report" ]; then
  cxx=${CXX:-c++}
  seconds() {
    begin=$(date +%s.%N)
    "$@"
    end=$(date +%s.%N)
    echo "$end $begin" | awk '{printf "%.1f s\n", $1 - $2}'
  }
  include="-I$scratch/prefix/include"
  echo "#define BRINK_IMPLEMENTATION
#include <brink/brink.h>" >"$scratch/implementation.cc"
  printf 'unit that includes brink.h:  '
  seconds "$cxx" -std=c++20 -O2 "$include" -c "$scratch/describe.cc" -o "$scratch/describe.o"
  printf 'unit with the implementation: '
  seconds "$cxx" -std=c++20 -O2 -ffp-contract=off "$include" -c "$scratch/implementation.cc" \
    -o "$scratch/implementation.o"
  "$cxx" -std=c++20 -O2 "$include" "$scratch/main.cc" "$scratch/describe.o" \
    "$scratch/implementation.o" -lhwy -pthread -o "$scratch/embed"
  "$scratch/embed" "$model" "Once upon a time" >/dev/null
  strip "$scratch/embed"
  echo "program, stripped:           $(stat -c %s "$scratch/embed") bytes"
fi
