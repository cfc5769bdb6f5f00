# What miner and validator share: the hotkey, as credentials, and the chain.
{ lib }:
name:
let
  inherit (lib) mkOption types;
in
{
  secrets = {
    hotkeyFile = {
      credential = "hotkey";
      setting = [
        "wallet"
        "file"
      ];
      example = "/run/secrets/${name}-hotkey";
      description = ''
        The hotkey that signs: a key file of Bittensor's wallets, on the host and not in the store. systemd hands it to the
        unit as a credential, so it may belong to root alone. `byteleap wallet new` makes one.
      '';
    };
    hotkeyPasswordFile = {
      credential = "hotkey-password";
      setting = [
        "wallet"
        "password_file"
      ];
      example = "/run/secrets/${name}-hotkey-password";
      description = "File whose first line is the hotkey's password, when the hotkey is encrypted.";
    };
  };
  settings = {
    netuid = mkOption {
      type = types.ints.u16;
      default = 128;
      description = "The subnet's number on the chain.";
    };
    subtensor.network = mkOption {
      type = types.str;
      default = "finney";
      example = "http://10.0.0.5:9944";
      description = "`finney`, `test`, `local`, or the URL of a node.";
    };
  };
  assertions =
    { option, cfg, ... }:
    [
      {
        assertion =
          cfg.hotkeyFile != null || (cfg.settings ? wallet.file && cfg.settings.wallet.file != null);
        message = ''
          ${option}.hotkeyFile is not set: a ${name} signs with a hotkey. Make one on the host,
                byteleap wallet new --path /etc/byteleap/wallets --name fleet --hotkey ${name}
              (a wallet in somebody's home, settings.wallet.path, is none that the unit can see),
              register it (byteleap chain register), and name the file:
                ${option}.hotkeyFile = "/etc/byteleap/wallets/fleet/hotkeys/${name}";'';
      }
    ];
}
