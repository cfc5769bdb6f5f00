# What the three roles share: their options, the checked configuration file, the unit and its sandbox. A role says what
# differs:
#   name         as its binary is called
#   ports        settings -> { address, port } where it listens, or null; portSetting: where that port is set
#   metricsPort  for an example, as is `example` (settings of a second instance)
#   secrets      options for files: NAME -> { credential, setting, example, description }
#   settings     options for the settings whose type Nix checks; options: others beside `settings`
#   derived      instance -> settings that follow from other options
#   unit         instance -> { after, environment, serviceConfig }: what its unit has beyond or instead
#   assertions   instance -> assertions
# where an instance is { unit, option, cfg }: its unit's name, where its options are, and their values.
{
  config,
  lib,
  pkgs,
  ...
}:
role:
let
  inherit (lib) mkOption types;
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
    KeyringMode = "private";
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
    SystemCallErrorNumber = "EPERM";
    SystemCallFilter = [
      "@system-service"
      "~@privileged @resources"
    ];
  };

  # A connection is a descriptor; a thread a task. What is reached here is a leak, and not a busy day.
  limits = {
    LimitNOFILE = 65536;
    TasksMax = 1024;
    # a core dump would hold the hotkey
    LimitCORE = 0;
  };

  # a secret is named by where it lies on the host: a path inside the store could be read by everybody
  secretFile =
    { description, example, ... }:
    mkOption {
      type = types.nullOr types.externalPath;
      default = null;
      inherit description example;
    };

  secrets = role.secrets // {
    metricsTokenFile = {
      credential = "metrics-token";
      setting = [
        "metrics"
        "token_file"
      ];
      example = "/run/secrets/metrics-token";
      description = ''
        File with a token that whoever reads `metrics.port` must bear, all but `/healthz`: one line of 16 to 512 visible
        ASCII characters. Needed where `metrics.address` is not of loopback.
      '';
    };
  };

  instance = {
    package = lib.mkPackageOption pkgs "byteleap" { };
    settings = mkOption {
      type = types.submodule {
        freeformType = format.type;
        options = role.settings;
      };
      default = { };
      description = ''
        Settings of the ${role.name}: the keys of `config/${role.name}.yaml`, all of them. The file that they make is
        checked by the ${role.name} itself (`--check`) when the system is built. It lies in the store, where everybody
        can read it: secrets are named by the options for files. A setting that is null is left out of it.
      '';
    };
    credentials = mkOption {
      type = types.attrsOf types.externalPath;
      default = { };
      example = {
        authority = "/run/secrets/authority.pem";
      };
      description = ''
        More files for this ${role.name}, as systemd credentials: settings name them `credential:NAME`.
      '';
    };
    metrics = {
      port = mkOption {
        type = types.nullOr types.port;
        default = null;
        example = role.metricsPort;
        description = "Where `/status`, `/readyz`, `/metrics` (Prometheus) and `/healthz` answer. Null: nowhere.";
      };
      address = mkOption {
        type = types.str;
        default = "127.0.0.1";
        example = "10.0.0.5";
        description = "The IP address of that port. Beyond loopback `metricsTokenFile` is needed.";
      };
      openFirewall = mkOption {
        type = types.bool;
        default = false;
        description = "Whether to open that port in the firewall.";
      };
    };
  }
  // lib.mapAttrs (_: secretFile) secrets
  // lib.optionalAttrs (role.ports != null) {
    openFirewall = mkOption {
      type = types.bool;
      default = false;
      description = "Whether to open the ${role.name}'s port in the firewall.";
    };
  }
  // role.options;

  all = config.services.byteleap.${role.name};

  instances =
    lib.optional all.enable (named "byteleap-${role.name}" "services.byteleap.${role.name}" all)
    ++ lib.mapAttrsToList (
      name: named "byteleap-${role.name}-${name}" "services.byteleap.${role.name}.instances.${name}"
    ) (lib.filterAttrs (_: cfg: cfg.enable) all.instances);

  hotkeys = lib.filter (file: file != null) (map (it: it.cfg.hotkeyFile or null) instances);

  # unit: the name of its unit and its directories; option: where its options are, for messages
  named = unit: option: cfg: { inherit unit option cfg; };

  present = lib.filterAttrsRecursive (_: value: value != null);
  secretsOf = cfg: lib.filterAttrs (option: _: cfg.${option} != null) secrets;
  endpoint =
    address: port: "${if lib.hasInfix ":" address then "[${address}]" else address}:${toString port}";

  # what follows from other options; a setting that is written wins
  settingsOf =
    { cfg, ... }@it:
    lib.foldl' lib.recursiveUpdate { } (
      lib.mapAttrsToList (_: secret: lib.setAttrByPath secret.setting "credential:${secret.credential}") (
        secretsOf cfg
      )
      ++ lib.optional (cfg.metrics.port != null) {
        metrics.listen = endpoint cfg.metrics.address cfg.metrics.port;
      }
      ++ [
        (role.derived it)
        (present cfg.settings)
      ]
    );

  fileOf =
    {
      unit,
      option,
      cfg,
    }@it:
    let
      raw = format.generate "${unit}.yaml" (settingsOf it);
      checked = pkgs.runCommand "${unit}-checked.yaml" { } ''
        ${cfg.package}/bin/${role.name} --config ${raw} --check || {
          echo 'This file is made from ${option}.settings: change it there.' >&2
          exit 1
        }
        cp ${raw} $out
      '';
      # a host of another architecture is built without asking its own binary
      runs = pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform;
    in
    if runs then checked else raw;

  serviceOf =
    { unit, cfg, ... }@it:
    let
      own = role.unit it;
    in
    {
      description = lib.replaceStrings [ "byteleap-" "-" ] [ "ByteLeap " " " ] unit;
      documentation = [ "https://github.com/byteleap/byteleap" ];
      wantedBy = [ "multi-user.target" ];
      wants = [
        "network-online.target"
        "time-sync.target"
      ];
      # signatures and challenges carry times: where systemd-time-wait-sync is enabled, they wait for the clock
      after = [
        "network-online.target"
        "nss-lookup.target"
        "time-sync.target"
      ]
      ++ own.after or [ ];
      environment = own.environment or { };
      # a switch takes the old one down and the new one up in one step, once everything is built
      stopIfChanged = false;
      serviceConfig =
        hardening
        // limits
        // {
          Type = "notify";
          ExecStart = "${cfg.package}/bin/${role.name} --config ${fileOf it}";
          Restart = "on-failure";
          RestartSec = 5;
          # 78: the configuration must be changed first
          RestartPreventExitStatus = 78;
          # fed by the event loop itself: one that hangs is ended and restarted
          WatchdogSec = 60;
          # the worker is asked, and asks its executor: what that computes may still be delivered
          KillMode = "mixed";
          # a new version may have to bring a large database up to date first
          TimeoutStartSec = 600;
          # longer than the validator waits for its database
          TimeoutStopSec = 30;
          StateDirectory = unit;
          StateDirectoryMode = "0700";
          # the chain's metadata: see subtensor.metadata_cache
          CacheDirectory = unit;
          CacheDirectoryMode = "0700";
          RuntimeDirectory = unit;
          RuntimeDirectoryMode = "0700";
          WorkingDirectory = "%S/${unit}";
          # not interpolated: that would copy a path into the store
          LoadCredential = lib.mapAttrsToList (
            name: path: "${name}:${lib.replaceStrings [ "%" ] [ "%%" ] (toString path)}"
          ) (credentialsOf cfg);
        }
        // own.serviceConfig or { };
    };

  portsOf =
    { option, cfg, ... }@it:
    let
      settings = settingsOf it;
    in
    lib.optional (role.ports != null) {
      inherit (role.ports settings) address port;
      setting = "${option}.settings.${role.portSetting}";
      open = cfg.openFirewall;
    }
    ++ lib.optional (cfg.metrics.port != null) {
      inherit (cfg.metrics) address port;
      setting = "${option}.metrics.port";
      open = cfg.metrics.openFirewall;
    };

  readable =
    file:
    lib.hasPrefix "credential:" file
    ||
      lib.hasPrefix "/" file
      && !lib.hasPrefix builtins.storeDir file
      && !lib.any (home: lib.hasPrefix "/${home}/" file) [
        "home"
        "root"
        "run/user"
      ];

  # the credentials that settings name, wherever they do
  namedIn =
    value:
    if lib.isString value then
      lib.optional (lib.hasPrefix "credential:" value) (lib.removePrefix "credential:" value)
    else if lib.isList value then
      lib.concatMap namedIn value
    else if lib.isAttrs value then
      lib.concatMap namedIn (lib.attrValues value)
    else
      [ ];

  credentialsOf =
    cfg:
    lib.mapAttrs' (option: secret: lib.nameValuePair secret.credential cfg.${option}) (secretsOf cfg)
    // cfg.credentials;

  assertionsOf =
    { option, cfg, ... }@it:
    lib.concatLists (
      lib.mapAttrsToList (
        name: secret:
        let
          setting = lib.concatStringsSep "." secret.setting;
          value = lib.attrByPath secret.setting null cfg.settings;
        in
        [
          {
            assertion = value == null || cfg.${name} == null;
            message = "${option}: ${name} and settings.${setting} both name a file. Take one of them away.";
          }
          {
            # a path that is no text would be copied into the store
            assertion = value == null || lib.isString value && readable value;
            message = "${option}.settings.${setting} must name a credential, or a file that the unit can read: outside of the Nix store, where everybody can read it, and of homes, which it does not see. Put the file on the host, and name it with ${option}.${name}.";
          }
        ]
      ) secrets
    )
    ++ [
      {
        assertion = !(cfg.settings ? metrics.listen);
        message = "${option}.settings.metrics.listen says nothing to the firewall. Set ${option}.metrics.port and metrics.address.";
      }
    ]
    ++
      map
        (credential: {
          assertion = !(cfg.credentials ? ${credential.name});
          message = "${option}.credentials.${credential.name}: ${credential.option} uses this name. Give the file another one.";
        })
        (
          lib.mapAttrsToList (option: secret: {
            inherit option;
            name = secret.credential;
          }) (secretsOf cfg)
        )
    ++ map (name: {
      assertion = credentialsOf cfg ? ${name};
      message = "${option}.settings name credential:${name}, and no file is given for it. Name the file: ${option}.credentials.${name} = \"/run/secrets/${name}\";";
    }) (namedIn cfg.settings)
    ++ [
      {
        assertion = lib.all (name: builtins.match "[A-Za-z0-9._-]+" name != null) (
          lib.attrNames cfg.credentials
        );
        message = "${option}.credentials: a name is made of letters, digits, dots, dashes and underscores, and not ${lib.concatStringsSep ", " (lib.attrNames cfg.credentials)}.";
      }
      {
        assertion = cfg.metrics.openFirewall -> cfg.metrics.port != null;
        message = "${option}.metrics.openFirewall opens nothing: set ${option}.metrics.port.";
      }
    ]
    ++ role.assertions it;
