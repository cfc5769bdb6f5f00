# A host without GPUs: a validator, a miner, and one more miner with a hotkey of its own.
{
  networking.hostName = "control";
  nixpkgs.hostPlatform = "x86_64-linux";
  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };
  boot.loader.grub.device = "/dev/sda";
  system.stateVersion = "26.05";

  services.byteleap.validator = {
    enable = true;
    openFirewall = true;
    hotkeyFile = "/run/secrets/validator-hotkey";
    settings.external_ip = "192.0.2.7";
    metrics.port = 9103;
  };

  services.byteleap.miner = {
    enable = true;
    openFirewall = true;
    hotkeyFile = "/run/secrets/miner-hotkey";
    tokenFile = "/run/secrets/worker-token";
    metrics.port = 9101;

    instances.east = {
      openFirewall = true;
      hotkeyFile = "/run/secrets/miner-east-hotkey";
      tokenFile = "/run/secrets/worker-token-east";
      settings.worker_management.port = 7800;
    };
  };
}
