# services.byteleap.miner: speaks for up to 100 workers, which connect to its port.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  hotkey = import ./hotkey.nix { inherit lib; } "miner";
in
import ./lib.nix { inherit config lib pkgs; } {
  name = "miner";
  portSetting = "worker_management.port";
  ports = settings: {
    address = settings.worker_management.host;
    inherit (settings.worker_management) port;
  };
  metricsPort = 9101;
  example = {
    hotkeyFile = "/run/secrets/second-hotkey";
    settings.worker_management.port = 7800;
  };
  secrets = hotkey.secrets // {
    tokenFile = {
      credential = "token";
      setting = [
        "worker_management"
        "token_file"
      ];
      example = "/run/secrets/worker-token";
      description = ''
        File with a token that workers must bear: one line of 16 to 512 visible ASCII characters. Null: workers are admitted
        by their address (`settings.worker_management.allow`).
      '';
    };
  };
  settings = hotkey.settings // {
    worker_management = {
      host = mkOption {
        type = types.str;
        default = "0.0.0.0";
        example = "10.0.0.5";
        description = "The address where workers connect. `::` takes IPv6 and IPv4.";
      };
      port = mkOption {
        type = types.port;
        default = 7799;
        description = "The port where workers connect.";
      };
    };
  };
  options = { };
  derived =
    { unit, ... }:
    {
      # whole paths, so that the operator's tool finds them from anywhere
      receipts.directory = "/var/lib/${unit}/receipts";
      maintenance.file = "/var/lib/${unit}/maintenance.json";
    };
  unit = _: {
    serviceConfig = {
      # a leak ends here, and not with the host; nobody has measured a miner with 100 workers yet
      MemoryMax = lib.mkDefault "1G";
    };
  };
  assertions = hotkey.assertions;
}
