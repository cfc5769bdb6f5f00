#!/usr/bin/env bash
# Each edit plants one bug in a kernel; the checks must notice it. mutate.sh BUILD_DIRECTORY
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$1/mutants
rm -rf "$work"
passed=0 failed=0

# try PART FILE EDIT
try() {
    mkdir -p "$work"
    cp "$here"/../../cuda/*.cu "$here"/../../cuda/*.cuh "$work"
    sed -i "$3" "$work/$2"
    if cmp -s "$work/$2" "$here/../../cuda/$2"; then
        echo "FAILED the edit does not apply: $2: $3"; failed=$((failed + 1)); return
    fi
    g++ -O2 -std=c++17 -w -I "$here" -I "$work" "$here/kernels.cpp" -o "$work/kernels" || { echo "FAILED to build: $2: $3"; failed=$((failed + 1)); return; }
    if (timeout 120 "$work/kernels" "$1"; exit $?) >"$work/out" 2>&1; then
        echo "FAILED unnoticed: $2: $3"; failed=$((failed + 1))
    else
        echo "ok     noticed: $2: $3"; passed=$((passed + 1))
    fi
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
try wgmma gemm_wgmma.cu 's/mbar_init(empty(s), 4)/mbar_init(empty(s), 2)/'
try wgmma gemm_wgmma.cu 's/mbar_wait(full(s), (it \/ STAGES) \& 1);/mbar_wait(full(s), 1);/'
try wgmma gemm_wgmma.cu 's/da + q \* 2/da + q/'
try wgmma gemm_wgmma.cu 's/1024 >> 4/512 >> 4/'
try wgmma gemm_wgmma.cu 's/tn \* BN + rank \* (BN \/ 2)/tn * BN/'
try wgmma gemm_wgmma.cu 's/(step | q) != 0/1/'

rm -rf "$work"
echo "$passed passed, $failed failed"
[[ $failed == 0 ]]
