# services.byteleap.validator: makes challenges, verifies them, scores, sets weights. Miners connect to its port.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  hotkey = import ./hotkey.nix { inherit lib; } "validator";
in
import ./lib.nix { inherit config lib pkgs; } {
  name = "validator";
  portSetting = "port";
  ports = settings: {
    address = settings.host;
    inherit (settings) port;
  };
  metricsPort = 9103;
  example = {
    hotkeyFile = "/run/secrets/second-hotkey";
    settings.port = 9092;
  };
  secrets = hotkey.secrets // {
    meshhubTokenFile = {
      credential = "meshhub-token";
      setting = [
        "meshhub"
        "access_token_file"
      ];
      example = "/run/secrets/meshhub-token";
      description = "File with the access token of the compute marketplace, one line. Needed where `settings.meshhub.ws_url` is set.";
    };
  };
  settings = hotkey.settings // {
    host = mkOption {
      type = types.str;
      default = "0.0.0.0";
      example = "::";
      description = "The address where the axon listens. `::` takes IPv6 and IPv4.";
    };
    port = mkOption {
      type = types.port;
      default = 9091;
      description = "The axon's port, to which miners connect.";
    };
    external_ip = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "192.0.2.7";
      description = "The address that is announced on the chain. Null: nothing is announced, and no miner finds this validator.";
    };
    external_port = mkOption {
      type = types.nullOr types.port;
      default = null;
      description = "The port that is announced, where it is not `port`.";
    };
  };
  options = { };
  derived =
    { unit, ... }:
    {
      # a whole path, so that the operator's tool finds it from anywhere
      database.url = "sqlite:////var/lib/${unit}/validator.db";
    };
  unit = _: {
    serviceConfig = {
      # a leak ends here, and not with the host; scoring 256 miners of 100 workers took 215 MB (cargo bench --bench score)
      MemoryMax = lib.mkDefault "4G";
      # the threads that verify run beside the loop, which must answer
      CPUWeight = lib.mkDefault 200;
    };
  };
  assertions =
    { option, cfg, ... }@it:
    hotkey.assertions it
    ++ [
      {
        assertion =
          (cfg.settings ? meshhub.ws_url && cfg.settings.meshhub.ws_url != null)
          -> (cfg.meshhubTokenFile != null || cfg.settings ? meshhub.access_token_file);
        message = "${option}.settings.meshhub.ws_url is set, but no access token. Put it into a file that root alone can read, and name that file in ${option}.meshhubTokenFile.";
      }
    ];
}
