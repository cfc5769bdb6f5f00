#!/usr/bin/env bash
# Builds the stand-in for libcuda.so.1 into a directory: fake_driver.sh DIRECTORY. Needs g++.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
command -v g++ >/dev/null || { echo "g++ is not installed: the fake driver cannot be built" >&2; exit 1; }
mkdir -p "$1"
built=$(mktemp "$1/libcuda.XXXXXX")
# renamed into place, so that a program that loads it meanwhile finds a whole one
g++ -O2 -std=c++17 -shared -fPIC -fvisibility=hidden -Wno-unknown-pragmas -Wno-attributes \
    -I "$here" -x c++ "$here/fake_driver.cpp" -I "$here/../../cuda" -o "$built"
chmod +x "$built"
mv "$built" "$1/libcuda.so.1"
