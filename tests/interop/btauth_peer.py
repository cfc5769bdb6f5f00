"""Bittensor 11's own `http_auth`, in an environment of its own (it cannot be installed beside 9.10): signs and verifies
what it is told, one JSON object a line. Run by test_btauth.py."""

import json
import sys

from bittensor import http_auth
from bittensor.sp_core import Keypair


class Wallet:
    """What a signer is taken from: a hotkey."""

    def __init__(self, seed):
        self.hotkey = self.coldkey = self.coldkeypub = Keypair.create_from_seed(bytes.fromhex(seed.removeprefix("0x")))


def sign(seed, body, **request):
    return http_auth.sign(Wallet(seed), body=body.encode(), **request)


def verify(headers, body, **request):
    try:
        return http_auth.verify(headers, body.encode(), **request).hotkey_ss58
    except http_auth.AuthError as refusal:
        return f"{type(refusal).__name__}: {refusal}"


for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps({"sign": sign, "verify": verify}[asked.pop("do")](**asked)), flush=True)
