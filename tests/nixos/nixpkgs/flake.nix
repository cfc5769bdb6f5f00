{
  description = "A test double of nixpkgs, for machines that cannot have it";
  outputs =
    _:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      lib = import ./lib.nix // {
        nixosSystem = import ./nixos.nix { inherit lib legacyPackages; };
      };
      legacyPackages = lib.genAttrs systems (system: import ./pkgs.nix { inherit lib system; });
    in
    {
      inherit lib legacyPackages;
    };
}
