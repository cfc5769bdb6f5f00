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
      revision = self.rev or self.dirtyRev or "unknown";
      ours = pkgs: self.packages.${pkgs.stdenv.hostPlatform.system};
      fleet = import ./nixos-modules/examples/fleet.nix {
        inherit nixpkgs;
        byteleap = self;
      };
      host =
        example:
        lib.nixosSystem {
          modules = [
            self.nixosModules.default
            example
          ];
        };
    in
    {
      overlays.default = final: _: {
        byteleap = final.callPackage ./nixos-modules/package.nix { inherit revision; };
      };

      packages = eachSystem (
        pkgs:
        pkgs.callPackages ./nixos-modules/packages.nix { inherit revision; }
        // {
          options-doc = import ./nixos-modules/options.nix { inherit lib self pkgs; };
        }
      );

      # nix run .#worker -- --config /etc/byteleap/worker.yaml
      apps = eachSystem (
        pkgs:
        let
          app = program: description: {
            type = "app";
            inherit program;
            meta = { inherit description; };
          };
          run = name: app "${(ours pkgs).${name}}/bin/${name}" (ours pkgs).${name}.meta.description;
          devnet = pkgs.writeShellScript "byteleap-devnet" ''
            exec ${(ours pkgs).default}/bin/byteleap devnet "$@"
          '';
        in
        lib.genAttrs [ "worker" "miner" "validator" "byteleap" ] run
        // {
          devnet = app "${devnet}" "a whole subnet on this machine";
          default = run "byteleap";
        }
      );

      nixosModules =
        lib.genAttrs [ "validator" "miner" "worker" ] (
          role:
          { pkgs, lib, ... }:
          {
            _class = "nixos";
            _file = ./flake.nix;
            # one module, however often it is imported
            key = "byteleap#${role}";
            imports = [ ./nixos-modules/${role}.nix ];
            services.byteleap.${role}.package = lib.mkDefault (ours pkgs).default;
          }
        )
        // {
          default.imports = with self.nixosModules; [
            validator
            miner
            worker
          ];
        };

      # a host of each kind, and the hosts of the fleet; `checks` builds their units
      nixosConfigurations = {
        gpu-worker = host ./nixos-modules/examples/gpu-worker.nix;
        control = host ./nixos-modules/examples/control.nix;
      }
      // lib.mapAttrs' (name: lib.nameValuePair "fleet-${name}") fleet.nixosConfigurations;

      checks = eachSystem (pkgs: import ./tests/nixos/checks.nix { inherit self nixpkgs pkgs; });

      devShells = eachSystem (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ (ours pkgs).default ];
          packages = with pkgs; [
            cargo
            clippy
            rustc
            rustfmt
            # tests/interop and the benches' NumPy make virtual environments; cuda/build.sh runs wheels' programs, which NixOS
            # does not: there it is `nix build .#cuda-kernels`
            (python3.withPackages (python: [ python.pip ]))
            # tests/cuda: the kernels' emulation and the fake driver
            gcc
            deadnix
            nixfmt
          ];
        };
      });

      formatter = eachSystem (pkgs: pkgs.nixfmt-tree);
    };
}
