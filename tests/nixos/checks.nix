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
      doCheck = false;
      installPhase = "touch $out";
      dontFixup = true;
    });

  units = import ./units.nix { inherit lib pkgs; };
  refusals = import ./refusals.nix { inherit self nixpkgs; };
in
lib.mapAttrs' (name: lib.nameValuePair "package-${name}") packages
// {
  fmt = cargo "fmt" [ pkgs.rustfmt ] "cargo fmt --check";
  clippy = cargo "clippy" [
    pkgs.clippy
  ] "cargo clippy --release --offline --all-targets -- -D warnings";

  # the units of the examples, and the configuration that each daemon itself has checked
  units = units self.nixosConfigurations;

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

  options = pkgs.runCommand "byteleap-options-current" { } ''
    diff ${../../nixos-modules/README.md} ${packages.options-doc}
    touch $out
  '';
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
