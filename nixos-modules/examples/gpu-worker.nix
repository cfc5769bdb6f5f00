# A GPU host: the driver, and a worker that uses all its cards.
{
  networking.hostName = "gpu-1";
  nixpkgs.hostPlatform = "x86_64-linux";
  # the system disk and the boot loader are the host's own
  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };
  boot.loader.grub.device = "/dev/sda";
  system.stateVersion = "26.05";

  # NVIDIA's driver; videoDrivers is how NixOS is told of it, also without a screen
  nixpkgs.config.allowUnfree = true;
  hardware.graphics.enable = true;
  hardware.nvidia.open = true;
  hardware.nvidia.nvidiaPersistenced = true;
  services.xserver.videoDrivers = [ "nvidia" ];

  services.byteleap.worker = {
    enable = true;
    tokenFile = "/run/secrets/worker-token";
    settings.miner_url = "ws://miner.internal:7799";
    metrics.port = 9102;
  };
}
