# services.byteleap.worker
{
  config,
  lib,
  pkgs,
  ...
}:
let
  shared = import ./lib.nix { inherit config lib pkgs; };
  cfg = config.services.byteleap.worker;
in
{
  # the worker only dials out: there is no port to open
  options.services.byteleap.worker = removeAttrs (shared.options "worker") [ "openFirewall" ];

  config = lib.mkIf cfg.enable {
    systemd.services.byteleap-worker = shared.service "worker" {
      # the hardware report reads /proc/cpuinfo, /proc/meminfo and the board's names
      ProcSubset = "all";
    };
  };
}
