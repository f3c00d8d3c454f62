"""Tiles, bundles, the growing edge, and the entries themselves."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from pipeline.ledger import leaf, merkle, tiles
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.tiles import Edge, TileReader
from tests.unit.ledger.small_lake import SmallLake, records


@pytest.mark.parametrize(
    ("level", "index", "width", "path"),
    [
        (0, 0, 256, "tile/0/000"),
        (0, 1234067, 256, "tile/0/x001/x234/067"),
        (1, 1000, 256, "tile/1/x001/000"),
        ("entries", 273, 112, "tile/entries/273.p/112"),
        (63, 999, 1, "tile/63/999.p/1"),
    ],
)
def test_tile_paths_are_those_of_the_specification(level: int | str, index: int, width: int, path: str) -> None:
    """Three digits per element, x before all but the last, the width of a partial tile behind."""
    assert tiles.tile_path(level, index, width) == path
    assert tiles.parse_tile_path(path) == (level, index, width)


@pytest.mark.parametrize(
    "path",
    ["tile/0/0", "tile/00/000", "tile/0/x000/001", "tile/0/000.p/256", "tile/0/000.p/0", "tile/0/000.p/01",
     "tile/0/x001", "tile/x/000", "checkpoint", "tile/0/000.p/", "tile/0/1000"],
)  # fmt: skip
def test_other_spellings_of_a_tile_path_are_refused(path: str) -> None:
    """A tile has one name."""
    with pytest.raises(LedgerError):
        tiles.parse_tile_path(path)


def test_a_tree_of_70000_has_the_tiles_that_the_specification_lists() -> None:
    """273 full and one of 112 at level 0; one full and one of 17 at level 1; one of 1 at level 2."""
    edge = Edge()
    full = edge.extend(b"\x07" * 32 * 70_000)
    assert [sum(1 for level, _, _ in full if level == wanted) for wanted in range(3)] == [273, 1, 0]
    assert [(level, index, len(data) // 32) for level, index, data in edge.unfinished()] == [
        (0, 273, 112),
        (1, 1, 17),
        (2, 0, 1),
    ]
    assert tiles.levels(70_000) == 3


@pytest.mark.parametrize("sizes", [[1] * 20, [255, 1, 1], [256, 256], [700, 3, 65_000], [65_536, 1], [66_000]])
def test_the_edge_has_the_root_of_the_whole_tree_however_it_grew(sizes: list[int]) -> None:
    """Batches do not matter, and memory holds at most one unfinished tile per level."""
    hashes = b"".join(merkle.leaf_hash(b"%d" % n) for n in range(sum(sizes)))
    edge, at = Edge(), 0
    for size in sizes:
        edge.extend(hashes[at * 32 : (at + size) * 32])
        at += size
    assert edge.root() == merkle.fold(merkle.peaks(hashes))
    assert all(len(data) < tiles.TILE_SIZE for _, _, data in edge.unfinished())


def test_proofs_read_from_tiles_hold_at_every_size(tmp_path: Path) -> None:
    """Inclusion and consistency proofs for the present and for earlier sizes come from the same files."""
    lake = SmallLake(tmp_path / "lake")
    for count in (1, 254, 2, 300, 66):
        lake.write(records(count))
    reader = TileReader(tmp_path / "lake" / "ledger", 623)
    for size in (1, 2, 255, 256, 257, 511, 512, 557, 623):
        root = reader.root(size)
        for index in {0, size // 2, size - 1}:
            leaf_hash = merkle.leaf_hash(reader.entry(index))
            merkle.verify_inclusion(index, size, leaf_hash, reader.inclusion_proof(index, size), root)
        merkle.verify_consistency(size, 623, reader.consistency_proof(size), root, reader.root())


def test_a_missing_or_misshapen_tile_is_the_declared_error(tmp_path: Path) -> None:
    """So is asking for what the tree does not have."""
    lake = SmallLake(tmp_path / "lake")
    lake.write(records(300))
    folder = tmp_path / "lake" / "ledger"
    reader = TileReader(folder, 300)
    for ask in (
        lambda: reader.entry(300),
        lambda: reader.root(301),
        lambda: reader.tile(0, 2),
        lambda: reader.subtree(0, 512),
        lambda: reader.inclusion_proof(300),
        lambda: reader.consistency_proof(0),
    ):
        with pytest.raises(LedgerError):
            ask()
    (folder / "tile/entries/000").write_bytes(b"short")
    (folder / "tile/0/000").unlink()
    with pytest.raises(LedgerError, match="5 bytes"):
        reader.bundle(0)
    with pytest.raises(LedgerError, match="missing"):
        TileReader(folder, 300).tile(0, 0)


def test_partial_tiles_go_once_the_full_one_is_published(tmp_path: Path) -> None:
    """Older widths stay as long as the tile is not full, since checkpoints were published for them."""
    lake = SmallLake(tmp_path / "lake")
    folder = tmp_path / "lake" / "ledger" / "tile" / "0"
    lake.write(records(3))
    lake.write(records(4))
    assert sorted(path.name for path in (folder / "000.p").iterdir()) == ["3", "7"]
    lake.write(records(250))
    assert (folder / "000").stat().st_size == tiles.TILE_SIZE
    assert not (folder / "000.p").exists()


def test_an_entry_is_laid_out_as_documented() -> None:
    """Every field stands at its place, and the commitment is over salt and bytes."""
    data = np.frombuffer(b"onetwo", np.uint8)
    built = leaf.build(
        "audit.log",
        np.array([7, 1 << 40]),
        1_700_000_000_000_000_123,
        data=data,
        starts=np.array([0, 3]),
        ends=np.array([3, 6]),
        rejected=np.array([False, True]),
        redacted=np.array([True, False]),
        salts=b"s" * 16 + b"t" * 16,
    )
    expected = (
        b"al1\x00\x01\x02"
        + hashlib.sha256(b"audit.log").digest()[:8]
        + (1 << 40).to_bytes(8, "big")
        + (1_700_000_000_000_000_123).to_bytes(8, "big")
        + hashlib.sha256(b"t" * 16 + b"two").digest()
    )
    assert built.entries[1].tobytes() == expected
    assert built.hashes[32:] == merkle.leaf_hash(expected)
    entry = leaf.unpack(built.entries[0].tobytes())
    assert (entry.kind, entry.flags, entry.position) == (leaf.EVENT, leaf.REDACTED, 7)
    assert leaf.pack(entry) == built.entries[0].tobytes()


def test_salts_are_new_for_every_record() -> None:
    """The same line twice gives two commitments that nobody can tell to be of the same line."""
    data = np.frombuffer(b"same", np.uint8)
    where = {"data": data, "starts": np.zeros(1000, np.int64), "ends": np.full(1000, 4)}
    built = leaf.build("s", np.zeros(1000, np.int64), 0, **where)
    assert len({row.tobytes() for row in built.salts}) == 1000
    assert len({row[30:].tobytes() for row in built.entries}) == 1000


@pytest.mark.parametrize("data", [b"", bytes(62), b"al1\x00" + bytes(57), b"al2\x00" + bytes(58)])
def test_what_is_no_entry_is_refused(data: bytes) -> None:
    """Length and first four bytes tell."""
    with pytest.raises(LedgerError):
        leaf.unpack(data)


def test_an_empty_batch_has_no_leaves() -> None:
    """Nothing read is nothing committed to."""
    none = np.empty(0, np.int64)
    built = leaf.build("s", none, 0, data=np.empty(0, np.uint8), starts=none, ends=none)
    assert (len(built), built.hashes, built.salts.shape) == (0, b"", (0, 16))
