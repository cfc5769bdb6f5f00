# One directory a host: its units as systemd reads them, and the configuration files that they run with. Where a store path
# holds a hash, it says HASH: what is compared with tests/nixos/golden is what an operator writes and systemd does.
{ lib, pkgs }:
hosts:
let
  ours = attrs: lib.filterAttrs (name: _: lib.hasPrefix "byteleap-" name) attrs;
  copyHost =
    name: host:
    let
      inherit (host.config) systemd environment networking;
    in
    ''
      mkdir -p $out/${name}
      ${lib.concatMapStrings (unit: ''
        clean ${systemd.units.${unit}.unit}/${unit} > $out/${name}/${unit}
      '') (lib.attrNames (ours systemd.units))}
      ${lib.concatMapStrings (file: ''
        pretty ${environment.etc.${file}.source} > $out/${name}/${baseNameOf file}
      '') (lib.filter (lib.hasPrefix "byteleap/") (lib.attrNames environment.etc))}
      echo '${lib.concatMapStringsSep " " toString networking.firewall.allowedTCPPorts}' > $out/${name}/open-ports
    '';
in
pkgs.runCommand "byteleap-units" { nativeBuildInputs = [ pkgs.python3 ]; } ''
  clean() { sed -E 's,/nix/store/[0-9a-z]{32}-,/nix/store/HASH-,g' "$1"; }
  # JSON, which the stand-in writes and YAML contains, is shown as lines; YAML as it is
  pretty() { python3 -m json.tool --sort-keys "$1" 2>/dev/null || cat "$1"; }
  ${lib.concatStrings (lib.mapAttrsToList copyHost hosts)}
''
