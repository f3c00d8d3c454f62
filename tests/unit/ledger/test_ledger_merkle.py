"""Merkle trees: the known answers of Certificate Transparency and the 518 vectors of transparency-dev."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.ledger import merkle
from pipeline.ledger.errors import LedgerError

VECTORS = Path(os.environ.get("KEYTRAIL_SHARED", "../shared")) / "vectors" / "rfc6962-merkle"
LEAVES = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
HASHES = [merkle.leaf_hash(leaf) for leaf in LEAVES]


def subtree(start: int, end: int) -> bytes:
    return merkle.fold(merkle.peaks(b"".join(HASHES_130[start:end])))


HASHES_130 = [merkle.leaf_hash(bytes([n])) for n in range(130)]


def by_definition(hashes: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1 written down as it stands."""
    if not hashes:
        return merkle.EMPTY_ROOT
    if len(hashes) == 1:
        return hashes[0]
    k = merkle.split(len(hashes))
    return merkle.node_hash(by_definition(hashes[:k]), by_definition(hashes[k:]))


@pytest.mark.parametrize("size", range(9))
def test_roots_are_the_known_answers_of_certificate_transparency(size: int) -> None:
    """The roots of the first 0 to 8 reference leaves are those every CT implementation computes."""
    assert merkle.fold(merkle.peaks(b"".join(HASHES[:size]))).hex() == ROOTS[size]


def test_every_inclusion_proof_to_130_leaves_holds_and_no_other_leaf_passes() -> None:
    """A proof made for a leaf verifies against the root by definition, and not for the leaf beside it."""
    for size in range(1, 131):
        root = by_definition(HASHES_130[:size])
        for index in range(size):
            proof = merkle.gather(merkle.inclusion_ranges(index, size), subtree)
            merkle.verify_inclusion(index, size, HASHES_130[index], proof, root)
            with pytest.raises(LedgerError):
                merkle.verify_inclusion(index, size, HASHES_130[index ^ 1], proof, root)


def test_every_consistency_proof_to_130_leaves_holds_and_no_other_root_passes() -> None:
    """A proof between two sizes verifies against both roots, and not against the root of another size."""
    roots = [by_definition(HASHES_130[:size]) for size in range(131)]
    for size in range(1, 131):
        for old in range(1, size + 1):
            proof = merkle.gather(merkle.consistency_ranges(old, size), subtree)
            merkle.verify_consistency(old, size, proof, roots[old], roots[size])
            with pytest.raises(LedgerError):
                merkle.verify_consistency(old, size, proof, roots[old - 1], roots[size])


def test_every_subtree_consistency_proof_to_40_leaves_holds() -> None:
    """A subtree of any tree is proven to be part of it."""
    for size in range(1, 41):
        for start in range(size):
            for end in range(start + 1, size + 1):
                if merkle.is_subtree(start, end):
                    proof = merkle.gather(merkle.subtree_consistency_ranges(start, end, size), subtree)
                    mine, whole = subtree(start, end), subtree(0, size)
                    merkle.verify_subtree_consistency((start, end), size, proof, mine, whole)


@pytest.mark.parametrize(
    ("start", "end", "valid"), [(0, 1, True), (0, 7, True), (8, 13, True), (4, 9, False), (2, 5, False), (3, 3, False)]
)
def test_a_subtree_starts_at_a_multiple_of_its_width_rounded_up(start: int, end: int, valid: bool) -> None:
    """[start, end) is a subtree when start is a multiple of the power of two that holds its width."""
    assert merkle.is_subtree(start, end) is valid


def test_consistency_from_the_empty_tree_is_refused() -> None:
    """Nothing can be proven from size zero, not even to size zero."""
    for size in (0, 1, 8):
        with pytest.raises(LedgerError):
            merkle.verify_consistency(0, size, [], merkle.EMPTY_ROOT, merkle.EMPTY_ROOT)


def vectors(kind: str) -> list[Any]:
    files = sorted((VECTORS / kind).rglob("*.json"))
    if not files:
        pytest.skip(f"no vectors at {VECTORS / kind}: set KEYTRAIL_SHARED")
    return [json.loads(path.read_text()) for path in files]


def raw(value: str | None) -> bytes:
    return base64.b64decode(value or "")


def hashes(case: Any) -> list[bytes]:
    return [raw(value) for value in case["proof"] or []]


def check_inclusion(case: Any) -> None:
    merkle.verify_inclusion(case["leafIdx"], case["treeSize"], raw(case["leafHash"]), hashes(case), raw(case["root"]))


def check_consistency(case: Any) -> None:
    merkle.verify_consistency(case["size1"], case["size2"], hashes(case), raw(case["root1"]), raw(case["root2"]))


def check_subtree_inclusion(case: Any) -> None:
    merkle.verify_subtree_inclusion(
        case["leafIdx"], (case["start"], case["end"]), raw(case["leafHash"]), hashes(case), raw(case["root"])
    )


def check_subtree_consistency(case: Any) -> None:
    merkle.verify_subtree_consistency(
        (case["start"], case["end"]), case["size"], hashes(case), raw(case["root1"]), raw(case["root2"])
    )


@pytest.mark.parametrize(
    ("kind", "check", "count"),
    [
        ("inclusion", check_inclusion, 98),
        ("consistency", check_consistency, 98),
        ("subtreeinclusion", check_subtree_inclusion, 204),
        ("subtreeconsistency", check_subtree_consistency, 118),
    ],
)
def test_the_vectors_of_transparency_dev_are_answered_as_they_ask(kind: str, check: Any, count: int) -> None:
    """Good proofs pass, bad ones raise the one declared error and no other."""
    cases = vectors(kind)
    assert len(cases) == count
    for case in cases:
        try:
            check(case)
            refused = False
        except LedgerError:
            refused = True
        assert refused == case["wantErr"], case["desc"]
