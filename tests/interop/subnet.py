"""A subnet for tests: wallets that Bittensor makes, daemons of ours as processes, the simulated chain, all on loopback
and in one temporary directory. The synapses are declared as the reference implementation declares them."""

import json
import os
import socket
import subprocess
import tempfile
import time
from typing import Optional

import bittensor as bt
import bittensor.utils.networking as networking

# the SDK asks a public service for its own address when it is constructed
networking.get_external_ip = lambda: "127.0.0.1"

BIN = os.environ["BYTELEAP_BIN"]
NETUID = 128
DEADLINE_S = 60


class SessionInitSynapse(bt.Synapse):
    request: Optional[str] = None
    response: Optional[str] = None


class HeartbeatSynapse(SessionInitSynapse):
    protocol_version: int = 1


class TaskSynapse(HeartbeatSynapse):
    pass


class ChallengeSynapse(HeartbeatSynapse):
    proof_requests: Optional[list] = None


class ChallengeProofSynapse(HeartbeatSynapse):
    pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def neuron(uid, wallet, permit=False, axon=None):
    return {
        "uid": uid,
        "hotkey": wallet.hotkey.ss58_address,
        "coldkey": wallet.coldkeypub.ss58_address,
        "stake_tao": 20000.0 if permit else 0.0,
        "validator_permit": permit,
        "axon": axon,
    }


class Subnet:
    def __init__(self):
        self.dir = tempfile.TemporaryDirectory(prefix="byteleap-interop-")
        self.wallets = self.path("wallets")
        self.processes = {}

    def path(self, name):
        return os.path.join(self.dir.name, name)

    def wallet(self, name, password=None):
        """A wallet that Bittensor made."""
        wallet = bt.wallet(path=self.wallets, name=name, hotkey="default")
        wallet.create_new_coldkey(use_password=False, overwrite=True, suppress=True)
        wallet.create_new_hotkey(
            use_password=password is not None, hotkey_password=password, overwrite=True, suppress=True
        )
        return wallet

    def byteleap(self, *arguments):
        command = [os.path.join(BIN, "byteleap"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)

    def start(self, name, *command, stdout=subprocess.DEVNULL):
        with open(self.path(name + ".log"), "wb") as log:
            command = [os.path.join(BIN, command[0]), *command[1:]]
            self.processes[name] = subprocess.Popen(command, stdout=stdout, stderr=log)
        return self.processes[name]

    def chain(self, neurons, **hyperparameters):
        """The simulated chain, and its URL."""
        with open(self.path("neurons.json"), "w") as file:
            json.dump({"neurons": neurons, "hyperparameters": hyperparameters}, file)
        place = ["--listen", "127.0.0.1:0", "--netuid", str(NETUID), "--neurons", self.path("neurons.json")]
        command = ["byteleap", "subtensor-sim", *place, "--block-time-s", "1"]
        line = self.start("chain", *command, stdout=subprocess.PIPE).stdout.readline().decode()
        assert "http://" in line, f"no address from the simulated chain: {line!r}\n{self.logs()}"
        return line[line.index("http://") :].split()[0]

    def neuron_daemon(self, role, wallet, url, settings):
        owned = {"path": self.wallets, "name": wallet.name, "hotkey": "default"}
        self.daemon(role, {"netuid": NETUID, "subtensor": {"network": url, "metadata_cache": False}, "wallet": owned, **settings})

    def daemon(self, role, settings):
        path = self.path(role + ".yaml")
        with open(path, "w") as file:
            json.dump(settings, file)  # JSON is YAML
        self.start(role, role, "--config", path)

    def log(self, name):
        with open(self.path(name + ".log"), errors="replace") as file:
            return file.read()

    def logs(self):
        parts = self.processes.items()
        return "\n".join(f"--- {name} (status {part.poll()})\n{self.log(name)[-3000:]}" for name, part in parts)

    def wait_for(self, what, condition):
        """What the condition gives, once that is true."""
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"not within {DEADLINE_S} s: {what}\n{self.logs()}")

    def stop(self):
        """A daemon that ended by itself, or does not stop when asked to, is a failure."""
        for process in self.processes.values():
            process.terminate()
        statuses = {name: ended(process) for name, process in self.processes.items()}
        logs = self.logs()
        self.dir.cleanup()
        assert not any(statuses.values()), f"not all ended well: {statuses}\n{logs}"


def ended(process):
    try:
        status = process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        status = process.wait()
    if process.stdout:
        process.stdout.close()
    return status
