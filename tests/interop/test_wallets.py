"""Wallets: what one side wrote, the other reads."""

import json
import os
import unittest

import bittensor as bt

from subnet import DEADLINE_S, Subnet

PASSWORD = "an operator's password"
EX_CONFIG = 78


class Wallets(unittest.TestCase):
    def setUp(self):
        self.subnet = Subnet()
        self.addCleanup(self.subnet.stop)

    def wallet(self, command, name, *more):
        return self.subnet.byteleap("wallet", command, "--path", self.subnet.wallets, "--name", name, *more)

    def password_file(self, text):
        path = self.subnet.path("password")
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, 0o600)
        return path

    def test_ours_reads_theirs(self):
        wallet = self.subnet.wallet("theirs")
        shown = self.wallet("show", "theirs")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn(wallet.hotkey.ss58_address, shown.stdout)
        with open(wallet.hotkey_file.path) as file:
            written = json.load(file)
        for secret in (written["secretSeed"], written["secretPhrase"]):
            self.assertNotIn(secret.removeprefix("0x"), shown.stdout + shown.stderr)

    def test_ours_reads_theirs_encrypted(self):
        wallet = self.subnet.wallet("locked", password=PASSWORD)
        self.assertTrue(wallet.hotkey_file.is_encrypted())
        shown = self.wallet("show", "locked", "--password-file", self.password_file(PASSWORD + "\n"))
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn(wallet.get_hotkey(PASSWORD).ss58_address, shown.stdout)

    def test_an_encrypted_one_is_refused_without_its_password(self):
        wallet = self.subnet.wallet("locked", password=PASSWORD)
        shown = self.wallet("show", "locked")
        self.assertIn(wallet.hotkeypub.ss58_address, shown.stdout, "its public half is no secret")
        place = {"path": self.subnet.wallets, "name": "locked", "hotkey": "default"}
        wrong = self.password_file("something else\n")
        for more, why in (({}, "wallet.password_file"), ({"password_file": wrong}, "wrong password")):
            self.subnet.daemon("miner", {"wallet": {**place, **more}})
            self.assertEqual(self.subnet.processes.pop("miner").wait(DEADLINE_S), EX_CONFIG)
            self.assertIn(why, self.subnet.log("miner"))

    def test_theirs_reads_ours(self):
        made = self.wallet("new", "ours")
        self.assertEqual(made.returncode, 0, made.stderr)
        hotkey = bt.wallet(path=self.subnet.wallets, name="ours", hotkey="default").hotkey
        self.assertIn(hotkey.ss58_address, made.stdout)
        self.assertTrue(bt.Keypair(ss58_address=hotkey.ss58_address).verify(b"text", hotkey.sign(b"text")))


if __name__ == "__main__":
    unittest.main(verbosity=2)
