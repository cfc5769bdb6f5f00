# cuda/artefacts again, from their sources: NVIDIA's two compilers as cuda/build.sh pins them, by the same hashes.
{
  lib,
  stdenv,
  autoPatchelfHook,
  fetchPypi,
  python3,
}:
let
  script = builtins.readFile ../cuda/build.sh;
  # one place says which compilers: the lines NAME==VERSION --hash=sha256:HEX of the script
  pinned =
    name:
    let
      found = builtins.match ".*\n${name}==([0-9.]+) --hash=sha256:([0-9a-f]+)\n.*" script;
    in
    lib.throwIf (found == null) "cuda/build.sh pins no ${name}" {
      version = lib.elemAt found 0;
      sha256 = lib.elemAt found 1;
    };
  wheel =
    name: platform:
    fetchPypi (
      pinned name
      // {
        pname = lib.replaceStrings [ "-" ] [ "_" ] name;
        format = "wheel";
        dist = "py3";
        python = "py3";
        inherit platform;
      }
    );

  compilers = stdenv.mkDerivation {
    name = "byteleap-cuda-compilers";
    nvrtc = wheel "nvidia-cuda-nvrtc-cu12" "manylinux1_x86_64";
    nvcc = wheel "nvidia-cuda-nvcc-cu12" "manylinux2010_x86_64.manylinux_2_12_x86_64";
    dontUnpack = true;
    dontStrip = true;
    nativeBuildInputs = [
      autoPatchelfHook
      python3
    ];
    buildInputs = [ stdenv.cc.cc.lib ];
    installPhase = ''
      mkdir $out
      python3 -m zipfile -e $nvrtc $out
      python3 -m zipfile -e $nvcc $out
      chmod +x $out/nvidia/cuda_nvcc/bin/ptxas
    '';
  };
in
stdenv.mkDerivation {
  name = "byteleap-cuda-kernels";
  src = lib.fileset.toSource {
    root = ../cuda;
    fileset = lib.fileset.unions [
      ../cuda/build.sh
      ../cuda/compile.py
      (lib.fileset.fileFilter (file: file.hasExt "cu" || file.hasExt "cuh") ../cuda)
    ];
  };
  nativeBuildInputs = [ python3 ];
  buildPhase = ''
    CUDA_COMPILERS=${compilers} CARGO_TARGET_DIR=$PWD/tools bash build.sh
  '';
  installPhase = ''
    cp -r artefacts $out
  '';
  # they are compared bit for bit
  dontFixup = true;
  meta = {
    description = "The images of ByteLeap's GPU kernels, built from source";
    platforms = [ "x86_64-linux" ];
  };
}
