# What the roles of one host share: no two may want one port, and the firewall is opened for all of them here.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  inherit (config.services.byteleap.host) ports;

  everywhere = address: address == "0.0.0.0" || address == "::";
  meet = one: other: one == other || everywhere one || everywhere other;
  # each pair once
  pairs = lib.concatLists (
    lib.imap0 (index: one: map (other: { inherit one other; }) (lib.drop (index + 1) ports)) ports
  );
  clashes = lib.filter (
    { one, other }: one.port == other.port && meet one.address other.address
  ) pairs;
in
{
  options.services.byteleap.host.ports = mkOption {
    type = types.listOf (
      types.submodule {
        options = {
          address = mkOption { type = types.str; };
          port = mkOption { type = types.port; };
          setting = mkOption { type = types.str; };
          open = mkOption { type = types.bool; };
        };
      }
    );
    default = [ ];
    internal = true;
    visible = false;
    description = "The ports on which the daemons of this host listen.";
  };

  config = {
    assertions = map (
      { one, other }:
      {
        assertion = false;
        message = "${one.setting} and ${other.setting} are both ${toString one.port}. Give one of them another port.";
      }
    ) clashes;
    networking.firewall.allowedTCPPorts = map (listener: listener.port) (
      lib.filter (listener: listener.open) ports
    );
  };
}
