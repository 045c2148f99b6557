#!/bin/sh
# Installs what is missing, builds and runs all tests. With BRINK_CI=1: warnings are errors, the
# reference data must be there, and the tests run a second time under AddressSanitizer and
# UndefinedBehaviorSanitizer.
set -eu
cd "$(dirname "$0")/.."
scripts/packages.sh tests

run() {
  scripts/build.sh "$@"
  ctest --preset "$1" -j "$(nproc)"
}

if [ -z "${BRINK_CI:-}" ]; then
  run release
  exit
fi
# The sanitizers first, so that the last lines are the summary of what users run.
run ci-asan
# Both have the same shaders.
run ci-release "-DBRINK_SHADERS_INCLUDE=$PWD/build/ci-asan/generated"
