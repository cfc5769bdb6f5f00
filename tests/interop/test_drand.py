"""Timelocked weights: what one side encrypts to a round of drand, the other opens with its pulse."""

import json
import os
import subprocess
import unittest

import bittensor_drand
from bittensor_wallet import Keypair

from subnet import BIN, DEADLINE_S

# A round of drand's quicknet whose pulse is published.
ROUND = 30668812
PULSE = "b7e15d214002905b548474719ec134e1de7935c35b8b12028ced184c233a01555c1b163f8d2cab92cd69b205cd9c1e07"
HOTKEY = Keypair.create_from_uri("//ByteLeap")
WEIGHTS = {0: 65535, 3: 300, 255: 1}
VERSION_KEY = 9_010_000


def timelock(*arguments):
    command = [os.path.join(BIN, "byteleap"), "chain", "timelock", "--json", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)


def compact(number):
    """SCALE's compact integer below 2^30."""
    if number < 64:
        return bytes([number << 2])
    width, mode = (2, 1) if number < 1 << 14 else (4, 2)
    return (number << 2 | mode).to_bytes(width, "little")


def shorts(numbers):
    return compact(len(numbers)) + b"".join(number.to_bytes(2, "little") for number in numbers)


def payload():
    version_key = VERSION_KEY.to_bytes(8, "little")
    return compact(32) + HOTKEY.public_key + shorts(list(WEIGHTS)) + shorts(list(WEIGHTS.values())) + version_key


def cut_compact(data):
    width = 1 << (data[0] & 3)
    return int.from_bytes(data[:width], "little") >> 2, data[width:]


class Drand(unittest.TestCase):
    def test_theirs_opens_ours(self):
        pairs = ",".join(f"{uid}:{weight}" for uid, weight in WEIGHTS.items())
        sealed = timelock(
            "seal", "--hotkey", HOTKEY.ss58_address, "--weights", pairs,
            "--version-key", str(VERSION_KEY), "--round", str(ROUND),
        )
        self.assertEqual(sealed.returncode, 0, sealed.stderr)
        commit = bytes.fromhex(json.loads(sealed.stdout)["commit"].removeprefix("0x"))
        # The package opens commitments in a wrapping of its own: their length before, their round behind.
        wrapped = compact(len(commit)) + commit + ROUND.to_bytes(8, "little")
        self.assertEqual(bittensor_drand.decrypt_with_signature(wrapped, PULSE), payload())

    def test_ours_opens_theirs(self):
        wrapped, reveal_round = bittensor_drand.encrypt_at_round(payload(), ROUND)
        self.assertEqual(reveal_round, ROUND)
        length, rest = cut_compact(wrapped)
        commit = rest[:length]
        self.assertEqual(rest[length:], ROUND.to_bytes(8, "little"))
        opened = timelock("open", commit.hex(), "--pulse", PULSE)
        self.assertEqual(opened.returncode, 0, opened.stderr)
        weights = [[uid, weight] for uid, weight in WEIGHTS.items()]
        expected = {"hotkey": HOTKEY.ss58_address, "weights": weights, "version_key": VERSION_KEY}
        self.assertEqual(json.loads(opened.stdout), expected)

    def test_a_commitment_of_the_sdk_has_the_form_that_ours_has(self):
        commit, reveal_round = bittensor_drand.get_encrypted_commit(
            list(WEIGHTS), list(WEIGHTS.values()), VERSION_KEY, 360, 1000, 1, 1, 12.0, HOTKEY.public_key
        )
        self.assertGreater(reveal_round, ROUND)
        refused = timelock("open", commit.hex(), "--pulse", PULSE)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("the pulse does not open it", refused.stderr)
        self.assertEqual(len(commit), 96 + 2 * 40 + 8 + 8 + len(payload()) + 16 + 8 + 12 + 16)


if __name__ == "__main__":
    unittest.main()
