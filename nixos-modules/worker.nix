# services.byteleap.worker: computes challenges with this host's GPUs or CPU. It only dials out: there is no port to open.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;

  hasDriver =
    config.hardware.graphics.enable
    && (
      lib.elem "nvidia" config.services.xserver.videoDrivers || config.hardware.nvidia.datacenter.enable
    );

  enabled =
    lib.optional config.services.byteleap.worker.enable config.services.byteleap.worker
    ++ lib.filter (cfg: cfg.enable) (lib.attrValues config.services.byteleap.worker.instances);
  unnamed = lib.filter (cfg: cfg.settings.worker_id == null) enabled;
  withGpus = lib.filter (cfg: cfg.gpu.enable) enabled;

  # What the driver's own libraries need, beside the shared set.
  gpuSandbox = cfg: {
    # the device nodes are not in a private /dev
    PrivateDevices = false;
    # and of all the others none may be opened
    DevicePolicy = "closed";
    DeviceAllow = map (device: "${device} rw") cfg.gpu.deviceAllow;
    SupplementaryGroups = [
      # where hardware.nvidia gives the nodes to a group instead of to everybody
      "video"
      "render"
    ];
    # the driver's compiler of PTX, for cards that are newer than the kernels, is said to want it; no card was asked
    MemoryDenyWriteExecute = false;
    # page-locked memory for the copies
    LimitMEMLOCK = "infinity";
    # without ~@resources: the driver places its threads and memory by NUMA node
    SystemCallFilter = [
      "@system-service"
      "~@privileged"
    ];
  };

  role = import ./lib.nix { inherit config lib pkgs; } {
    name = "worker";
    ports = null;
    metricsPort = 9102;
    example = {
      settings.worker_id = "second";
      gpu.enable = false;
    };
    secrets.tokenFile = {
      credential = "token";
      setting = [ "token_file" ];
      example = "/run/secrets/worker-token";
      description = "File with the token that the miner asks for (its `tokenFile`).";
    };
    settings = {
      miner_url = mkOption {
        type = types.strMatching "wss?://.+";
        default = "ws://127.0.0.1:7799";
        example = "ws://miner.internal:7799";
        description = "The miner to work for.";
      };
      worker_id = mkOption {
        type = types.nullOr (types.strMatching "[A-Za-z0-9._-]{1,64}");
        default = null;
        example = "rack-3-slot-7";
        description = "Stable name of this worker. Null: made from the machine's identity. Needed where two run on one host.";
      };
    };
    options.gpu = {
      enable = mkOption {
        type = types.bool;
        default = true;
        description = ''
          Whether the GPUs of this host are used. The host must declare NVIDIA's driver; set this to false where there is
          no GPU. The unit's sandbox is tighter then.
        '';
      };
      requireDriver = mkOption {
        type = types.bool;
        default = true;
        description = ''
          Whether a host that declares no NVIDIA driver fails to build. Turn it off where the driver comes from outside,
          as in a container that is given `/run/opengl-driver` and the devices.
        '';
      };
      deviceAllow = mkOption {
        type = types.listOf types.str;
        default = [
          "char-nvidia"
          "char-nvidiactl"
          "char-nvidia-frontend"
          "char-nvidia-uvm"
          "char-nvidia-caps"
        ];
        example = [
          "/dev/nvidia0"
          "/dev/nvidiactl"
          "/dev/nvidia-uvm"
        ];
        description = "Devices that the worker may open, as systemd's `DeviceAllow` has them. Nothing else can be opened.";
      };
      visibleDevices = mkOption {
        type = types.nullOr (types.listOf types.str);
        default = null;
        example = [ "GPU-8a56b0fe" ];
        description = ''
          The GPUs that are used, by uuid (or its beginning) or index: `CUDA_VISIBLE_DEVICES`. Null: all. For two workers on
          one host, each with cards of its own. It says what the worker takes, and not what it may: see `gpu.deviceAllow`.
        '';
      };
    };
    derived =
      { unit, cfg, ... }:
      {
        gpu = {
          inherit (cfg.gpu) enable;
        }
        // lib.optionalAttrs cfg.gpu.enable {
          # known, so that `byteleap doctor gpu` can ask the executor that runs
          socket_path = "/run/${unit}/gpu.sock";
        };
      };
    unit =
      { unit, cfg, ... }:
      {
        # until Fabric Manager is up, CUDA has no GPU on a host with NVSwitch
        after = lib.optionals cfg.gpu.enable [
          "nvidia-fabricmanager.service"
          "nvidia-persistenced.service"
        ];
        environment = lib.optionalAttrs cfg.gpu.enable (
          {
            # what the driver compiled for a card that is newer than the kernels; there is no home to keep it in
            CUDA_CACHE_PATH = "/var/cache/${unit}/cuda";
          }
          // lib.optionalAttrs (cfg.gpu.visibleDevices != null) {
            CUDA_VISIBLE_DEVICES = lib.concatStringsSep "," cfg.gpu.visibleDevices;
          }
        );
        # no MemoryMax: how much a challenge takes is for the validator to say, and the host's own memory is the limit
        serviceConfig = {
          # the hardware report reads /proc/cpuinfo, /proc/meminfo and the driver's version
          ProcSubset = "all";
        }
        // lib.optionalAttrs cfg.gpu.enable (gpuSandbox cfg);
      };
    assertions =
      { option, cfg, ... }:
      [
        {
          assertion = cfg.gpu.enable && cfg.gpu.requireDriver -> hasDriver;
          message = ''
            ${option}.gpu.enable is true, as it is by default, but this host declares no NVIDIA driver. Declare it:
                hardware.graphics.enable = true;
                services.xserver.videoDrivers = [ "nvidia" ];  # also without a screen
                nixpkgs.config.allowUnfree = true;
              For a host without GPUs: ${option}.gpu.enable = false.
              Where the driver comes from outside: ${option}.gpu.requireDriver = false.'';
        }
        {
          assertion = !(cfg.settings ? gpu.enable);
          message = "${option}.settings.gpu.enable decides nothing about the unit's devices. Set ${option}.gpu.enable.";
        }
      ];
  };
in
role
// {
  config = lib.mkMerge [
    role.config
    (lib.mkIf (lib.length enabled > 1) {
      assertions = [
        {
          assertion = lib.length unnamed <= 1;
          message = "services.byteleap.worker: ${toString (lib.length unnamed)} workers of this host would call themselves by the machine's identity, and the miner would take them for one. Give each a settings.worker_id.";
        }
      ];
      warnings =
        lib.optional (lib.length (lib.filter (cfg: cfg.gpu.visibleDevices == null) withGpus) > 1)
          ''
            services.byteleap.worker: two workers of this host use all its GPUs. A card has one executor: give each worker cards of
            its own (gpu.visibleDevices), or set gpu.enable = false on all but one.'';
    })
    (lib.mkIf (withGpus != [ ] && hasDriver) {
      # systemd looks the device classes of a unit up when the unit starts: the modules must be there by then
      boot.kernelModules = [
        "nvidia"
        "nvidia-uvm"
      ];
    })
  ];
}
