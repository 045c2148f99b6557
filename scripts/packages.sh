#!/bin/sh
# Installs what is missing of the Debian packages that building brink takes; with the argument
# "tests" also a Vulkan driver for the CPU and the validation layer. Needs root only when something
# is missing.
set -eu
packages="g++ cmake ninja-build ccache libhwy-dev libxxhash-dev libcli11-dev nlohmann-json3-dev
  libsqlite3-dev libseccomp-dev libgtest-dev glslang-tools spirv-tools libvulkan-dev"
[ "${1:-}" != tests ] || packages="$packages mesa-vulkan-drivers vulkan-validationlayers
  python3-numpy python3-torch libopenblas0 chromium fonts-dejavu-core"
missing=""
for package in $packages; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
    missing="$missing $package"
done
[ -n "$missing" ] || exit 0
echo "installing:$missing"
as_root=""
[ "$(id -u)" = 0 ] || as_root=sudo
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -q
# shellcheck disable=SC2086  # a list of words
$as_root apt-get install -q -y --no-install-recommends $missing
