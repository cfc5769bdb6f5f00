# units/HOST: the units as systemd reads them. golden/HOST: what is compared with tests/nixos/golden, which is the units with
# HASH for the hashes of store paths, the configuration files that they run with, and the ports that are open.
{ lib, pkgs }:
hosts:
let
  ofHost =
    name: host:
    let
      inherit (host.config) systemd environment networking;
      units = lib.filterAttrs (unit: _: lib.hasPrefix "byteleap-" unit) systemd.units;
      files = lib.filterAttrs (file: _: lib.hasPrefix "byteleap/" file) environment.etc;
    in
    ''
      mkdir -p $out/{units,golden}/${name}
      ${lib.concatStrings (
        lib.mapAttrsToList (unit: it: "cp ${it.unit}/${unit} $out/units/${name}/\n") units
      )}
      for unit in $out/units/${name}/*; do clean $unit > $out/golden/${name}/''${unit##*/}; done
      ${lib.concatStrings (
        lib.mapAttrsToList (
          file: it: "pretty ${it.source} > $out/golden/${name}/${baseNameOf file}\n"
        ) files
      )}
      echo '${toString networking.firewall.allowedTCPPorts}' > $out/golden/${name}/open-ports
    '';
in
pkgs.runCommand "byteleap-units" { nativeBuildInputs = [ pkgs.python3 ]; } ''
  clean() { sed -E 's,/nix/store/[0-9a-z]{32}-,/nix/store/HASH-,g' "$1"; }
  # JSON, which the stand-in writes and YAML contains, is shown as lines; YAML as it is
  pretty() { python3 -m json.tool --sort-keys "$1" 2>/dev/null || cat "$1"; }
  ${lib.concatStrings (lib.mapAttrsToList ofHost hosts)}
''
