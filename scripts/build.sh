#!/bin/sh
# Configures and builds a preset of CMakePresets.json: build.sh PRESET [-DNAME=VALUE] [TARGET...]
set -eu
cd "$(dirname "$0")/.."
preset=$1
shift
setting=
case ${1:-} in
  -D*)
    setting=$1
    shift
    ;;
esac
if command -v ninja >/dev/null; then
  export CMAKE_GENERATOR=Ninja
fi
cmake --preset "$preset" ${setting:+"$setting"} >/dev/null
cmake --build --preset "$preset" --parallel "$(nproc)" ${1:+--target "$@"}
