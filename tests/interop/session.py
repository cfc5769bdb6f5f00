"""The session of the wire protocol, written once more and independently: X25519, HKDF-SHA256, AES-256-GCM."""

import base64
import hashlib
import json
import os
import time
import uuid

from bittensor import Keypair
from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.Protocol.DH import import_x25519_public_key, key_agreement
from Crypto.Protocol.KDF import HKDF
from Crypto.PublicKey import ECC


def b64(data):
    return base64.b64encode(data).decode()


def new_key():
    return ECC.generate(curve="Curve25519")


def public_text(key):
    return b64(key.public_key().export_key(format="raw"))


class Session:
    def __init__(self, session_id, me, peer, send_key, receive_key):
        self.session_id, self.me, self.peer = session_id, me, peer
        self.send_key, self.receive_key, self.seq = send_key, receive_key, 0

    def _iv(self, seq):
        return hashlib.sha256(self.session_id.encode()).digest()[:4] + seq.to_bytes(8, "big")

    def _aad(self, sender, recipient, kind, seq):
        return f"leap-comm|{sender}|{recipient}|{kind}|session_{self.session_id}|seq_{seq}".encode()

    def seal(self, kind, body, seq=None):
        self.seq = self.seq + 1 if seq is None else seq
        cipher = AES.new(self.send_key, AES.MODE_GCM, nonce=self._iv(self.seq))
        cipher.update(self._aad(self.me, self.peer, kind, self.seq))
        sealed, tag = cipher.encrypt_and_digest(json.dumps(body, sort_keys=True, ensure_ascii=False).encode())
        return json.dumps(
            {
                "ver": "v1",
                "session_id": self.session_id,
                "seq": self.seq,
                "ciphertext": b64(sealed + tag),
                "sender": self.me,
                "recipient": self.peer,
                "synapse_type": kind,
            }
        )

    def open(self, kind, text):
        package = json.loads(text)
        assert package.get("ver") == "v1", f"not a package: {text[:200]}"
        sealed = base64.b64decode(package["ciphertext"])
        cipher = AES.new(self.receive_key, AES.MODE_GCM, nonce=self._iv(package["seq"]))
        cipher.update(self._aad(self.peer, self.me, kind, package["seq"]))
        return json.loads(cipher.decrypt_and_verify(sealed[:-16], sealed[-16:]))


def _derive(shared, nonces, client, server, client_pub, server_pub):
    def key(label):
        info = b"|".join(
            [
                label,
                client.encode(),
                server.encode(),
                client_pub.encode(),
                server_pub.encode(),
                nonces,
                b"HKDF-SHA256_AES-256-GCM_X25519",
            ]
        )
        return HKDF(shared, 32, nonces, SHA256, context=info)

    return key(b"session_key_client_to_server"), key(b"session_key_server_to_client")


def _signed_text(request, miner, validator):
    parts = ["byteleap/session-init/v1", request["miner_eph_pub32"], request["client_nonce16"], miner, validator]
    return "|".join(parts)


def _answer_text(signed, answer):
    return "|".join([signed, answer["validator_eph_pub32"], answer["server_nonce16"], answer["session_id"]])


def _sign(keypair, text):
    return "0x" + keypair.sign(text.encode()).hex()


class Hello:
    """The client's half of a handshake. The reference implementation signs none; with a keypair it is signed."""

    def __init__(self, keypair=None, validator=None):
        self.key, self.nonce, self.signed = new_key(), os.urandom(16), None
        request = {
            "miner_eph_pub32": public_text(self.key),
            "client_nonce16": b64(self.nonce),
            "created_at": time.time(),
        }
        if keypair is not None:
            self.signed = _signed_text(request, keypair.ss58_address, validator)
            request["sig"] = _sign(keypair, self.signed)
        self.request = json.dumps(request)

    def finish(self, me, validator, answer):
        answer = json.loads(answer)
        assert "validator_eph_pub32" in answer, f"handshake refused: {answer}"
        if self.signed:
            text = _answer_text(self.signed, answer)
            assert Keypair(ss58_address=validator).verify(text.encode(), answer["sig"]), "the answer's signature"
        server_pub = answer["validator_eph_pub32"]
        shared = key_agreement(
            static_priv=self.key, static_pub=import_x25519_public_key(base64.b64decode(server_pub)), kdf=lambda x: x
        )
        nonces = self.nonce + base64.b64decode(answer["server_nonce16"])
        c2s, s2c = _derive(shared, nonces, me, validator, public_text(self.key), server_pub)
        return Session(answer["session_id"], me, validator, c2s, s2c)


def accept(request, miner, keypair, sign):
    """The server's half: a session and the text of the answer. The miner must sign; the answer is signed when asked
    for, which the reference implementation never does."""
    request, me = json.loads(request), keypair.ss58_address
    signed = _signed_text(request, miner, me)
    assert Keypair(ss58_address=miner).verify(signed.encode(), request["sig"]), "the handshake's signature"
    key, nonce, session_id = new_key(), os.urandom(16), str(uuid.uuid4())
    client_pub = request["miner_eph_pub32"]
    shared = key_agreement(
        static_priv=key, static_pub=import_x25519_public_key(base64.b64decode(client_pub)), kdf=lambda x: x
    )
    nonces = base64.b64decode(request["client_nonce16"]) + nonce
    c2s, s2c = _derive(shared, nonces, miner, me, client_pub, public_text(key))
    answer = {
        "validator_eph_pub32": public_text(key),
        "session_id": session_id,
        "server_nonce16": b64(nonce),
        "expires_at": time.time() + 21600,
    }
    if sign:
        answer["sig"] = _sign(keypair, _answer_text(signed, answer))
    return Session(session_id, me, miner, s2c, c2s), json.dumps(answer)
