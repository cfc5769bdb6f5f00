# The hosts of cases.nix. `nix flake check` looks at what Nix alone can tell; tests/nixos/refusals builds each and reads what
# is said.
{ self, nixpkgs }:
let
  inherit (nixpkgs) lib;
  cases = import ./cases.nix { inherit lib; };
  hosts = lib.mapAttrs (
    _: case:
    lib.nixosSystem {
      modules = [
        self.nixosModules.default
        ../../nixos-modules/examples/control.nix
        case.host
        { documentation.enable = false; }
      ];
    }
  ) cases;

  judge =
    name: case:
    let
      inherit (hosts.${name}) config;
      messages = map (it: it.message) (lib.filter (it: !it.assertion) config.assertions);
      ours = lib.filterAttrs (name: _: lib.hasPrefix "byteleap-" name) config.systemd.units;
      units = lib.mapAttrs (_: unit: unit.text) ours;
      evaluates = (builtins.tryEval (builtins.deepSeq units true)).success;
      wrong = {
        nothing = !evaluates || messages != [ ];
        # Nix can catch an error, and not read it
        type = evaluates;
        assertion = !lib.any (lib.hasInfix case.says) messages;
        # told by the daemon, when the host is built
        daemon = !evaluates || messages != [ ];
      };
    in
    lib.optional wrong.${case.by}
      "${name}, refused by ${case.by}: ${lib.concatStringsSep " | " messages}";
in
{
  wrong = lib.concatLists (lib.mapAttrsToList judge cases);
  hosts = lib.mapAttrs (_: host: host.config.system.build.toplevel) hosts;
  list = lib.concatLines (lib.mapAttrsToList (name: case: "${name}\t${case.by}\t${case.says}") cases);
}