in
{
  imports = [ ./host.nix ];

  options.services.byteleap.${role.name} = {
    enable = lib.mkEnableOption "the ByteLeap ${role.name}";
    instances = mkOption {
      type = types.attrsOf (
        types.submodule {
          options = instance // {
            enable = mkOption {
              type = types.bool;
              default = true;
              description = "Whether this instance runs.";
            };
            package = lib.mkPackageOption pkgs "byteleap" { } // {
              default = all.package;
              defaultText = lib.literalExpression "config.services.byteleap.${role.name}.package";
            };
          };
        }
      );
      default = { };
      example = {
        second = role.example;
      };
      description = ''
        More ${role.name}s on this host, by name, each with options of its own: the unit `byteleap-${role.name}-NAME`, and
        directories of that name.
      '';
    };
  }
  // instance;

  config = lib.mkIf (instances != [ ]) {
    assertions = lib.concatMap assertionsOf instances ++ [
      {
        assertion = lib.length (lib.unique hotkeys) == lib.length hotkeys;
        message = "services.byteleap.${role.name}: two ${role.name}s of this host have one hotkeyFile. Each needs a hotkey of its own, which it alone uses.";
      }
      {
        assertion = lib.all (name: builtins.match "[a-zA-Z0-9_-]{1,32}" name != null) (
          lib.attrNames all.instances
        );
        message = "services.byteleap.${role.name}.instances: a name becomes part of units and paths: 1 to 32 letters, digits, dashes or underscores, and not ${lib.concatStringsSep ", " (lib.attrNames all.instances)}.";
      }
    ];
    services.byteleap.host.ports = lib.concatMap portsOf instances;
    systemd.services = lib.listToAttrs (map (it: lib.nameValuePair it.unit (serviceOf it)) instances);
    # where the operator's tool finds what a daemon runs with: byteleap … --config /etc/byteleap/UNIT.yaml
    environment.etc = lib.listToAttrs (
      map (it: lib.nameValuePair "byteleap/${it.unit}.yaml" { source = fileOf it; }) instances
    );
    environment.systemPackages = lib.unique (map (it: it.cfg.package) instances);
  };
}
