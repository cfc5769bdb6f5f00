# A host that runs all three roles: what `checks` builds, and a text to copy from.
{
  boot.isContainer = true;

  services.byteleap.worker = {
    enable = true;
    settings.miner_url = "ws://127.0.0.1:7799";
  };

  # a hotkey belongs to root alone; the unit's own user reads it as a credential
  services.byteleap.miner = {
    enable = true;
    credentials.hotkey = "/etc/byteleap/wallets/fleet/hotkeys/miner";
    settings = {
      wallet.file = "/run/credentials/byteleap-miner.service/hotkey";
      worker_management.host = "127.0.0.1";
    };
  };

  services.byteleap.validator = {
    enable = true;
    openFirewall = true;
    credentials.hotkey = "/etc/byteleap/wallets/fleet/hotkeys/validator";
    settings = {
      wallet.file = "/run/credentials/byteleap-validator.service/hotkey";
      database.url = "sqlite:////var/lib/byteleap-validator/validator.db";
    };
  };
}
