"""RFC 6962 Merkle trees over SHA-256: hashes, the ranges a proof is made of, and one verifier per kind of proof.

A tree over n leaves is the half-open range [0, n); a subtree is [start, end). Subtrees that need not start at zero
follow draft-ietf-plants-merkle-tree-certs: `start` is a multiple of the smallest power of two not below their width.
Every verifier raises LedgerError and returns nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from struct import iter_unpack

from pipeline.ledger.errors import LedgerError

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

Range = tuple[int, int]
Subtree = Callable[[int, int], bytes]  # (start, end) -> the hash of that subtree


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(00 ‖ entry), RFC 6962 section 2.1."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(01 ‖ left ‖ right), RFC 6962 section 2.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def hash_all(prefix: bytes, rows: bytes | memoryview, width: int) -> bytes:
    """SHA-256(prefix ‖ row) of each `width` bytes of `rows`, one after another.

    Mostly what calls into OpenSSL cost: a copy of a hash that was begun is cheaper than a new one, by a tenth of all.
    """
    begun = hashlib.sha256(prefix).copy
    found: list[bytes] = []
    keep = found.append
    for (row,) in iter_unpack(f"{width}s", rows):
        digest = begun()
        digest.update(row)
        keep(digest.digest())
    return b"".join(found)


def halve(hashes: bytes) -> bytes:
    """Parents of neighbouring hashes: 64·m bytes become 32·m."""
    return hash_all(b"\x01", hashes, 2 * HASH_SIZE)


def perfect_root(hashes: bytes) -> bytes:
    """The hash above a power of two of neighbouring hashes."""
    while len(hashes) > HASH_SIZE:
        hashes = halve(hashes)
    return hashes


def peaks(hashes: bytes) -> list[bytes]:
    """The roots of the perfect subtrees, largest first, that `hashes` falls into."""
    found, at, count = [], 0, len(hashes) // HASH_SIZE
    while count:
        width = 1 << (count.bit_length() - 1)
        found.append(perfect_root(hashes[at : at + width * HASH_SIZE]))
        at, count = at + width * HASH_SIZE, count - width
    return found


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root over peaks given largest first; the empty tree's root for none."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for peak in reversed(hashes[:-1]):
        root = node_hash(peak, root)
    return root


def split(width: int) -> int:
    """The largest power of two below `width` (two or more)."""
    return 1 << ((width - 1).bit_length() - 1)


def perfect_ranges(start: int, end: int) -> list[Range]:
    """The perfect subtrees, largest first, that [start, end) falls into."""
    found = []
    while start < end:
        width = 1 << ((end - start).bit_length() - 1)
        found.append((start, start + width))
        start += width
    return found


def is_subtree(start: int, end: int) -> bool:
    """Whether [start, end) is a subtree of some tree."""
    return 0 <= start < end and start % (1 << (end - start - 1).bit_length()) == 0


# --- what a proof consists of, leaf first -------------------------------------------------------------------------


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """PATH(index, D[size]) of RFC 6962 section 2.1.1 as ranges."""
    if not 0 <= index < size:
        raise LedgerError(f"leaf {index} is not in a tree of {size}")
    low, high, found = 0, size, []
    while high - low > 1:
        middle = low + split(high - low)
        if index < middle:
            found.append((middle, high))
            high = middle
        else:
            found.append((low, middle))
            low = middle
    return found[::-1]


def consistency_ranges(old: int, size: int) -> list[Range]:
    """PROOF(old, D[size]) of RFC 6962 section 2.1.2 as ranges."""
    if not 0 < old <= size:
        raise LedgerError(f"no consistency proof from size {old} to size {size}")
    return subtree_consistency_ranges(0, old, size)


def subtree_consistency_ranges(start: int, end: int, size: int) -> list[Range]:
    """The proof that [start, end) is part of the tree of `size`."""
    if not is_subtree(start, end) or end > size:
        raise LedgerError(f"[{start}, {end}) is not a subtree of a tree of {size}")
    low, high, found = 0, size, []
    known = True  # the verifier has the hash of what is left: it is the subtree itself
    while not (start <= low and end == high):
        middle = low + split(high - low)
        if end <= middle:
            found.append((middle, high))
            high = middle
        else:
            known = known and start >= middle
            found.append((low, middle))
            low = middle
    if not known or low != start:
        found.append((low, high))
    return found[::-1]


def gather(ranges: Sequence[Range], subtree: Subtree) -> list[bytes]:
    """The hashes of a proof."""
    return [subtree(start, end) for start, end in ranges]


# --- verifying ----------------------------------------------------------------------------------------------------


def root_from_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """The root that `leaf` at `index` and `proof` lead to, RFC 9162 section 2.1.3.2."""
    if not 0 <= index < size:
        raise LedgerError(f"leaf {index} is not in a tree of {size}")
    _need_hashes((leaf, *proof))
    node, last, root = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise LedgerError("inclusion proof is longer than the path to the root")
        if node & 1 or node == last:
            root = node_hash(sibling, root)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise LedgerError("inclusion proof is shorter than the path to the root")
    return root


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """`leaf` is number `index` of the tree with `size` leaves and `root`."""
    _need_equal("root", root, root_from_inclusion(index, size, leaf, proof))


def verify_consistency(old: int, size: int, proof: Sequence[bytes], old_root: bytes, root: bytes) -> None:
    """The tree of `old` leaves is the beginning of the tree of `size`. From size zero nothing can be proven."""
    if not 0 < old <= size:
        raise LedgerError(f"no consistency proof from size {old} to size {size}")
    verify_subtree_consistency((0, old), size, proof, old_root, root)


def verify_subtree_inclusion(index: int, subtree: Range, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """`leaf` is number `index` of the log and in the subtree [start, end) with `root`."""
    start, end = subtree
    if not is_subtree(start, end):
        raise LedgerError(f"[{start}, {end}) is not a subtree")
    verify_inclusion(index - start, end - start, leaf, proof, root)


def verify_subtree_consistency(
    subtree: Range, size: int, proof: Sequence[bytes], subtree_root: bytes, root: bytes
) -> None:
    """The subtree [start, end) is part of the tree with `size` leaves and `root`.

    An empty subtree is part of every tree and says nothing of `root`.
    """
    start, end = subtree
    if 0 <= start == end <= size:
        _verify_without_proof("empty subtree", proof, EMPTY_ROOT, subtree_root)
    elif not is_subtree(start, end) or end > size:
        raise LedgerError(f"[{start}, {end}) is not a subtree of a tree of {size}")
    elif (start, end) == (0, size):
        _verify_without_proof("root", proof, root, subtree_root)
    else:
        _need_hashes((subtree_root, root, *proof))
        old, new = _roots_from_consistency(start, end - 1, size - 1, subtree_root, proof)
        _need_equal("earlier root", subtree_root, old)
        _need_equal("root", root, new)


def _roots_from_consistency(
    first: int, last: int, tail: int, subtree_root: bytes, proof: Sequence[bytes]
) -> tuple[bytes, bytes]:
    """What the proof makes of the subtree and of the tree: draft-ietf-plants-merkle-tree-certs section 4.4.3."""
    first, last, tail = _climb(first, last, tail)
    rest = list(proof)
    if first != last and not rest:
        raise LedgerError("consistency proof is empty")
    old = new = subtree_root if first == last else rest.pop(0)
    for sibling in rest:
        if tail == 0:
            raise LedgerError("consistency proof is longer than the path to the root")
        if last & 1 or last == tail:
            if first < last:
                old = node_hash(sibling, old)
            new = node_hash(sibling, new)
            while not last & 1:
                first, last, tail = first >> 1, last >> 1, tail >> 1
        else:
            new = node_hash(new, sibling)
        first, last, tail = first >> 1, last >> 1, tail >> 1
    if tail:
        raise LedgerError("consistency proof is shorter than the path to the root")
    return old, new


def _verify_without_proof(what: str, proof: Sequence[bytes], expected: bytes, actual: bytes) -> None:
    if proof:
        raise LedgerError(f"a proof of {len(proof)} hashes where none is needed")
    _need_equal(what, expected, actual)


def _climb(first: int, last: int, tail: int) -> tuple[int, int, int]:
    """Up to where the subtree's right edge leaves what the verifier already knows."""
    if last == tail:
        while first != last:
            first, last, tail = first >> 1, last >> 1, tail >> 1
    else:
        while first != last and last & 1:
            first, last, tail = first >> 1, last >> 1, tail >> 1
    return first, last, tail


def _need_hashes(hashes: Sequence[bytes]) -> None:
    for value in hashes:
        if len(value) != HASH_SIZE:
            raise LedgerError(f"a hash has {len(value)} bytes, not {HASH_SIZE}")


def _need_equal(what: str, expected: bytes, actual: bytes) -> None:
    if expected != actual:
        raise LedgerError(f"{what} does not hold: expected {expected.hex()}, got {actual.hex()}")
