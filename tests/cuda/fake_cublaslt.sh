#!/usr/bin/env bash
# Builds the stand-in for libcublasLt.so.12 into a directory: fake_cublaslt.sh DIRECTORY. Needs g++.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
command -v g++ >/dev/null || { echo "g++ is not installed: the fake cuBLASLt cannot be built" >&2; exit 1; }
mkdir -p "$1"
built=$(mktemp "$1/libcublasLt.XXXXXX")
# renamed into place, so that a program that loads it meanwhile finds a whole one
g++ -O2 -std=c++17 -shared -fPIC -fvisibility=hidden "$here/fake_cublaslt.cpp" -o "$built"
chmod +x "$built"
mv "$built" "$1/libcublasLt.so.12"
