# What the three units share: options, the checked configuration file, the sandbox. The roles add what differs.
{
  config,
  lib,
  pkgs,
}:
let
  format = pkgs.formats.yaml { };

  # Every relaxation of this set is made in a role's file, with its reason.
  hardening = {
    DynamicUser = true;
    UMask = "0077";
    CapabilityBoundingSet = "";
    AmbientCapabilities = "";
    NoNewPrivileges = true;
    ProtectSystem = "strict";
    ProtectHome = true;
    ProtectClock = true;
    ProtectControlGroups = true;
    ProtectHostname = true;
    ProtectKernelLogs = true;
    ProtectKernelModules = true;
    ProtectKernelTunables = true;
    ProtectProc = "invisible";
    ProcSubset = "pid";
    PrivateTmp = true;
    PrivateDevices = true;
    PrivateUsers = true;
    DevicePolicy = "closed";
    LockPersonality = true;
    MemoryDenyWriteExecute = true;
    RemoveIPC = true;
    RestrictNamespaces = true;
    RestrictRealtime = true;
    RestrictSUIDSGID = true;
    RestrictAddressFamilies = [
      "AF_INET"
      "AF_INET6"
      "AF_UNIX"
    ];
    SystemCallArchitectures = "native";
    SystemCallFilter = [
      "@system-service"
      "~@privileged @resources"
    ];
    LimitNOFILE = 65536;
    # a core dump would hold the hotkey
    LimitCORE = 0;
  };
in
{
  # The options of `services.byteleap.<role>`.
  options = role: {
    enable = lib.mkEnableOption "the ByteLeap ${role}";
    package = lib.mkPackageOption pkgs "byteleap" { };
    settings = lib.mkOption {
      type = format.type;
      default = { };
      description = ''
        Settings of the ${role}, as in `config/${role}.yaml`. The file is checked by the ${role} itself when the
        system is built. Secrets do not belong here: the file lies in the world-readable store.
      '';
    };
    credentials = lib.mkOption {
      type = lib.types.attrsOf lib.types.path;
      default = { };
      example = lib.literalExpression ''{ hotkey = "/run/secrets/hotkey"; }'';
      description = ''
        Files handed to the unit as systemd credentials. Each is readable by the ${role} alone, under
        `/run/credentials/byteleap-${role}.service/NAME`.
      '';
    };
    openFirewall = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = "Whether to open the ${role}'s listening port.";
    };
  };

  # The unit of a role. `extra` is merged over the hardening: each line of it is a decision of that role.
  service =
    role: extra:
    let
      cfg = config.services.byteleap.${role};
      raw = format.generate "byteleap-${role}.yaml" cfg.settings;
      checked = pkgs.runCommand "byteleap-${role}-checked.yaml" { } ''
        ${cfg.package}/bin/${role} --config ${raw} --check
        cp ${raw} $out
      '';
    in
    {
      description = "ByteLeap ${role}";
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ];
      serviceConfig =
        hardening
        // {
          Type = "notify";
          ExecStart = "${cfg.package}/bin/${role} --config ${checked}";
          Restart = "on-failure";
          RestartSec = 5;
          # 78: the configuration must be changed first
          RestartPreventExitStatus = 78;
          # fed by the event loop itself: one that hangs is ended and restarted
          WatchdogSec = 60;
          # the chain's metadata: see subtensor.metadata_cache
          CacheDirectory = "byteleap-${role}";
          StateDirectory = "byteleap-${role}";
          WorkingDirectory = "%S/byteleap-${role}";
          LoadCredential = lib.mapAttrsToList (name: path: "${name}:${path}") cfg.credentials;
        }
        // extra;
    };
}
