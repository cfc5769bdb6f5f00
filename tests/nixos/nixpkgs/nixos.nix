# lib.nixosSystem: the options of NixOS that the modules and examples read or write. systemd's units become text; what
# else a host has (disks, boot, drivers, SSH) is taken and goes nowhere.
{ lib, legacyPackages }:
{
  modules,
  system ? "x86_64-linux",
  specialArgs ? { },
}:
let
  inherit (lib) mkOption types;
  pkgs = legacyPackages.${system};

  option = type: default: mkOption { inherit type default; };
  loose = option (types.attrsOf types.value) { };
  list = option (types.listOf types.raw) [ ];
  flag = default: option types.bool default;

  service = types.submodule {
    options = {
      enable = flag true;
      description = option types.str "";
      documentation = list;
      wantedBy = list;
      requires = list;
      wants = list;
      after = list;
      before = list;
      partOf = list;
      restartTriggers = list;
      restartIfChanged = flag true;
      stopIfChanged = flag true;
      environment = option (types.attrsOf types.raw) { };
      unitConfig = loose;
      serviceConfig = loose;
    };
  };

  host.options = {
    assertions = list;
    warnings = list;
    boot = {
      isContainer = flag false;
      kernelModules = list;
      loader = loose;
    };
    documentation.enable = flag true;
    environment = {
      etc = option (types.attrsOf types.raw) { };
      systemPackages = list;
    };
    fileSystems = loose;
    hardware = {
      graphics.enable = flag false;
      nvidia = {
        open = flag false;
        nvidiaPersistenced = flag false;
        datacenter.enable = flag false;
      };
    };
    networking = {
      hostName = option types.str "nixos";
      primaryIPAddress = option types.str "192.168.1.1";
      firewall.allowedTCPPorts = option (types.listOf types.port) [ ];
    };
    nixpkgs = {
      config = loose;
      hostPlatform = option types.str system;
    };
    services = {
      openssh.enable = flag false;
      xserver.videoDrivers = option (types.listOf types.str) [ ];
    };
    system.stateVersion = option types.str "26.05";
    systemd.services = option (types.attrsOf service) { };
    virtualisation = loose;
  };

  inherit
    (lib.evalModules {
      modules = [ host ] ++ modules;
      specialArgs = {
        inherit pkgs;
      }
      // specialArgs;
    })
    config
    options
    ;

  # ---- units as systemd reads them
  text = value: if builtins.isBool value then lib.boolToString value else toString value;
  keys =
    attrs:
    lib.concatMapStrings (
      name: lib.concatMapStrings (value: "${name}=${text value}\n") (lib.toList attrs.${name})
    ) (lib.attrNames attrs);
  joined = attrs: lib.mapAttrs (_: toString) (lib.filterAttrs (_: values: values != [ ]) attrs);
  environment = lib.concatMapStrings (it: "Environment=${builtins.toJSON it}\n");
  render =
    unit:
    ''
      [Unit]
      ${keys (
        joined {
          After = unit.after;
          Before = unit.before;
          Documentation = unit.documentation;
          PartOf = unit.partOf;
          Requires = unit.requires;
          Wants = unit.wants;
        }
        // lib.optionalAttrs (unit.description != "") { Description = unit.description; }
        // unit.unitConfig
      )}
      [Service]
      ${
        environment (lib.mapAttrsToList (name: value: "${name}=${toString value}") unit.environment)
      }${keys unit.serviceConfig}
    ''
    + lib.optionalString (unit.wantedBy != [ ]) ''
      [Install]
      WantedBy=${toString unit.wantedBy}
    '';

  units = lib.mapAttrs' (
    name: service:
    let
      file = "${name}.service";
      text = render service;
    in
    lib.nameValuePair file {
      inherit text;
      unit = pkgs.writeTextDir file text;
    }
  ) (lib.filterAttrs (_: service: service.enable) config.systemd.services);

  failed = lib.filter (it: !it.assertion) config.assertions;
  toplevel =
    lib.throwIf (failed != [ ])
      "\nFailed assertions:\n${lib.concatMapStrings (it: "- ${it.message}\n") failed}"
      (
        pkgs.runCommand "nixos-system-${config.networking.hostName}" { } ''
          mkdir -p $out/units
          ${lib.concatStrings (lib.mapAttrsToList (name: it: "ln -s ${it.unit}/${name} $out/units/\n") units)}
        ''
      );
in
{
  inherit options pkgs;
  config = lib.recursiveUpdate config {
    systemd = { inherit units; };
    system.build = { inherit toplevel; };
  };
}
