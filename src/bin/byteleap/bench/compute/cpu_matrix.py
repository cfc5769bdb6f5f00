"""The challenge cpu_matrix as NumPy does it, timed: the protocol's own int64 arithmetic, and float64 products by BLAS,
which are exact too while sums stay below 2**53. One JSON object on standard output; arguments: seed (hex), side,
rounds of the float64 way."""

import hashlib
import json
import sys
import time

import numpy


def draw(seed, side):
    generator = numpy.random.RandomState(int.from_bytes(bytes.fromhex(seed)[:4], "big"))
    return [generator.randint(-500, 501, (side, side), dtype=numpy.int64) for _ in range(2)]


def root(product):
    level = [hashlib.sha256(row.astype("<i8").tobytes()).hexdigest()[:16] for row in product]
    while len(level) > 1:
        level += level[-1:] * (len(level) % 2)
        pairs = zip(level[::2], level[1::2])
        level = [hashlib.sha256((left + right).encode()).hexdigest() for left, right in pairs]
    return level[0]


def challenge(seed, side, kind):
    """Seconds for all of it, seconds for the product, the root."""
    began = time.perf_counter()
    left, right = (matrix.astype(kind) for matrix in draw(seed, side))
    ready = time.perf_counter()
    product = left @ right
    multiplied = time.perf_counter()
    top = root(product.astype(numpy.int64))
    return time.perf_counter() - began, multiplied - ready, top


def blas():
    try:
        found = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return f"{found.get('name')} {found.get('version')}"
    except (KeyError, TypeError, AttributeError):
        return None


def main(seed, side, rounds):
    doubles = [challenge(seed, side, numpy.float64) for _ in range(rounds)]
    integers = challenge(seed, side, numpy.int64)
    assert {top for _, _, top in doubles} == {integers[2]}, "int64 and float64 disagree"
    figures = {
        "python": sys.version.split()[0],
        "numpy": numpy.__version__,
        "blas": blas(),
        "root": integers[2],
        "int64_challenge_s": integers[0],
        "int64_product_s": integers[1],
        "float64_challenge_s": min(whole for whole, _, _ in doubles),
        "float64_product_s": min(product for _, product, _ in doubles),
    }
    print(json.dumps(figures))


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
