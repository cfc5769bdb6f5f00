#!/usr/bin/env bash
# Builds the kernels' artefacts from their sources: `cuda/build.sh` writes cuda/artefacts, `cuda/build.sh --check`
# builds beside them and fails where the two differ. The result is the same bit for bit on any machine and from any
# directory. Needs Python with pip; no CUDA installation, no GPU, no host compiler. With CUDA_COMPILERS=DIR the compilers
# are those in DIR, as pip lays them out, and nothing is fetched.
#
# Two compilers, each for one reason:
#   NVRTC 12.2.140 writes PTX ISA 8.2, which every driver from 535 on can compile;
#   ptxas 12.9.86 knows every chip up to sm_120, and its machine code runs on drivers from 525 on.
set -euo pipefail
cd "$(dirname "$0")"

target=${CARGO_TARGET_DIR:-../target}
mkdir -p "$target/cuda"
tools=$(realpath "$target/cuda")
python=${PYTHON:-python3}

compilers=${CUDA_COMPILERS:-$tools/compilers}
if [[ -z ${CUDA_COMPILERS:-} ]]; then
    # one build at a time fetches the compilers
    exec 9>"$tools/lock"
    flock 9
    cat >"$tools/wanted" <<'HASHES'
nvidia-cuda-nvrtc-cu12==12.2.140 --hash=sha256:b1cdcae6443cb7cdcfb5d1bf51896a148c9f82f9e65b27db9ab095eaed689aa7
nvidia-cuda-nvcc-cu12==12.9.86 --hash=sha256:5d6a0d32fdc7ea39917c20065614ae93add6f577d840233237ff08e9a38f58f0
HASHES
    if ! cmp -s "$tools/wanted" "$tools/installed"; then
        rm -rf "$compilers" "$tools/installed"
        "$python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --require-hashes --only-binary :all: \
            --target "$compilers" -r "$tools/wanted"
        mv "$tools/wanted" "$tools/installed"
    fi
    chmod +x "$compilers/nvidia/cuda_nvcc/bin/ptxas"
    flock -u 9
fi
nvrtc=$compilers/nvidia/cuda_nvrtc/lib/libnvrtc.so.12
ptxas=$compilers/nvidia/cuda_nvcc/bin/ptxas

work=$(mktemp -d "$tools/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
out=artefacts
[[ ${1:-} != --check ]] || out=$work/artefacts
mkdir -p "$out"

ptx() { LD_LIBRARY_PATH=$(dirname "$nvrtc") "$python" -B compile.py "$nvrtc" "$@"; }
ptx compute_80 "$out/compute_80.ptx" gemm_mma.cu stream.cu
ptx compute_90a "$work/compute_90a.ptx" gemm_wgmma.cu gemm_mma.cu stream.cu
for sm in 80 100 120; do "$ptxas" -arch=sm_$sm "$out/compute_80.ptx" -o "$out/sm_$sm.cubin"; done
"$ptxas" -arch=sm_90a "$work/compute_90a.ptx" -o "$out/sm_90a.cubin"

(cd "$out" && sha256sum compute_80.ptx sm_{80,90a,100,120}.cubin >SHA256SUMS)

if [[ ${1:-} == --check ]]; then
    different=$(diff -rq "$out" artefacts) || { echo "cuda/artefacts is not what its sources give, run cuda/build.sh: ${different//$work\/artefacts/the build}" >&2; exit 1; }
    echo "the artefacts are what their sources give"
fi
