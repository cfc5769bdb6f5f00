# nixos-modules/README.md, from the modules themselves: `nix build .#options-doc` makes it, tests/nixos/run compares.
{
  lib,
  self,
  pkgs,
}:
let
  inherit
    (lib.nixosSystem {
      modules = [
        self.nixosModules.default
        { nixpkgs.hostPlatform = pkgs.stdenv.hostPlatform.system; }
      ];
    })
    options
    ;

  documented = lib.filter (
    it:
    (it.visible or true) == true
    && !(it.internal or false)
    && !(lib.hasInfix ".instances.<name>" it.name)
  ) (lib.optionAttrSetToDocList { services.byteleap = options.services.byteleap; });

  # a default or an example as a Nix expression on one line
  shown =
    value:
    if value._type or null == "literalExpression" then
      oneLine value.text
    else if value == null then
      "null"
    else if builtins.isAttrs value then
      "{ ${lib.concatStrings (lib.mapAttrsToList (name: it: "${name} = ${shown it}; ") value)}}"
    else if builtins.isList value then
      "[ ${lib.concatMapStrings (it: "${shown it} ") value}]"
    else
      builtins.toJSON value;
  oneLine =
    text:
    lib.concatStringsSep " " (
      lib.filter (word: builtins.isString word && word != "") (builtins.split "[[:space:]]+" text)
    );
  text = value: value.text or value;

  line =
    name: it: key:
    lib.optionalString (it ? ${key}) "- ${name}: `${shown it.${key}}`\n";
  chapter = it: ''

    ### `${it.name}`

    ${lib.removeSuffix "\n" (text it.description)}

    - type: ${it.type}
    ${line "default" it "default"}${line "example" it "example"}'';
in
pkgs.writeText "README.md" (
  ''
    # NixOS modules

    `services.byteleap.{worker,miner,validator}`, from `nixosModules.{worker,miner,validator}` of the flake, or all three from
    `nixosModules.default`. Everything that a host runs is in its configuration, and is checked when it is built: types and
    assertions by Nix, every setting by the daemon itself. `examples/` has a GPU host, a host with validator and miners, and a
    fleet as data.

    Each daemon is one systemd unit, `byteleap-ROLE`, with a user, a state directory (`/var/lib/byteleap-ROLE`) and a
    sandbox of its own; `lib.nix` has the sandbox, and each role says which part it needs less of, and why. A unit is ready when its
    daemon listens, `systemctl status` has a line about what it does, a loop that hangs is restarted, and one that ends
    with status 78 is not: its configuration must change first. What a daemon runs with lies in
    `/etc/byteleap/UNIT.yaml`, for `byteleap … --config` as root; where a command needs the hotkey itself it also wants
    `CREDENTIALS_DIRECTORY=/run/credentials/UNIT.service`, and says so.

    Secrets stay where they are on the host, and may belong to root alone: the options for files name them, systemd hands them to
    the unit as credentials, and nothing of them gets into the store. sops-nix, agenix or a file that was put there by
    hand will do. A file of your flake will not: it lies in the store as soon as Nix has read it, and a secret that was there
    must be replaced. A unit reads its credentials when it starts: restart it when one has changed.

    `instances.NAME` has the same options again, for one more unit `byteleap-ROLE-NAME` on the same host.

    This file is made from the modules: `nix build .#options-doc`.

    ## Options
  ''
  + lib.concatMapStrings chapter documented
)
