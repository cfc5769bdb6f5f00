#!/usr/bin/env bash
# Each edit plants one bug in a kernel; the checks must notice it. mutate.sh BUILD_DIRECTORY
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kernels=$here/../../cuda
work=$(mktemp -d "$1/mutants.XXXXXX")
trap 'rm -rf "$work"' EXIT
planted=0

# plant PART FILE EDIT, in a directory of its own; the outcome is its file `said`
plant() {
    local at=$4 bug="$2: $3"
    cp "$kernels"/*.cu "$kernels"/*.cuh "$at"
    sed -i "$3" "$at/$2"
    if cmp -s "$at/$2" "$kernels/$2"; then
        echo "FAILED the edit does not apply: $bug"
    elif ! g++ -O1 -std=c++17 -w -I "$here" -I "$at" "$here/kernels.cpp" -o "$at/kernels" >"$at/out" 2>&1; then
        echo "FAILED to build: $bug"
    else
        # the checks end by themselves where threads are stuck, so a time-out is no finding
        (timeout 120 "$at/kernels" "$1" first) >"$at/out" 2>&1
        case $? in
        0) echo "FAILED unnoticed: $bug" ;;
        124) echo "FAILED still running after 120 s: $bug" ;;
        *) echo "ok     noticed: $bug" ;;
        esac
    fi >"$at/said"
}

try() {
    while (($(jobs -rp | wc -l) >= $(nproc))); do wait -n; done
    local at=$work/$((++planted))
    mkdir "$at"
    plant "$@" "$at" &
}

try matrices hash.cuh 's/r < 4; r++/r < 3; r++/'
try matrices stream.cu 's/row \* blocks_per_row + i % blocks_per_row/row * blocks_per_row/'
try hashes stream.cu 's/i % per_row, 64/i, 64/'
try hashes stream.cu 's/left + 1 == nodes/left == nodes/'
try hashes stream.cu 's/(per_row == 1 ? B3_ROOT : 0)/0/'
try mma gemm_mma.cu 's/cp_async_wait<STAGES - 2>/cp_async_wait<STAGES - 1>/'
try mma gemm_mma.cu 's/a_q = lane >> 4/a_q = (lane >> 3) \& 1/'
try mma gemm_mma.cu 's/in_group % height, tile_n = in_group \/ height/in_group % GROUP, tile_n = in_group \/ GROUP/'
try wgmma gemm_wgmma.cu 's/wgmma_wait<1>();/wgmma_wait<2>();/'
try wgmma gemm_wgmma.cu 's/mbar_init(empty(s), 16)/mbar_init(empty(s), 8)/'
try wgmma gemm_wgmma.cu 's/step > 0 \&\& lane < 2/step > 0 \&\& t < 2/'
try wgmma gemm_wgmma.cu 's/mbar_wait(full(s), (it \/ STAGES) \& 1);/mbar_wait(full(s), 1);/'
try wgmma gemm_wgmma.cu 's/da + q \* 2/da + q/'
try wgmma gemm_wgmma.cu 's/1024 >> 4/512 >> 4/'
try wgmma gemm_wgmma.cu 's/tn \* BN + rank \* (BN \/ 2)/tn * BN/'
try wgmma gemm_wgmma.cu 's/(step | q) != 0/1/'
try wgmma gemm_wgmma.cu 's/group \* GROUP + in_group % height/group * GROUP + in_group % GROUP/'
try wgmma gemm_wgmma.cu 's/tn = in_group \/ height/tn = in_group \/ GROUP/'

wait
for ((i = 1; i <= planted; i++)); do cat "$work/$i/said"; done
passed=$(cat "$work"/*/said | grep -c '^ok')
echo "$passed passed, $((planted - passed)) failed"
[[ $passed == "$planted" ]]
