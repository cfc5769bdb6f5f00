"""Makes gemm_i8.json, the known answers of the challenge `gemm_i8`, without a line of the code under test.

    python3 -m venv venv && venv/bin/pip install numpy blake3 && venv/bin/python tests/data/gemm_i8.py

ChaCha8 and BLAKE3 are written out below over numpy's integers; SHA-256 is hashlib's; the product is numpy's in
int64. If the package `blake3` is there, every row hash is compared with its too. Writes beside this file.
"""

import base64
import hashlib
import json
import pathlib
import random

import numpy

U32 = numpy.uint32


def rotated(x, right):
    return (x >> U32(right)) | (x << U32(32 - right))


# ChaCha8: a 64-bit counter and a 64-bit stream after the key.

def chacha8(key, stream, length):
    blocks = -(-length // 64)
    counter = numpy.arange(blocks, dtype=numpy.uint64)
    words = [int.from_bytes(part, "little") for part in (b"expa", b"nd 3", b"2-by", b"te k")]
    words += [int.from_bytes(key[at:at + 4], "little") for at in range(0, 32, 4)]
    start = [numpy.full(blocks, word, dtype=U32) for word in words]
    start += [(counter & numpy.uint64(0xFFFFFFFF)).astype(U32), (counter >> numpy.uint64(32)).astype(U32)]
    start += [numpy.full(blocks, stream & 0xFFFFFFFF, dtype=U32), numpy.full(blocks, stream >> 32, dtype=U32)]
    x = [word.copy() for word in start]

    def quarter(a, b, c, d):
        for p, q, r, left in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[p] = x[p] + x[q]
            x[r] = rotated(x[r] ^ x[p], 32 - left)

    for _ in range(4):
        for column in range(4):
            quarter(column, column + 4, column + 8, column + 12)
        for column in range(4):
            quarter(column, (column + 1) % 4 + 4, (column + 2) % 4 + 8, (column + 3) % 4 + 12)
    out = numpy.stack([a + b for a, b in zip(x, start)], axis=1)
    return out.astype("<u4").tobytes()[:length]


# BLAKE3: all chunks of all rows at once; each word of a state is an array.

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8


def compressed(chaining, message, counter, flags):
    """Eight words each: the chaining values after one block of 64 bytes."""
    lanes = len(message[0])
    full = lambda word: numpy.full(lanes, word, dtype=U32)
    v = list(chaining) + [full(word) for word in IV[:4]]
    v += [counter.astype(U32), full(0), full(64), full(flags)]
    m = list(message)

    def mix(a, b, c, d, first, second):
        v[a] = v[a] + v[b] + first
        v[d] = rotated(v[d] ^ v[a], 16)
        v[c] = v[c] + v[d]
        v[b] = rotated(v[b] ^ v[c], 12)
        v[a] = v[a] + v[b] + second
        v[d] = rotated(v[d] ^ v[a], 8)
        v[c] = v[c] + v[d]
        v[b] = rotated(v[b] ^ v[c], 7)

    for _ in range(7):
        for column in range(4):
            mix(column, column + 4, column + 8, column + 12, m[2 * column], m[2 * column + 1])
        for column in range(4):
            at = [column, (column + 1) % 4 + 4, (column + 2) % 4 + 8, (column + 3) % 4 + 12]
            mix(*at, m[8 + 2 * column], m[9 + 2 * column])
        m = [m[place] for place in ORDER]
    return [v[word] ^ v[word + 8] for word in range(8)]


def chunk_hashes(chunks, counter, root):
    """`chunks`: words (lanes, 256). The chaining value of each, or its hash if it is all there is."""
    h = [numpy.full(len(chunks), word, dtype=U32) for word in IV]
    for block in range(16):
        flags = (CHUNK_START if block == 0 else 0) | (CHUNK_END | (ROOT if root else 0) if block == 15 else 0)
        h = compressed(h, [chunks[:, 16 * block + word] for word in range(16)], counter, flags)
    return numpy.stack(h, axis=1)


def parent(left, right, root):
    h = [numpy.full(len(left), word, dtype=U32) for word in IV]
    message = [left[:, word] for word in range(8)] + [right[:, word] for word in range(8)]
    out = compressed(h, message, numpy.zeros(len(left), dtype=U32), PARENT | (ROOT if root else 0))
    return numpy.stack(out, axis=1)


def left_side(chunks):
    side = 1
    while side * 2 < chunks:
        side *= 2
    return side


def subtree(chaining, start, end, root=False):
    """`chaining`: (rows, chunks, 8). The node over chunks start … end of each row."""
    if end - start == 1:
        return chaining[:, start]
    middle = start + left_side(end - start)
    return parent(subtree(chaining, start, middle), subtree(chaining, middle, end), root)


def row_hashes(c):
    """The chaining values of all chunks, and the hash of each row."""
    n = len(c)
    chunks = n // 256
    lanes = c.astype("<i4").view(U32).reshape(n * chunks, 256)
    counter = numpy.tile(numpy.arange(chunks, dtype=U32), n)
    chaining = chunk_hashes(lanes, counter, chunks == 1).reshape(n, chunks, 8)
    hashes = chaining[:, 0] if chunks == 1 else subtree(chaining, 0, chunks, True)
    return chaining, [as_bytes(row) for row in hashes]


def as_bytes(words):
    return numpy.asarray(words).astype("<u4").tobytes()


def chunk_path(chaining, row, chunk):
    start, end, path = 0, chaining.shape[1], []
    while end - start > 1:
        middle = start + left_side(end - start)
        if chunk < middle:
            path.append(subtree(chaining[row:row + 1], middle, end))
            end = middle
        else:
            path.append(subtree(chaining[row:row + 1], start, middle))
            start = middle
    return [as_bytes(node[0]).hex() for node in reversed(path)]


# The tree over row hashes, and the chain of rounds.

def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def u32le(number):
    return number.to_bytes(4, "little")


def levels(hashes):
    level = [sha256(b"\0", u32le(row), row_hash) for row, row_hash in enumerate(hashes)]
    levels = [level]
    while len(level) > 1:
        pairs = [level[at:at + 2] for at in range(0, len(level), 2)]
        level = [sha256(b"\1", *pair) if len(pair) == 2 else pair[0] for pair in pairs]
        levels.append(level)
    return levels


def row_path(levels, row):
    path = []
    for level in levels[:-1]:
        if row ^ 1 < len(level):
            path.append(level[row ^ 1].hex())
        row //= 2
    return path


# Cases.

def key_prefix(case):
    texts = (case["challenge_id"], case["miner_hotkey"], case["worker_id"], case["device"])
    challenge, hotkey, worker, device = (text.encode() for text in texts)
    seed = bytes.fromhex(case["seed"])
    return b"byteleap/gemm_i8/v2\0" + challenge + b"\0" + seed + hotkey + b"\0" + worker + b"\0" + device


def checked(c, hashes):
    try:
        import blake3
    except ImportError:
        return
    for row, row_hash in zip(c, hashes):
        assert blake3.blake3(row.astype("<i4").tobytes()).digest() == row_hash


def computed_round(case, prefix, number, previous):
    n = case["matrix_size"]
    key = sha256(prefix, u32le(number), previous)
    a, bt = (numpy.frombuffer(chacha8(key, stream, n * n), dtype=numpy.int8).reshape(n, n) for stream in (0, 1))
    c = a.astype(numpy.int64) @ bt.astype(numpy.int64).T
    chaining, hashes = row_hashes(c)
    checked(c, hashes)
    tree = levels(hashes)
    root = sha256(b"\2", u32le(n), u32le(number), previous, tree[-1][0])
    return {"key": key, "a": a, "bt": bt, "c": c, "chaining": chaining, "hashes": hashes, "tree": tree, "root": root}


def opening(rounds, sample):
    number, row, chunk = sample
    done = rounds[number]
    values = done["c"][row, 256 * chunk:256 * chunk + 256].astype("<i4").tobytes()
    return {
        "round": number,
        "row": row,
        "chunk": chunk,
        "values": base64.b64encode(values).decode(),
        "chunk_path": chunk_path(done["chaining"], row, chunk),
        "row_path": row_path(done["tree"], row),
    }


def some(matrix, rng):
    n = len(matrix)
    places = [(0, 0), (0, n - 1), (n - 1, 0), (n - 1, n - 1)] + [(rng.randrange(n), rng.randrange(n)) for _ in range(8)]
    return [[row, column, int(matrix[row, column])] for row, column in places]


def answer(case):
    rng = random.Random(case["name"])
    n, chunks = case["matrix_size"], case["matrix_size"] // 256
    prefix, rounds, previous = key_prefix(case), [], bytes(32)
    for number in range(case["rounds"]):
        rounds.append(computed_round(case, prefix, number, previous))
        previous = rounds[-1]["root"]
    samples = [[0, 0, 0], [case["rounds"] - 1, n - 1, chunks - 1], [0, n - 1, 0], [0, n // 2, chunks // 2]]
    samples += [[rng.randrange(case["rounds"]), rng.randrange(n), rng.randrange(chunks)] for _ in range(3)]
    samples.append(samples[-1])
    proof = {
        "uuid": case["device"],
        "tops": [done["tree"][-1][0].hex() for done in rounds],
        "openings": [opening(rounds, sample) for sample in samples],
        "row_hashes": [],
        "merkle_proofs": [],
        "coordinate_values": [],
    }
    return case | {
        "key_prefix": prefix.hex(),
        "round_values": [
            {
                "key": done["key"].hex(),
                "a": some(done["a"], rng),
                "bt": some(done["bt"], rng),
                "c": some(done["c"], rng),
                "row_hashes": {str(row): done["hashes"][row].hex() for row in (0, 1, n // 2, n - 1)},
                "all_row_hashes_sha256": sha256(*done["hashes"]).hex(),
                "root": done["root"].hex(),
            }
            for done in rounds
        ],
        "root": previous.hex(),
        "samples": samples,
        "proof": proof,
    }


HOTKEY = "5FLGJvNvq2seB59UkKb2ftuVRab1aHzMVxuPJtPAyfsZ3vKY"
GPU = "GPU-5f1b0cc7-98a1-4b0e-a2d5-3b2f5d1c7e90"
CASES = [
    ("smallest", "8c1d6c4e-5b1a-4d53-9c86-0d1f0a2b3c4d", "00" * 31 + "01", HOTKEY, "w-1", "cpu", 256, 1),
    ("three rounds", "0f8fad5b-d9cb-469f-a165-70867728950e", "f1" * 32, HOTKEY, "w-1", GPU, 256, 3),
    ("another device", "0f8fad5b-d9cb-469f-a165-70867728950e", "f1" * 32, HOTKEY, "w-1", "cpu", 256, 1),
    ("two chunks a row", "7c9e6679-7425-40de-944b-e07fc1f90ae7", "a5" * 32, HOTKEY, "wörker", "cpu", 512, 2),
    ("odd levels", "16fd2706-8baf-433b-82eb-8c7fada847da", "0123456789abcdef" * 4, HOTKEY, "w-2", GPU, 768, 2),
    ("four chunks a row", "886313e1-3b8a-5372-9b90-0c9aee199e5d", "ff" * 32, HOTKEY, "w-3", "cpu", 1024, 1),
    ("five chunks a row", "6fa459ea-ee8a-3ca4-894e-db77e160355e", "5a" * 32, HOTKEY, "w-4", GPU, 1280, 1),
]
NAMES = ("name", "challenge_id", "seed", "miner_hotkey", "worker_id", "device", "matrix_size", "rounds")

if __name__ == "__main__":
    cases = [answer(dict(zip(NAMES, case))) for case in CASES]
    text = json.dumps({"cases": cases}, indent=1, ensure_ascii=False)
    pathlib.Path(__file__).with_suffix(".json").write_text(text + "\n")
