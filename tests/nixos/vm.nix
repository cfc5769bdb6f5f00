# A validator, a miner and a worker as three virtual machines, with the simulated chain as a fourth: for machines with KVM and
# a binary cache (`nix build .#checks.x86_64-linux.vm -L`). tests/nixos/boot shows the same in a container, without either.
{ self, pkgs }:
let
  package = self.packages.${pkgs.stdenv.hostPlatform.system}.default;
  chain = "http://chain:9944";
  # two wallets without worth, made when the machine that holds them starts
  wallet = name: ''
    ${package}/bin/byteleap wallet new --path /var/lib/wallets --name lab --hotkey ${name}
  '';
in
pkgs.testers.runNixOSTest {
  name = "byteleap";
  defaults.imports = [ self.nixosModules.default ];
  nodes = {
    chain = {
      environment.systemPackages = [ package ];
      networking.firewall.allowedTCPPorts = [ 9944 ];
      systemd.services.subtensor-sim = {
        description = "A simulated Subtensor";
        serviceConfig.ExecStart = "${package}/bin/byteleap subtensor-sim --listen 0.0.0.0:9944 --netuid 128 --neurons /var/lib/neurons.json --block-time-s 1";
      };
    };
    validator =
      { config, ... }:
      {
        services.byteleap.validator = {
          enable = true;
          openFirewall = true;
          hotkeyFile = "/var/lib/wallets/lab/hotkeys/validator";
          settings = {
            subtensor.network = chain;
            external_ip = config.networking.primaryIPAddress;
            metagraph.weight_update_tempo = 20;
            validation = {
              challenge_interval = 30;
              cpu.matrix_size = 256;
            };
          };
          metrics.port = 9100;
        };
      };
    miner.services.byteleap.miner = {
      enable = true;
      openFirewall = true;
      hotkeyFile = "/var/lib/wallets/lab/hotkeys/miner";
      settings.subtensor.network = chain;
    };
    worker.services.byteleap.worker = {
      enable = true;
      gpu.enable = false;
      settings.miner_url = "ws://miner:7799";
    };
  };
  testScript = ''
    import json

    start_all()
    keys = {}
    for machine, name in [(validator, "validator"), (miner, "miner")]:
        machine.wait_for_unit("multi-user.target")
        machine.succeed("""${wallet "NAME"}""".replace("NAME", name))
        keys[name] = machine.succeed(
            f"byteleap wallet show --path /var/lib/wallets --name lab --hotkey {name} | sed -n 1p"
        ).strip()
    neurons = [
        {
            "uid": uid,
            "hotkey": keys[name],
            "coldkey": keys[name],
            "stake_tao": 20000 if name == "validator" else 0,
            "validator_permit": name == "validator",
            "axon": None,
        }
        for uid, name in enumerate(["validator", "miner"])
    ]
    chain.wait_for_unit("multi-user.target")
    chain.succeed(f"echo '{json.dumps(neurons)}' > /var/lib/neurons.json")
    chain.succeed("systemctl start subtensor-sim")
    chain.wait_for_open_port(9944)

    for machine, name in [(validator, "validator"), (miner, "miner"), (worker, "worker")]:
        machine.succeed(f"systemctl restart byteleap-{name}")
        machine.wait_for_unit(f"byteleap-{name}")

    # without -q, which would end journalctl with a broken pipe
    verified = "journalctl -b -u byteleap-validator -o cat | grep 'challenge state=verified' >/dev/null"
    validator.wait_until_succeeds(verified, timeout=300)

    with subtest("a daemon that is killed comes back"):
        for machine, name in [(validator, "validator"), (miner, "miner"), (worker, "worker")]:
            restarts = int(machine.succeed(f"systemctl show -p NRestarts --value byteleap-{name}"))
            machine.succeed(f"systemctl kill --signal=KILL --kill-whom=main byteleap-{name}")
            machine.wait_until_succeeds(
                f"test $(systemctl show -p NRestarts --value byteleap-{name}) -gt {restarts}"
            )
            machine.wait_for_unit(f"byteleap-{name}")

    with subtest("a stop is clean and quick"):
        for machine, name in [(worker, "worker"), (miner, "miner"), (validator, "validator")]:
            machine.succeed(f"timeout 5 systemctl stop byteleap-{name}")
            machine.succeed(f"systemctl show -p Result --value byteleap-{name} | grep -x success >/dev/null")
  '';
}
