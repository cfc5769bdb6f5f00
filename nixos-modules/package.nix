# Everything in one build: validator, miner, worker, the GPU executor and the operator's tool, from the checked-in lock file.
{
  lib,
  rustPlatform,
  autoAddDriverRunpath,
  # the git revision, for `byteleap version`
  revision ? "unknown",
}:
let
  manifest = fromTOML (builtins.readFile ../Cargo.toml);
in
rustPlatform.buildRustPackage {
  pname = "byteleap";
  inherit (manifest.package) version;
  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.difference (lib.fileset.unions [
      ../Cargo.toml
      ../Cargo.lock
      ../.cargo
      ../.clippy.toml
      ../.rustfmt.toml
      ../config
      ../contrib
      ../cuda
      ../src
      ../tests
    ]) ../tests/nixos;
  };
  cargoLock.lockFile = ../Cargo.lock;
  env.BYTELEAP_REVISION = revision;
  # CUDA's driver and NVML are opened at run time: /run/opengl-driver/lib, where NixOS has the host's own
  nativeBuildInputs = [ autoAddDriverRunpath ];
  # no path of where this is built gets into the binaries, as in contrib/build-release
  preBuild = ''
    export RUSTFLAGS="--remap-path-prefix=$NIX_BUILD_TOP=/build"
    export CFLAGS="-ffile-prefix-map=$NIX_BUILD_TOP=/build"
  '';
  # a check of the flake, and not of every host that builds this
  doCheck = false;
  meta = {
    inherit (manifest.package) description;
    homepage = manifest.package.repository;
    license = lib.licenses.mit;
    mainProgram = "byteleap";
    platforms = lib.platforms.linux;
  };
}
