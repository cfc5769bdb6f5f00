"""The CPU challenge in NumPy's own arithmetic: what the network's rules say, told by the library that they are told
with. Slow, and written for nothing but the comparison."""

import hashlib

import numpy

BOUND = 500


def rows(seed, size, iterations):
    """Row hashes of the product, in order."""
    generator = numpy.random.RandomState(int.from_bytes(bytes.fromhex(seed)[:4], "big"))
    left, right = (generator.randint(-BOUND, BOUND + 1, (size, size), dtype=numpy.int64) for _ in range(2))
    for _ in range(iterations):
        left = left @ right  # int64, wraps
    return [hashlib.sha256(row.astype("<i8").tobytes()).hexdigest()[:16] for row in left]


def parent(left, right):
    return hashlib.sha256((left + right).encode()).hexdigest()


def levels(leaves):
    """The tree from its leaves to its root. A last node without a neighbour is its own."""
    tree = [leaves]
    while len(tree[-1]) > 1:
        level = tree[-1] + tree[-1][-1:] * (len(tree[-1]) % 2)
        tree.append([parent(*level[at : at + 2]) for at in range(0, len(level), 2)])
    return tree


def root(leaves):
    return levels(leaves)[-1][0]


def proof(leaves, index):
    siblings, directions, at = [], [], index
    for level in levels(leaves)[:-1]:
        siblings.append(level[min(at ^ 1, len(level) - 1)])
        directions.append(at % 2 == 0)
        at //= 2
    return {
        "leaf_index": index,
        "leaf_hash": leaves[index],
        "proof_hashes": siblings,
        "proof_directions": directions,
    }


def device_proof(leaves, indices):
    """What a worker answers when these rows are asked for."""
    return {
        "uuid": "-1",
        "row_hashes": [leaves[index] for index in indices],
        "merkle_proofs": [proof(leaves, index) for index in indices],
        "coordinate_values": [],
    }
