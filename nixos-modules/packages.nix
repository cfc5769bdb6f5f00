# The flake's packages: one build, and from it one small package a role.
{
  lib,
  stdenv,
  callPackage,
  runCommand,
  cargo,
  python3,
  rustPlatform,
  revision ? "unknown",
}:
let
  all = callPackage ./package.nix { inherit revision; };
  only =
    name: binaries: description:
    runCommand "byteleap-${name}-${all.version}"
      {
        meta = all.meta // {
          inherit description;
          mainProgram = lib.head binaries;
        };
      }
      ''
        mkdir -p $out/bin
        cp ${lib.concatMapStringsSep " " (binary: "${all}/bin/${binary}") binaries} $out/bin
      '';
in
{
  default = all;
  validator = only "validator" [ "validator" ] "ByteLeap's validator";
  miner = only "miner" [ "miner" ] "ByteLeap's miner";
  # the worker starts the executor that lies beside it
  worker = only "worker" [
    "worker"
    "byteleap-gpu"
  ] "ByteLeap's worker, with the program that owns the GPUs";
  gpu = only "gpu" [ "byteleap-gpu" ] "ByteLeap's GPU executor";
  byteleap = only "tool" [ "byteleap" ] "ByteLeap's operator's tool";

  # what the binaries are made of, as CycloneDX
  sbom = stdenv.mkDerivation {
    pname = "byteleap-sbom";
    inherit (all) version src;
    cargoDeps = rustPlatform.importCargoLock { lockFile = ../Cargo.lock; };
    nativeBuildInputs = [
      cargo
      python3
      rustPlatform.cargoSetupHook
    ];
    env.BYTELEAP_REVISION = revision;
    buildPhase = ''
      python3 contrib/sbom > byteleap.cdx.json
    '';
    installPhase = ''
      mkdir $out
      cp byteleap.cdx.json $out
    '';
  };
}
// lib.optionalAttrs stdenv.hostPlatform.isx86_64 {
  cuda-kernels = callPackage ./cuda-kernels.nix { };
}
