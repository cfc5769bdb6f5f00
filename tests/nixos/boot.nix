# The host of tests/nixos/boot: all three roles and a simulated chain, on loopback, with intervals of seconds. Beside them
# a miner whose hotkey is none, which must end with status 78 and stay down.
{ config, lib, ... }:
let
  lab = "/etc/byteleap-lab";
  chain = "127.0.0.1:9944";
  quick.serviceConfig.WatchdogSec = lib.mkForce 5;
in
{
  networking.hostName = "boot";
  nixpkgs.hostPlatform = "x86_64-linux";
  boot.isContainer = true;
  system.stateVersion = "26.05";

  services.byteleap.validator = {
    enable = true;
    hotkeyFile = "${lab}/wallets/lab/hotkeys/validator";
    settings = {
      host = "127.0.0.1";
      external_ip = "127.0.0.1";
      subtensor.network = "http://${chain}";
      metagraph = {
        sync_interval = 1;
        weight_update_tempo = 3;
      };
      validation = {
        challenge_interval = 3;
        cpu.matrix_size = 128;
      };
      weight_management.recalculate_interval = 2;
    };
    metrics.port = 9100;
  };

  services.byteleap.miner = {
    enable = true;
    hotkeyFile = "${lab}/wallets/lab/hotkeys/miner";
    tokenFile = "${lab}/worker-token";
    settings = {
      subtensor.network = "http://${chain}";
      metagraph.sync_interval = 1;
      heartbeat_interval = 1;
      task_poll_interval = 0.5;
      worker_management.host = "127.0.0.1";
    };
    instances.broken = {
      hotkeyFile = "${lab}/no-hotkey";
      settings = {
        subtensor.network = "http://${chain}";
        worker_management = {
          host = "127.0.0.1";
          port = 7800;
        };
      };
    };
  };

  services.byteleap.worker = {
    enable = true;
    gpu.enable = false;
    tokenFile = "${lab}/worker-token";
    settings = {
      heartbeat_interval = 1;
      reconnect_interval = 0.5;
    };
  };

  systemd.services = {
    byteleap-validator = quick;
    byteleap-miner = quick;
    byteleap-worker = quick;
    subtensor-sim = {
      description = "A simulated Subtensor";
      wantedBy = [ "multi-user.target" ];
      before = [
        "byteleap-miner.service"
        "byteleap-validator.service"
      ];
      serviceConfig = {
        DynamicUser = true;
        ExecStart = "${config.services.byteleap.validator.package}/bin/byteleap subtensor-sim --listen ${chain} --netuid 128 --neurons /etc/neurons.json --block-time-s 1";
      };
    };
  };
}
