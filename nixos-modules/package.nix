# The whole package: validator, miner, worker and the operator's tool, built from the checked-in lock file.
{ lib, rustPlatform }:
rustPlatform.buildRustPackage {
  pname = "byteleap";
  version = (fromTOML (builtins.readFile ../Cargo.toml)).package.version;
  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../Cargo.toml
      ../Cargo.lock
      ../.cargo
      ../config
      ../cuda
      ../src
      ../tests
    ];
  };
  cargoLock.lockFile = ../Cargo.lock;
  # the tests that start daemons and simulate whole subnets run in CI, not in every build of every host
  cargoTestFlags = [ "--lib" ];
  meta = {
    description = "ByteLeap's compute network (Bittensor subnet 128)";
    license = lib.licenses.mit;
    mainProgram = "byteleap";
    platforms = lib.platforms.linux;
  };
}
