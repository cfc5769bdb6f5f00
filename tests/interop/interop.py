"""Bittensor's own Python package as the peer of our daemons: its dendrite against our axon, its axon against our
miner, wallets both ways. Everything runs on loopback; the chain is the project's simulated one."""

import asyncio
import json
import os
import queue
import socket
import subprocess
import tempfile
import time
import unittest
from typing import Optional

import bittensor as bt
import bittensor.utils.networking as networking

import session

# the SDK asks a public service for its own address when it is constructed
networking.get_external_ip = lambda: "127.0.0.1"

BIN = os.environ["BYTELEAP_BIN"]
NETUID = 128
DEADLINE_S = 60


class SessionInitSynapse(bt.Synapse):
    request: Optional[str] = None
    response: Optional[str] = None


class HeartbeatSynapse(bt.Synapse):
    request: Optional[str] = None
    response: Optional[str] = None
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


def wait_for(what, condition):
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {DEADLINE_S} s: {what}")


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Bench:
    """A directory, its wallets, its processes."""

    def __init__(self):
        self.dir = tempfile.TemporaryDirectory(prefix="byteleap-interop-")
        self.processes = []

    def path(self, name):
        return os.path.join(self.dir.name, name)

    def wallet(self, name):
        """A wallet that Bittensor made."""
        wallet = bt.wallet(path=self.path("wallets"), name=name, hotkey="default")
        wallet.create_new_coldkey(use_password=False, overwrite=True, suppress=True)
        wallet.create_new_hotkey(use_password=False, overwrite=True, suppress=True)
        return wallet

    def start(self, name, *arguments, stdout=subprocess.DEVNULL):
        log = open(self.path(name + ".log"), "wb")
        process = subprocess.Popen([os.path.join(BIN, arguments[0]), *arguments[1:]], stdout=stdout, stderr=log)
        self.processes.append((name, process))
        return process

    def chain(self, neurons):
        with open(self.path("neurons.json"), "w") as file:
            json.dump(neurons, file)
        sim = self.start(
            "chain",
            "byteleap",
            "subtensor-sim",
            "--listen",
            "127.0.0.1:0",
            "--netuid",
            str(NETUID),
            "--neurons",
            self.path("neurons.json"),
            "--block-time-s",
            "1",
            stdout=subprocess.PIPE,
        )
        line = sim.stdout.readline().decode()
        assert "http://" in line, f"no address from the simulated chain: {line!r}\n{self.logs()}"
        return line[line.index("http://") :].split()[0]

    def daemon(self, role, settings):
        # JSON is YAML
        with open(self.path(role + ".yaml"), "w") as file:
            json.dump(settings, file)
        return self.start(role, role, "--config", self.path(role + ".yaml"))

    def wallet_settings(self, wallet):
        return {"path": self.path("wallets"), "name": wallet.name, "hotkey": "default"}

    def logs(self):
        texts = []
        for name, process in self.processes:
            with open(self.path(name + ".log"), errors="replace") as file:
                texts.append(f"--- {name} (status {process.poll()})\n{file.read()[-3000:]}")
        return "\n".join(texts)

    def stop(self):
        for _, process in self.processes:
            process.terminate()
        for _, process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()
        self.dir.cleanup()


def neuron(uid, wallet, permit=False, axon=None):
    return {
        "uid": uid,
        "hotkey": wallet.hotkey.ss58_address,
        "coldkey": wallet.coldkeypub.ss58_address,
        "stake_tao": 20000.0 if permit else 0.0,
        "validator_permit": permit,
        "axon": axon,
    }


