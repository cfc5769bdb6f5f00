"""Bittensor's axon as the validator's side, our miner and a worker as the other."""

import json
import queue
import threading
import time
import unittest
import uuid

import bittensor as bt

import cpu_matrix
import session
from subnet import (
    DEADLINE_S,
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
CHALLENGE = str(uuid.uuid4())
# an odd size pairs last nodes with themselves, nine products leave 64 bits
DATA = {"challenge_type": "cpu_matrix", "matrix_size": 101, "seed": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "iterations": 9}
# the last one is among them
ROWS = [0, 7, 50, 99, 100]


class Validator:
    """What a validator does between the axon and one miner, reduced to one challenge. What arrives is kept to be
    looked at; what is checked here would be swallowed by the axon."""

    def __init__(self, wallet, signs):
        self.hotkey, self.signs, self.sessions, self.handed_out = wallet.hotkey, signs, {}, False
        # the axon answers in several threads, and a session counts what it seals
        self.one_at_a_time = threading.Lock()
        kinds = ("handshake", "heartbeat", "poll", "commitment", "proof", "forgery")
        self.arrived = {kind: queue.Queue() for kind in kinds}

    def serve(self, axon):
        # the default decides; before that it is shown the same request with another signature
        async def verify(synapse: SessionInitSynapse) -> None:
            self.arrived["forgery"].put(await outcome(axon.default_verify(forged(synapse))))
            await axon.default_verify(synapse)

        def handshake(synapse: SessionInitSynapse) -> SessionInitSynapse:
            miner = synapse.dendrite.hotkey
            link, synapse.response = session.accept(synapse.request, miner, self.hotkey, self.signs)
            self.sessions[link.session_id] = link
            self.arrived["handshake"].put(miner)
            return synapse

        def heartbeat(synapse: HeartbeatSynapse) -> HeartbeatSynapse:
            return self.answer(synapse, "HEARTBEAT_V1", "heartbeat", self.heartbeat)

        def task(synapse: TaskSynapse) -> TaskSynapse:
            return self.answer(synapse, "TASK_V1", "poll", self.task)

        def challenge(synapse: ChallengeSynapse) -> ChallengeSynapse:
            return self.answer(synapse, "CHALLENGE_V1", "commitment", self.ask)

        def challenge_proof(synapse: ChallengeProofSynapse) -> ChallengeProofSynapse:
            return self.answer(synapse, "CHALLENGE_PROOF_V1", "proof", self.queued)

        axon.attach(forward_fn=handshake, verify_fn=verify)
        for forward in (heartbeat, task, challenge, challenge_proof):
            axon.attach(forward_fn=forward)

    def answer(self, synapse, kind, name, body):
        link = self.sessions[json.loads(synapse.request)["session_id"]]
        with self.one_at_a_time:
            opened = link.open(kind, synapse.request)
            synapse.response = link.seal(kind, body(opened))
        self.arrived[name].put(opened)
        return synapse

    def heartbeat(self, body):
        common = {"timestamp": time.time(), "schema_version": 1}
        return {"error_code": 0, "message": "ok", "workers_processed": len(body["workers"]), **common}

    def task(self, body):
        common = {"timestamp": time.time(), "schema_version": 1}
        if self.handed_out or WORKER not in body.get("idle_workers", []):
            return {"task_type": "no_task", "task_data": None, **common}
        self.handed_out = True
        challenge = {
            "challenge_id": CHALLENGE,
            "challenge_type": "cpu_matrix",
            "data": {**DATA, "challenge_id": CHALLENGE, "worker_id": WORKER, "miner_hotkey": body["hotkey"]},
            "timeout": 60,
            "target_worker_id": WORKER,
        }
        return {"task_type": "compute_challenge_batch", "task_data": {"challenges": [challenge]}, **common}

    def ask(self, _):
        return {"proof_requests": [{"uuid": "-1", "rows": ROWS, "coordinates": []}]}

    def queued(self, _):
        return {"challenge_status": "queued", "message": "queued", "challenge_id": CHALLENGE}


def forged(synapse):
    """The same request with one digit of its signature changed."""
    copy = synapse.model_copy(deep=True)
    signature = copy.dendrite.signature
    copy.dendrite.signature = signature[:-1] + ("1" if signature[-1] == "0" else "0")
    return copy


async def outcome(verification):
    try:
        await verification
    except Exception as refusal:
        return str(refusal)
    return "accepted"


class TheirAxon(unittest.TestCase):
    signs = False

    @classmethod
    def setUpClass(cls):
        # before any thread is there: NumPy imports parts of itself at first use, beside the axon's threads that do too
        cls.leaves = cpu_matrix.rows(DATA["seed"], DATA["matrix_size"], DATA["iterations"])
        cls.subnet = subnet = Subnet()
        cls.addClassCleanup(subnet.stop)
        wallet, miner = subnet.wallet("validator"), subnet.wallet("miner")
        cls.miner, cls.validator = miner.hotkey.ss58_address, Validator(wallet, cls.signs)
        port, workers = free_port(), free_port()
        axon = bt.axon(wallet=wallet, ip="127.0.0.1", port=port, external_ip="127.0.0.1")
        cls.validator.serve(axon)
        axon.start()
        cls.addClassCleanup(axon.stop)
        subnet.wait_for("their axon's port", lambda: listening(port))

        neurons = [neuron(0, wallet, permit=True, axon=f"127.0.0.1:{port}"), neuron(1, miner)]
        settings = {
            "heartbeat_interval": 1,
            "task_poll_interval": 1,
            "worker_management": {"host": "127.0.0.1", "port": workers},
        }
        subnet.neuron_daemon("miner", miner, subnet.chain(neurons), settings)
        subnet.daemon("worker", {"miner_url": f"ws://127.0.0.1:{workers}", "worker_id": WORKER})

    def take(self, kind):
        try:
            return self.validator.arrived[kind].get(timeout=DEADLINE_S)
        except queue.Empty:
            raise AssertionError(f"no {kind} within {DEADLINE_S} s\n{self.subnet.logs()}") from None

    def test_a_handshake_passes_their_verification_and_a_forged_one_does_not(self):
        self.assertEqual(self.take("handshake"), self.miner)
        self.assertIn("Signature mismatch", self.take("forgery"))

    def test_heartbeats_and_polls_arrive(self):
        body = self.take("heartbeat")
        self.assertEqual(body["hotkey"], self.miner)
        (worker,) = body["workers"]
        self.assertEqual((worker["worker_id"], worker["capabilities"]), (WORKER, ["cpu_matrix", "gemm_i8"]))
        self.assertEqual(body["miner_features"], ["gemm_i8"])
        self.assertGreater(worker["system_info"]["cpu_count"], 0)
        body = self.take("poll")
        self.assertEqual((body["hotkey"], body["request_type"]), (self.miner, "challenge"))

    def test_a_challenge_is_computed_and_proved_as_numpy_has_it(self):
        leaves, body = self.leaves, self.take("commitment")
        self.assertEqual((body["challenge_id"], body["worker_id"]), (CHALLENGE, WORKER))
        (made,) = body["commitments"]
        made = {name: made[name] for name in ("uuid", "merkle_root", "sig_ver", "sig_val")}
        self.assertEqual(made, {"uuid": "-1", "merkle_root": cpu_matrix.root(leaves), "sig_ver": 0, "sig_val": ""})
        body = self.take("proof")
        self.assertEqual(body["challenge_id"], CHALLENGE)
        self.assertEqual(body["proofs"], [cpu_matrix.device_proof(leaves, ROWS)])


class TheirAxonWithSignedHandshakes(TheirAxon):
    signs = True


if __name__ == "__main__":
    unittest.main(verbosity=2)
