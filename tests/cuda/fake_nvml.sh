#!/usr/bin/env bash
# Builds the stand-in for libnvidia-ml.so.1 into a directory: fake_nvml.sh DIRECTORY. Needs a C compiler.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
compiler=$(command -v gcc || command -v cc) || { echo "no C compiler is installed: the fake NVML cannot be built" >&2; exit 1; }
mkdir -p "$1"
built=$(mktemp "$1/libnvidia-ml.XXXXXX")
# renamed into place, so that a program that loads it meanwhile finds a whole one
"$compiler" -O1 -std=gnu11 -Wall -Wextra -Werror -shared -fPIC -fvisibility=hidden "$here/fake_nvml.c" -o "$built"
chmod +x "$built"
mv "$built" "$1/libnvidia-ml.so.1"
