"""`btauth/1`: Bittensor 11 signs what our validator must take or refuse, and verifies what our miner signs."""

import http.client
import http.server
import json
import os
import queue
import subprocess
import threading
import time
import unittest

import bittensor as bt

import session
from session import Hello
from subnet import DEADLINE_S, Subnet, free_port, listening, neuron
from test_axon import Validator

PEER = os.environ.get("BYTELEAP_BTAUTH_PYTHON")
WORKER = "00112233445566aa"


class Peer:
    """The process with Bittensor 11."""

    def __init__(self):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "btauth_peer.py")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process, self.lock = subprocess.Popen([PEER, "-B", script], **pipes), threading.Lock()

    def ask(self, **what):
        with self.lock:
            self.process.stdin.write(json.dumps(what) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        self.process.wait(DEADLINE_S)
        self.process.stdout.close()


def seed_of(wallet):
    with open(wallet.hotkey_file.path) as file:
        return json.load(file)["secretSeed"]


@unittest.skipUnless(PEER, "BYTELEAP_BTAUTH_PYTHON names no Python with Bittensor 11; tests/interop/run makes one")
class OurAxonAndTheirSigner(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.peer = Peer()
        cls.addClassCleanup(cls.peer.stop)
        cls.subnet = subnet = Subnet()
        cls.addClassCleanup(subnet.stop)
        validator, miner, outsider = (subnet.wallet(name) for name in ("validator", "miner", "outsider"))
        cls.validator, cls.miner, cls.port = validator.hotkey.ss58_address, miner.hotkey.ss58_address, free_port()
        cls.seed, cls.outsider = seed_of(miner), seed_of(outsider)
        settings = {"port": cls.port, "database": {"url": "sqlite:///" + subnet.path("validator.db")}}
        url = subnet.chain([neuron(0, validator, permit=True), neuron(1, miner)])
        subnet.neuron_daemon("validator", validator, url, settings)
        subnet.wait_for("the axon's port", lambda: listening(cls.port))
        subnet.wait_for("the metagraph", lambda: cls.send("/SessionInitSynapse", "{}")[0] == 200)

    @classmethod
    def sign(cls, path, body, seed=None, receiver=None, nonce=None):
        receiver = receiver or cls.validator
        request = {"method": "POST", "path": path, "receiver_ss58": receiver, "nonce_ns": nonce}
        return cls.peer.ask(do="sign", seed=seed or cls.seed, body=body, **request)

    @classmethod
    def post(cls, path, body, headers):
        """Status, body, and what is announced."""
        connection = http.client.HTTPConnection("127.0.0.1", cls.port, timeout=10)
        connection.request("POST", path, body, {**headers, "Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text, answer.getheader("X-Bittensor-Auth")

    @classmethod
    def send(cls, path, body, **how):
        return cls.post(path, body, cls.sign(path, body, **how))

    def test_a_session_is_made_and_used(self):
        hello = Hello()
        body = json.dumps({"request": hello.request})
        status, text, announced = self.send("/SessionInitSynapse", body)
        self.assertEqual((status, announced), (200, "btauth/1"), text)
        link = hello.finish(self.miner, self.validator, json.loads(text)["response"])
        common = {"hotkey": self.miner, "schema_version": 1}
        poll = {"request_type": "challenge", "timestamp": time.time(), **common}
        status, text, _ = self.send("/TaskSynapse", json.dumps({"request": link.seal("TASK_V1", poll)}))
        self.assertEqual(status, 200, text)
        self.assertEqual(link.open("TASK_V1", json.loads(text)["response"])["task_type"], "no_task")

    def test_what_is_wrong_is_refused_by_name(self):
        path, body = "/SessionInitSynapse", json.dumps({"request": Hello().request})
        good, now = self.sign(path, body), time.time_ns()
        cases = {
            "Signature mismatch": (body + " ", good),
            "x-bittensor-receiver": (body, self.sign(path, body, receiver=self.miner)),
            "too old": (body, self.sign(path, body, nonce=now - 60 * 10**9)),
            "in the future": (body, self.sign(path, body, nonce=now + 60 * 10**9)),
            "missing header x-bittensor-nonce": (body, {k: v for k, v in good.items() if k != "X-Bittensor-Nonce"}),
            "both": (body, {**good, "bt_header_dendrite_hotkey": self.miner}),
            "hotkey_not_in_metagraph": (body, self.sign(path, body, seed=self.outsider)),
        }
        for words, (sent, headers) in cases.items():
            status, text, announced = self.post(path, sent, headers)
            self.assertIn(status, (400, 401, 403), text)
            self.assertIn(words, text)
            self.assertEqual(announced, "btauth/1")

    def test_a_request_counts_once(self):
        path, body = "/SessionInitSynapse", json.dumps({"request": "?"})
        headers = self.sign(path, body)
        self.assertEqual([self.post(path, body, headers)[0] for _ in range(2)], [200, 401])


class Axon(http.server.BaseHTTPRequestHandler):
    """A validator's axon as somebody writes one with Bittensor 11: requests with old headers are only told that the
    new ones are taken, but for the first handshake."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        caller = self.server.verify(dict(self.headers), body, self.path)
        synapse = type("Synapse", (), {"request": json.loads(body)["request"], "response": None})
        response = self.server.respond(self.path, synapse, caller)
        answer = json.dumps({"name": self.path[1:], "response": response}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("X-Bittensor-Auth", "btauth/1")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class TheirVerifier(http.server.ThreadingHTTPServer):
    def __init__(self, wallet, miner, peer):
        super().__init__(("127.0.0.1", 0), Axon)
        self.me, self.miner, self.peer = wallet.hotkey.ss58_address, miner, peer
        self.validator, self.callers = Validator(wallet, False), queue.Queue()

    def verify(self, headers, body, path):
        if "bt_header_dendrite_hotkey" in {name.lower() for name in headers}:
            return None
        request = {"method": "POST", "path": path, "self_hotkey_ss58": self.me}
        caller = self.peer.ask(do="verify", headers=headers, body=body, **request)
        changed = self.peer.ask(do="verify", headers=headers, body=body + " ", **request)
        self.callers.put((path, caller, changed))
        return caller

    def respond(self, path, synapse, _):
        if path == "/SessionInitSynapse":
            link, text = session.accept(synapse.request, self.miner, self.validator.hotkey, False)
            self.validator.sessions[link.session_id] = link
            return text
        kind, name, answer = {
            "/HeartbeatSynapse": ("HEARTBEAT_V1", "heartbeat", self.validator.heartbeat),
            "/TaskSynapse": ("TASK_V1", "poll", self.validator.task),
            "/ChallengeSynapse": ("CHALLENGE_V1", "commitment", self.validator.ask),
            "/ChallengeProofSynapse": ("CHALLENGE_PROOF_V1", "proof", self.validator.queued),
        }[path]
        return self.validator.answer(synapse, kind, name, answer).response


@unittest.skipUnless(PEER, "BYTELEAP_BTAUTH_PYTHON names no Python with Bittensor 11; tests/interop/run makes one")
class OurMinerAndTheirVerifier(unittest.TestCase):
    def test_everything_after_the_announcement_is_signed_with_its_body(self):
        peer = Peer()
        self.addCleanup(peer.stop)
        subnet = Subnet()
        self.addCleanup(subnet.stop)
        wallet, miner, workers = subnet.wallet("validator"), subnet.wallet("miner"), free_port()
        server = TheirVerifier(wallet, miner.hotkey.ss58_address, peer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        axon = f"127.0.0.1:{server.server_address[1]}"
        settings = {
            "heartbeat_interval": 1,
            "task_poll_interval": 1,
            "worker_management": {"host": "127.0.0.1", "port": workers},
        }
        url = subnet.chain([neuron(0, wallet, permit=True, axon=axon), neuron(1, miner)])
        subnet.neuron_daemon("miner", miner, url, settings)
        subnet.daemon("worker", {"miner_url": f"ws://127.0.0.1:{workers}", "worker_id": WORKER})
        wanted = {"/HeartbeatSynapse", "/TaskSynapse", "/ChallengeSynapse", "/ChallengeProofSynapse"}
        while wanted:
            try:
                path, caller, changed = server.callers.get(timeout=DEADLINE_S)
            except queue.Empty:
                raise AssertionError(f"nothing signed for {wanted}\n{subnet.logs()}") from None
            self.assertEqual(caller, miner.hotkey.ss58_address, path)
            self.assertIn("BadSignature", changed)
            wanted.discard(path)


if __name__ == "__main__":
    unittest.main(verbosity=2)
