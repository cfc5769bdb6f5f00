# Changes to the host nixos-modules/examples/control.nix. by: who must refuse it (the type of an option, an assertion, the
# daemon's own --check when the system is built, or nothing); says: a piece of the message.
{ lib }:
let
  refused = by: says: host: { inherit by says host; };
  builds = refused "nothing" "";
  services = byteleap: { services.byteleap = byteleap; };
in
{
  port-of-the-wrong-type = refused "type" "settings.port' is not of type" (services {
    validator.settings.port = "9091";
  });
  port-out-of-range = refused "type" "worker_management.port' is not of type" (services {
    miner.settings.worker_management.port = 70000;
  });
  miner-url-that-is-none = refused "type" "settings.miner_url' is not of type" (services {
    worker.settings.miner_url = "miner:7799";
    worker.enable = true;
    worker.gpu.enable = false;
  });
  unknown-option = refused "type" "miner.hotkeyfile' does not exist" (services {
    miner.hotkeyfile = "/run/secrets/hotkey";
  });
  hotkey-in-the-store = refused "type" "hotkeyFile' is not of type" (services {
    miner.hotkeyFile = lib.mkForce "/nix/store/00000000000000000000000000000000-hotkey";
  });
  hotkey-with-a-relative-path = refused "type" "hotkeyFile' is not of type" (services {
    miner.hotkeyFile = lib.mkForce "hotkey";
  });
  hotkey-as-a-path-of-nix = refused "type" "hotkeyFile' is not of type" (services {
    miner.hotkeyFile = lib.mkForce ./cases.nix;
  });
  two-definitions-that-differ = refused "type" "conflicting definition" (services {
    miner.settings.worker_management.host = lib.mkMerge [
      "10.0.0.1"
      "10.0.0.2"
    ];
  });

  no-hotkey = refused "assertion" "byteleap wallet new" (services {
    miner.hotkeyFile = lib.mkForce null;
  });
  no-hotkey-of-an-instance =
    refused "assertion" "services.byteleap.miner.instances.west.hotkeyFile is not set"
      (services {
        miner.instances.west.settings.worker_management.port = 7801;
      });
  hotkey-named-twice = refused "assertion" "Take one of them away" (services {
    miner.settings.wallet.file = "/etc/hotkey";
  });
  hotkey-in-the-settings-as-a-path-of-nix = refused "assertion" "must name a credential" (services {
    miner.hotkeyFile = lib.mkForce null;
    miner.settings.wallet.file = ./cases.nix;
  });
  token-in-the-settings-in-the-store = refused "assertion" "must name a credential" (services {
    miner.tokenFile = lib.mkForce null;
    miner.settings.worker_management.token_file = "/nix/store/00000000000000000000000000000000-token";
  });
  token-in-a-home = refused "assertion" "must name a credential" (services {
    miner.tokenFile = lib.mkForce null;
    miner.settings.worker_management.token_file = "/run/user/1000/token";
  });
  credential-that-nobody-loads = refused "assertion" "credentials.hub = " (services {
    validator.settings.meshhub = {
      ws_url = "wss://hub.example/ws/mesh";
      access_token_file = "credential:hub";
    };
  });
  credential-with-a-bad-name = refused "assertion" "a name is made of" (services {
    validator.credentials."a b:c" = "/run/secrets/x";
  });
  one-hotkey-twice = refused "assertion" "Each needs a hotkey of its own" (services {
    miner.instances.east.hotkeyFile = lib.mkForce "/run/secrets/miner-hotkey";
  });
  firewall-open-for-nothing = refused "assertion" "metrics.openFirewall opens nothing" (services {
    miner.metrics.port = lib.mkForce null;
    miner.metrics.openFirewall = true;
  });
  metrics-in-the-settings = refused "assertion" "Set services.byteleap.miner.metrics.port" (services {
    miner.settings.metrics.listen = "0.0.0.0:9101";
  });
  credential-named-twice = refused "assertion" "uses this name" (services {
    miner.credentials.hotkey = "/run/secrets/another";
  });
  one-port-twice = refused "assertion" "Give one of them another port" (services {
    miner.instances.east.settings.worker_management.port = lib.mkForce 7799;
  });
  metrics-on-the-port-of-a-service = refused "assertion" "Give one of them another port" (services {
    validator.metrics.port = lib.mkForce 7799;
  });
  gpu-without-driver = refused "assertion" "hardware.graphics.enable = true" (services {
    worker.enable = true;
  });
  gpu-switched-off-in-the-settings =
    refused "assertion" "Set services.byteleap.worker.gpu.enable"
      (services {
        worker.enable = true;
        worker.gpu.enable = false;
        worker.settings.gpu.enable = false;
      });
  workers-with-one-name = refused "assertion" "Give each a settings.worker_id" (services {
    worker.instances = lib.genAttrs [ "a" "b" ] (_: {
      gpu.enable = false;
    });
  });
  instance-with-a-bad-name = refused "assertion" "1 to 32 letters" (services {
    miner.instances."a b" = {
      hotkeyFile = "/run/secrets/hotkey";
      settings.worker_management.port = 7801;
    };
  });
  marketplace-without-token = refused "assertion" "meshhubTokenFile" (services {
    validator.settings.meshhub.ws_url = "wss://hub.example/ws/mesh";
  });

  unknown-setting = refused "daemon" "wallet.hotkeey" (services {
    miner.settings.wallet.hotkeey = "x";
  });
  setting-out-of-range = refused "daemon" "validation.cpu.matrix_size" (services {
    validator.settings.validation.cpu.matrix_size = 5;
  });
  metrics-for-everybody = refused "daemon" "metrics.token_file" (services {
    miner.metrics.address = "0.0.0.0";
  });
  secret-in-the-settings = refused "daemon" "access_token" (services {
    validator.settings.meshhub.access_token = "a token that everybody could read";
  });

  worker-without-gpu = builds (services {
    worker.enable = true;
    worker.gpu.enable = false;
  });
  driver-from-outside = builds (services {
    worker.enable = true;
    worker.gpu.requireDriver = false;
  });
  one-port-on-two-addresses = builds (services {
    miner.settings.worker_management.host = "10.0.0.1";
    miner.instances.east.settings.worker_management = {
      host = "10.0.0.2";
      port = lib.mkForce 7799;
    };
  });
  credential-of-ones-own = builds (services {
    validator.credentials.hub = "/run/secrets/hub";
    validator.settings.meshhub = {
      ws_url = "wss://hub.example/ws/mesh";
      access_token_file = "credential:hub";
    };
  });
  freeform-settings = builds (services {
    miner.settings.worker_management.allow = [ "10.0.0.0/8" ];
    miner.tokenFile = lib.mkForce null;
  });
  all-off = builds (services {
    miner.enable = lib.mkForce false;
    miner.instances.east.enable = false;
    validator.enable = lib.mkForce false;
  });
  forced = builds (services {
    validator.settings.port = lib.mkForce 9191;
  });
}
