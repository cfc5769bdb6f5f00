# services.byteleap.validator
{
  config,
  lib,
  pkgs,
  ...
}:
let
  shared = import ./lib.nix { inherit config lib pkgs; };
  cfg = config.services.byteleap.validator;
in
{
  options.services.byteleap.validator = shared.options "validator";

  config = lib.mkIf cfg.enable {
    networking.firewall.allowedTCPPorts = lib.mkIf cfg.openFirewall [
      (cfg.settings.port or 9091)
    ];
    systemd.services.byteleap-validator = shared.service "validator" { };
  };
}
