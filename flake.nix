{
  description = "ByteLeap's compute network (Bittensor subnet 128): validator, miner and worker";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      eachSystem =
        f:
        lib.genAttrs [
          "x86_64-linux"
          "aarch64-linux"
        ] (system: f nixpkgs.legacyPackages.${system});
      packageFor = pkgs: self.packages.${pkgs.stdenv.hostPlatform.system}.default;
      app = package: name: description: {
        type = "app";
        program = "${package}/bin/${name}";
        meta.description = description;
      };
    in
    {
      overlays.default = final: _: { byteleap = final.callPackage ./nixos-modules/package.nix { }; };

      packages = eachSystem (pkgs: {
        default = pkgs.callPackage ./nixos-modules/package.nix { };
      });

      # nix run .#worker -- --config /etc/byteleap/worker.yaml
      apps = eachSystem (
        pkgs:
        let
          bin = app (packageFor pkgs);
        in
        {
          worker = bin "worker" "the worker: computes challenges on this host";
          miner = bin "miner" "the miner: speaks for up to 100 workers";
          validator = bin "validator" "the validator: makes challenges, scores, sets weights";
          byteleap = bin "byteleap" "the operator's tool: wallets, devnet, simulated chain";
          default = bin "byteleap" "the operator's tool: wallets, devnet, simulated chain";
        }
      );

      nixosModules = lib.genAttrs [ "validator" "miner" "worker" ] (
        role:
        { pkgs, lib, ... }:
        {
          imports = [ ./nixos-modules/${role}.nix ];
          services.byteleap.${role}.package = lib.mkDefault (packageFor pkgs);
        }
      )
      // {
        default.imports = lib.attrValues (removeAttrs self.nixosModules [ "default" ]);
      };

      # one host of each kind, as small as it can be; `checks` builds their units
      nixosConfigurations.example = lib.nixosSystem {
        system = "x86_64-linux";
        modules = [
          self.nixosModules.default
          ./nixos-modules/example.nix
        ];
      };

      checks = eachSystem (pkgs: {
        package = packageFor pkgs;
        units =
          pkgs.runCommand "byteleap-units" { }
            "mkdir $out${
              lib.concatMapStrings (
                role:
                let
                  name = "byteleap-${role}.service";
                in
                "; grep -q '^ExecStart=.*/bin/${role} --config' ${
                  self.nixosConfigurations.example.config.systemd.units.${name}.unit
                }/${name}; cp ${self.nixosConfigurations.example.config.systemd.units.${name}.unit}/${name} $out/"
              ) [ "validator" "miner" "worker" ]
            }";
      });
    };
}
