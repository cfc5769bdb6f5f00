# A fleet as data: one line a host, and from it NixOS configurations for nixos-rebuild, colmena and deploy-rs.
#
#   outputs = { nixpkgs, byteleap, ... }: import ./fleet.nix { inherit nixpkgs byteleap; };
#
#   nixos-rebuild switch --flake .#gpu-1 --target-host root@10.0.0.11
#   colmena apply --on @gpu
#   deploy .#gpu-1
#
# The last two with their flakes among the inputs, handed in as `colmena` and `deploy-rs`.
{
  nixpkgs,
  byteleap,
  colmena ? null,
  deploy-rs ? null,
}:
let
  inherit (nixpkgs) lib;

  hosts = {
    control = {
      address = "10.0.0.2";
      modules = [ control ];
    };
    gpu-1 = gpu "10.0.0.11";
    gpu-2 = gpu "10.0.0.12";
    cpu-1 = rec {
      address = "10.0.0.21";
      modules = [
        (worker address)
        { services.byteleap.worker.gpu.enable = false; }
      ];
    };
  };

  gpu = address: {
    inherit address;
    modules = [
      (worker address)
      driver
    ];
    tags = [ "gpu" ];
  };

  worker = address: {
    services.byteleap.worker = {
      enable = true;
      tokenFile = "/run/secrets/worker-token";
      settings.miner_url = "ws://${hosts.control.address}:7799";
      # in the fleet's own network, and to whoever bears the token
      metricsTokenFile = "/run/secrets/metrics-token";
      metrics = {
        inherit address;
        port = 9102;
        openFirewall = true;
      };
    };
  };

  driver = {
    nixpkgs.config.allowUnfree = true;
    hardware.graphics.enable = true;
    hardware.nvidia.open = true;
    hardware.nvidia.nvidiaPersistenced = true;
    services.xserver.videoDrivers = [ "nvidia" ];
  };

  control.services.byteleap.miner = {
    enable = true;
    openFirewall = true;
    hotkeyFile = "/run/secrets/miner-hotkey";
    tokenFile = "/run/secrets/worker-token";
    metrics.port = 9101;
  };

  # What every host has. Disks and boot loader are each host's own: add ./hosts/${name}.nix here.
  common = name: {
    imports = [ byteleap.nixosModules.default ];
    networking.hostName = name;
    nixpkgs.hostPlatform = "x86_64-linux";
    fileSystems."/" = {
      device = "/dev/disk/by-label/nixos";
      fsType = "ext4";
    };
    boot.loader.grub.device = "/dev/sda";
    services.openssh.enable = true;
    system.stateVersion = "26.05";
  };

  modulesOf = name: host: [ (common name) ] ++ host.modules;
  nixosConfigurations = lib.mapAttrs (
    name: host: lib.nixosSystem { modules = modulesOf name host; }
  ) hosts;
  hive = {
    meta.nixpkgs = nixpkgs.legacyPackages.x86_64-linux;
  }
  // lib.mapAttrs (name: host: {
    imports = modulesOf name host;
    deployment = {
      targetHost = host.address;
      tags = host.tags or [ ];
    };
  }) hosts;
in
{
  inherit nixosConfigurations;
}
// lib.optionalAttrs (colmena != null) {
  colmenaHive = colmena.lib.makeHive hive;
}
// lib.optionalAttrs (deploy-rs != null) {
  deploy.nodes = lib.mapAttrs (name: host: {
    hostname = host.address;
    sshUser = "root";
    profiles.system = {
      user = "root";
      path = deploy-rs.lib.x86_64-linux.activate.nixos nixosConfigurations.${name};
    };
  }) hosts;
}
