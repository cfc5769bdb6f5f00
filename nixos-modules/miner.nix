# services.byteleap.miner
{
  config,
  lib,
  pkgs,
  ...
}:
let
  shared = import ./lib.nix { inherit config lib pkgs; };
  cfg = config.services.byteleap.miner;
in
{
  options.services.byteleap.miner = shared.options "miner";

  config = lib.mkIf cfg.enable {
    networking.firewall.allowedTCPPorts = lib.mkIf cfg.openFirewall [
      (cfg.settings.worker_management.port or 7799)
    ];
    systemd.services.byteleap-miner = shared.service "miner" { };
  };
}
