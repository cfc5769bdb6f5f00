"""Bittensor's dendrite as the miner's side, our validator's axon as the other."""

import asyncio
import http.client
import json
import re
import time
import unittest
import uuid

import bittensor as bt

import cpu_matrix
from session import Hello
from subnet import (
    ChallengeProofSynapse,
    ChallengeSynapse,
    HeartbeatSynapse,
    SessionInitSynapse,
    Subnet,
    TaskSynapse,
    free_port,
    listening,
    neuron,
)

WORKER = "00112233445566aa"
ASKED_ROWS = 5


class Forger:
    """Names one hotkey and signs with another."""

    def __init__(self, named, signer):
        self.ss58_address, self.sign = named.ss58_address, signer.sign


class OurAxon(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.subnet = subnet = Subnet()
        cls.addClassCleanup(subnet.stop)
        names = ("validator", "miner", "prover", "outsider")
        validator, cls.miner, cls.prover, cls.outsider = (subnet.wallet(name).hotkey for name in names)
        cls.validator, cls.port = validator.ss58_address, free_port()
        wallets = [bt.wallet(path=subnet.wallets, name=name, hotkey="default") for name in names[:3]]
        url = subnet.chain([neuron(uid, wallet, permit=uid == 0) for uid, wallet in enumerate(wallets)])
        cpu = {
            "matrix_size": 101,
            "size_variance": 0,
            # enough products to leave 64 bits
            "iterations": 9,
            "verification": {"row_verification_count": ASKED_ROWS, "row_verification_count_variance": 0},
        }
        settings = {
            "port": cls.port,
            "database": {"url": "sqlite:///" + subnet.path("validator.db")},
            "validation": {"challenge_interval": 2, "cpu": cpu},
        }
        subnet.neuron_daemon("validator", wallets[0], url, settings)
        subnet.wait_for("the axon's port", lambda: listening(cls.port))
        probe = SessionInitSynapse(request="?")
        subnet.wait_for("the metagraph", lambda: cls.call(cls.miner, probe).dendrite.status_code == 200)

    @classmethod
    def call(cls, keypair, synapse):
        """The synapse with the axon's answer, as Bittensor understands it."""
        axon = bt.AxonInfo(
            version=9010000, ip="127.0.0.1", port=cls.port, ip_type=4, hotkey=cls.validator, coldkey=cls.validator
        )

        async def go():
            dendrite = bt.dendrite(wallet=keypair)
            try:
                return await dendrite.call(target_axon=axon, synapse=synapse, deserialize=False)
            finally:
                await dendrite.aclose_session()

        return asyncio.run(go())

    def handshake(self, keypair, hello=None):
        hello = hello or Hello()
        answer = self.call(keypair, SessionInitSynapse(request=hello.request))
        self.assertEqual(answer.dendrite.status_code, 200, answer.dendrite.status_message)
        return hello.finish(keypair.ss58_address, self.validator, answer.response)

    def exchange(self, keypair, link, synapse, kind, body):
        """The opened answer to a sealed body."""
        answer = self.call(keypair, synapse(request=link.seal(kind, body)))
        self.assertEqual(answer.dendrite.status_code, 200, answer.dendrite.status_message)
        self.assertEqual(answer.axon.status_code, 200)
        return link.open(kind, answer.response)

    def heartbeat(self, keypair):
        info = {"cpu_count": 8, "memory_total": 32000, "gpu_info": [], "gpu_plugin": [], "public_ip": "198.51.100.7"}
        now = time.time()
        times = {"connected_at": now, "last_heartbeat": now}
        worker = {"worker_id": WORKER, "capabilities": ["cpu_matrix"], "status": "online", "system_info": info, **times}
        return {"timestamp": now, "workers": [worker], "miner_info": None, **self.common(keypair)}

    def common(self, keypair):
        return {"hotkey": keypair.ss58_address, "schema_version": 1}

    def poll(self, keypair, link):
        body = {"request_type": "challenge", "timestamp": time.time(), **self.common(keypair)}
        return self.exchange(keypair, link, TaskSynapse, "TASK_V1", body)

    def test_heartbeat_and_task_poll(self):
        link = self.handshake(self.miner)
        body = self.exchange(self.miner, link, HeartbeatSynapse, "HEARTBEAT_V1", self.heartbeat(self.miner))
        self.assertEqual((body["error_code"], body["workers_processed"]), (0, 1), body)
        self.assertIn(self.poll(self.miner, link)["task_type"], ("no_task", "compute_challenge_batch"))

    def test_a_challenge_that_is_not_known_is_refused_inside_the_session(self):
        link, challenge = self.handshake(self.miner), str(uuid.uuid4())
        body = self.exchange(self.miner, link, ChallengeSynapse, "CHALLENGE_V1", commitment(challenge, "ab"))
        self.assertIn(challenge, body["error"])
        body = self.exchange(self.miner, link, ChallengeProofSynapse, "CHALLENGE_PROOF_V1", proofs(challenge, []))
        self.assertIn("error", body)

    def test_a_sequence_number_is_taken_once(self):
        link = self.handshake(self.miner)
        package = link.seal("HEARTBEAT_V1", self.heartbeat(self.miner))
        link.open("HEARTBEAT_V1", self.call(self.miner, HeartbeatSynapse(request=package)).response)
        again = json.loads(self.call(self.miner, HeartbeatSynapse(request=package)).response)
        self.assertEqual(again["error_code"], 4020, again)

    def test_a_challenge_that_numpy_computed_is_verified_and_other_rows_are_not(self):
        link = self.handshake(self.prover, Hello(self.prover, self.validator))
        for proved, end in ((lambda rows: rows, "verified"), (lambda rows: rows[1:] + rows[:1], "failed")):
            self.exchange(self.prover, link, HeartbeatSynapse, "HEARTBEAT_V1", self.heartbeat(self.prover))
            challenge = self.subnet.wait_for("a challenge", lambda: self.challenge(link))
            data = challenge["data"]
            leaves = cpu_matrix.rows(data["seed"], data["matrix_size"], data["iterations"])
            body = commitment(challenge["challenge_id"], cpu_matrix.root(leaves))
            body = self.exchange(self.prover, link, ChallengeSynapse, "CHALLENGE_V1", body)
            (asked,) = body["proof_requests"]
            self.assertEqual((asked["uuid"], asked["coordinates"], len(asked["rows"])), ("-1", [], ASKED_ROWS))
            body = proofs(challenge["challenge_id"], [cpu_matrix.device_proof(leaves, proved(asked["rows"]))])
            body = self.exchange(self.prover, link, ChallengeProofSynapse, "CHALLENGE_PROOF_V1", body)
            self.assertEqual(body["challenge_status"], "queued", body)
            self.assertEqual(self.subnet.wait_for("a verdict", lambda: self.verdict(challenge)), end)

    def challenge(self, link):
        answer = self.poll(self.prover, link)
        if answer["task_type"] == "no_task":
            return None
        (challenge,) = answer["task_data"]["challenges"]
        self.assertEqual((challenge["challenge_type"], challenge["target_worker_id"]), ("cpu_matrix", WORKER))
        return challenge

    def verdict(self, challenge):
        line = rf"challenge state=(verified|failed|void) id={challenge['challenge_id']} "
        found = re.search(line, self.subnet.log("validator"))
        return found and found[1]

    def test_a_hotkey_outside_the_metagraph_is_refused(self):
        answer = self.call(self.outsider, SessionInitSynapse(request=Hello().request))
        self.assertEqual(answer.dendrite.status_code, 403, answer.dendrite.status_message)

    def test_a_forged_signature_is_refused(self):
        forger = Forger(named=self.miner, signer=self.outsider)
        answer = self.call(forger, SessionInitSynapse(request=Hello().request))
        self.assertEqual(answer.dendrite.status_code, 401, answer.dendrite.status_message)

    def test_a_signed_request_is_taken_once(self):
        axon = bt.AxonInfo(
            version=9010000, ip="127.0.0.1", port=self.port, ip_type=4, hotkey=self.validator, coldkey=self.validator
        )
        synapse = SessionInitSynapse(request="?")
        synapse = bt.dendrite(wallet=self.miner).preprocess_synapse_for_request(axon, synapse)
        self.assertEqual([self.post(synapse) for _ in range(2)], [200, 401])

    def post(self, synapse):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {**synapse.to_headers(), "Content-Type": "application/json"}
        connection.request("POST", "/" + type(synapse).__name__, json.dumps(synapse.model_dump()), headers)
        status = connection.getresponse().status
        connection.close()
        return status


def commitment(challenge, root):
    made = {"uuid": "-1", "merkle_root": root, "sig_ver": 0, "sig_val": ""}
    return {"challenge_id": challenge, "worker_id": WORKER, "commitments": [made], "schema_version": 1}


def proofs(challenge, made):
    return {"challenge_id": challenge, "proofs": made, "schema_version": 1}


if __name__ == "__main__":
    unittest.main(verbosity=2)