class Wallets(unittest.TestCase):
    def setUp(self):
        self.bench = Bench()
        self.addCleanup(self.bench.stop)

    def byteleap(self, *arguments):
        done = subprocess.run([os.path.join(BIN, "byteleap"), *arguments], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_ours_reads_theirs(self):
        wallet = self.bench.wallet("theirs")
        shown = self.byteleap(
            "wallet", "show", "--path", self.bench.path("wallets"), "--name", "theirs", "--hotkey", "default"
        )
        self.assertIn(wallet.hotkey.ss58_address, shown)
        self.assertNotIn(wallet.hotkey.private_key.hex(), shown)

    def test_theirs_reads_ours(self):
        shown = self.byteleap(
            "wallet", "new", "--path", self.bench.path("wallets"), "--name", "ours", "--hotkey", "default"
        )
        wallet = bt.wallet(path=self.bench.path("wallets"), name="ours", hotkey="default")
        self.assertIn(wallet.hotkey.ss58_address, shown)
        signature = wallet.hotkey.sign(b"text")
        self.assertTrue(bt.Keypair(ss58_address=wallet.hotkey.ss58_address).verify(b"text", signature))


class TheirDendriteOurAxon(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bench = bench = Bench()
        cls.addClassCleanup(bench.stop)
        cls.validator, cls.miner, cls.outsider = (bench.wallet(name) for name in ("validator", "miner", "outsider"))
        url = bench.chain([neuron(0, cls.validator, permit=True), neuron(1, cls.miner)])
        cls.port = free_port()
        bench.daemon(
            "validator",
            {
                "port": cls.port,
                "netuid": NETUID,
                "subtensor": {"network": url},
                "wallet": bench.wallet_settings(cls.validator),
                "database": {"url": "sqlite:///" + bench.path("validator.db")},
            },
        )
        wait_for("the axon's port", lambda: listening(cls.port))
        cls.me, cls.them = cls.miner.hotkey.ss58_address, cls.validator.hotkey.ss58_address
        wait_for("the metagraph", lambda: cls.call(cls.miner, SessionInitSynapse(request="?")).axon.status_code == 200)

    @classmethod
    def call(cls, wallet, synapse, timeout=12.0, port=None):
        info = bt.AxonInfo(
            version=9010000, ip="127.0.0.1", port=port or cls.port, ip_type=4, hotkey=cls.them, coldkey=cls.them
        )

        async def go():
            async with bt.dendrite(wallet=wallet) as dendrite:
                return await dendrite.call(target_axon=info, synapse=synapse, timeout=timeout, deserialize=False)

        return asyncio.run(go())

    def handshake(self):
        hello = session.Hello()
        answer = self.call(self.miner, SessionInitSynapse(request=hello.request))
        self.assertEqual(answer.axon.status_code, 200, answer.axon.status_message)
        return hello.finish(self.me, self.them, answer.response)

    def heartbeat(self):
        info = {"cpu_count": 8, "memory_total": 32000, "gpu_info": [], "gpu_plugin": [], "public_ip": "198.51.100.7"}
        worker = {
            "worker_id": "00112233445566aa",
            "capabilities": ["cpu_matrix"],
            "status": "online",
            "system_info": info,
            "connected_at": time.time(),
            "last_heartbeat": time.time(),
        }
        return {
            "hotkey": self.me,
            "timestamp": time.time(),
            "workers": [worker],
            "miner_info": None,
            "schema_version": 1,
        }

    def test_heartbeat_and_task_poll(self):
        link = self.handshake()
        answer = self.call(self.miner, HeartbeatSynapse(request=link.seal("HEARTBEAT_V1", self.heartbeat())))
        body = link.open("HEARTBEAT_V1", answer.response)
        self.assertEqual((body["error_code"], body["workers_processed"]), (0, 1), body)
        poll = {"hotkey": self.me, "request_type": "challenge", "timestamp": time.time(), "schema_version": 1}
        answer = self.call(self.miner, TaskSynapse(request=link.seal("TASK_V1", poll)))
        self.assertIn(link.open("TASK_V1", answer.response)["task_type"], ("no_task", "compute_challenge_batch"))

    def test_a_sequence_number_is_taken_once(self):
        link = self.handshake()
        package = link.seal("HEARTBEAT_V1", self.heartbeat())
        self.assertEqual(self.call(self.miner, HeartbeatSynapse(request=package)).axon.status_code, 200)
        again = json.loads(self.call(self.miner, HeartbeatSynapse(request=package)).response)
        self.assertEqual(again["error_code"], 4020, again)

    def test_a_hotkey_outside_the_metagraph_is_refused(self):
        answer = self.call(self.outsider, SessionInitSynapse(request=session.Hello().request))
        self.assertEqual(answer.dendrite.status_code, 403, answer.dendrite.status_message)

    def test_a_signature_by_another_key_is_refused(self):
        wallet = self.bench.wallet("liar")

        class Liar:
            """Names the miner's hotkey, signs with its own."""

            ss58_address = self.me

            def sign(self, message):
                return wallet.hotkey.sign(message)

        class LyingWallet:
            hotkey = Liar()

        answer = self.call(LyingWallet(), SessionInitSynapse(request=session.Hello().request))
        self.assertEqual(answer.dendrite.status_code, 401, answer.dendrite.status_message)


class TheirAxonOurMiner(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bench = bench = Bench()
        cls.addClassCleanup(bench.stop)
        cls.validator, cls.miner = bench.wallet("validator"), bench.wallet("miner")
        cls.me, cls.them = cls.validator.hotkey.ss58_address, cls.miner.hotkey.ss58_address
        cls.sessions, cls.heartbeats, cls.polls = {}, queue.Queue(), queue.Queue()
        port = free_port()
        cls.axon = bt.axon(wallet=cls.validator, ip="127.0.0.1", port=port, external_ip="127.0.0.1")

        def opened(synapse, kind):
            link = cls.sessions[json.loads(synapse.request)["session_id"]]
            return link, link.open(kind, synapse.request)

        def session_init(synapse: SessionInitSynapse) -> SessionInitSynapse:
            link, synapse.response = session.accept(synapse.request, synapse.dendrite.hotkey, cls.me)
            cls.sessions[link.session_id] = link
            return synapse

        def heartbeat(synapse: HeartbeatSynapse) -> HeartbeatSynapse:
            link, body = opened(synapse, "HEARTBEAT_V1")
            cls.heartbeats.put(body)
            answer = {"error_code": 0, "message": "ok", "workers_processed": len(body["workers"]), "timestamp": 0.0}
            synapse.response = link.seal("HEARTBEAT_V1", answer)
            return synapse

        def task(synapse: TaskSynapse) -> TaskSynapse:
            link, body = opened(synapse, "TASK_V1")
            cls.polls.put(body)
            answer = {"task_type": "no_task", "task_data": None, "timestamp": 0.0, "schema_version": 1}
            synapse.response = link.seal("TASK_V1", answer)
            return synapse

        # no verify_fn: Bittensor's own default verification of nonce and signature applies
        for forward in (session_init, heartbeat, task):
            cls.axon.attach(forward_fn=forward)
        cls.axon.start()
        cls.addClassCleanup(cls.axon.stop)
        wait_for("their axon's port", lambda: listening(port))

        url = bench.chain(
            [neuron(0, cls.validator, permit=True, axon=f"127.0.0.1:{port}"), neuron(1, cls.miner)]
        )
        workers = free_port()
        bench.daemon(
            "miner",
            {
                "netuid": NETUID,
                "subtensor": {"network": url},
                "wallet": bench.wallet_settings(cls.miner),
                "heartbeat_interval": 1,
                "task_poll_interval": 1,
                "worker_management": {"host": "127.0.0.1", "port": workers},
            },
        )
        bench.daemon("worker", {"miner_url": f"ws://127.0.0.1:{workers}", "worker_id": "00112233445566aa"})

    def take(self, what, source):
        try:
            return source.get(timeout=DEADLINE_S)
        except queue.Empty:
            raise AssertionError(f"no {what} within {DEADLINE_S} s\n{self.bench.logs()}") from None

    def test_heartbeats_arrive_signed_and_sealed(self):
        body = self.take("heartbeat", self.heartbeats)
        self.assertEqual(body["hotkey"], self.them)
        self.assertEqual([worker["worker_id"] for worker in body["workers"]], ["00112233445566aa"])
        self.assertGreater(body["workers"][0]["system_info"]["cpu_count"], 0)

    def test_tasks_are_polled(self):
        body = self.take("task poll", self.polls)
        self.assertEqual((body["hotkey"], body["request_type"]), (self.them, "challenge"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
