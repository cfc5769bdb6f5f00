# What `nix flake check` builds.
{
  self,
  nixpkgs,
  pkgs,
}:
let
  inherit (nixpkgs) lib;
  packages = self.packages.${pkgs.stdenv.hostPlatform.system};
  package = packages.default;

  # the same sources and crates, another thing to do with them
  cargo =
    name: tools: command:
    package.overrideAttrs (old: {
      pname = "byteleap-${name}";
      nativeBuildInputs = old.nativeBuildInputs or [ ] ++ tools;
      buildPhase = command;
      env = old.env or { } // {
        BYTELEAP_REVISION = "";
      };
      installPhase = "touch $out";
      dontFixup = true;
    });

  nixFiles = "${../../flake.nix} ${../../nixos-modules}/*.nix ${../../nixos-modules/examples}/*.nix ${./.}/*.nix ${./.}/nixpkgs/*.nix";

  here = host: host.pkgs.stdenv.hostPlatform.system == pkgs.stdenv.hostPlatform.system;
  units = import ./units.nix { inherit lib pkgs; };
  refusals = import ./refusals.nix { inherit self nixpkgs; };
in
lib.mapAttrs' (name: lib.nameValuePair "package-${name}") packages
// {
  fmt = cargo "fmt" [ pkgs.rustfmt ] "cargo fmt --check";
  clippy = cargo "clippy" [
    pkgs.clippy
  ] "cargo clippy --release --offline --all-targets -- -D warnings";

  tests = cargo "tests" [ ] "cargo test --release --offline --lib";
  style = cargo "style" [
    pkgs.nixfmt
    pkgs.deadnix
  ] "nixfmt --check ${nixFiles} && deadnix --fail ${nixFiles}";

  # the units of the examples, and the configuration that each daemon itself has checked
  units = units (lib.filterAttrs (_: here) self.nixosConfigurations);

  # what must not build, and what it says
  refusals =
    pkgs.writeText "byteleap-refusals" (
      lib.throwIf (
        refusals.wrong != [ ]
      ) "these went otherwise:\n${lib.concatLines refusals.wrong}" refusals.list
    )
    // {
      inherit (refusals) hosts list;
    };

  # what nobody but a tool of the fleet's asks for
  fleet =
    let
      made = import ../../nixos-modules/examples/fleet.nix {
        inherit nixpkgs;
        byteleap = self;
        colmena.lib.makeHive = hive: hive;
        deploy-rs.lib.x86_64-linux.activate.nixos = host: host.config.system.build.toplevel;
      };
      nodes = lib.mapAttrsToList (
        name: node:
        "${name} ${node.hostname} ${
          made.colmenaHive.${name}.deployment.targetHost
        } ${builtins.unsafeDiscardStringContext node.profiles.system.path.drvPath}"
      ) made.deploy.nodes;
    in
    pkgs.writeText "byteleap-fleet" (lib.concatLines nodes);
}
// lib.optionalAttrs pkgs.stdenv.hostPlatform.isx86_64 {
  # the units that tests/nixos/boot boots
  boot =
    let
      host = lib.nixosSystem {
        modules = [
          self.nixosModules.default
          ./boot.nix
        ];
      };
    in
    pkgs.runCommand "byteleap-boot" { } ''
      mkdir $out
      ln -s ${packages.default} $out/package
      ${lib.concatMapStrings (unit: "cp ${host.config.systemd.units.${unit}.unit}/${unit} $out/\n") (
        lib.filter (unit: lib.hasPrefix "byteleap-" unit || unit == "subtensor-sim.service") (
          lib.attrNames host.config.systemd.units
        )
      )}
    '';
  cuda-kernels = pkgs.runCommand "byteleap-cuda-kernels-current" { } ''
    diff -r ${packages.cuda-kernels} ${../../cuda/artefacts}
    touch $out
  '';
  vm = import ./vm.nix { inherit self pkgs; };
}
