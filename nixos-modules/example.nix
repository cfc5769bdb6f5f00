# A host that runs all three roles: what `checks` builds, and a text to copy from.
{
  boot.isContainer = true;

  services.byteleap.worker = {
    enable = true;
    settings.miner_url = "ws://127.0.0.1:7799";
  };

  services.byteleap.miner = {
    enable = true;
    settings = {
      wallet = {
        path = "/var/lib/byteleap-miner/wallets";
        name = "fleet";
        hotkey = "miner";
      };
      worker_management.host = "127.0.0.1";
    };
  };

  services.byteleap.validator = {
    enable = true;
    openFirewall = true;
    settings = {
      wallet = {
        path = "/var/lib/byteleap-validator/wallets";
        name = "fleet";
        hotkey = "validator";
      };
      database.url = "sqlite:////var/lib/byteleap-validator/validator.db";
    };
  };
}
