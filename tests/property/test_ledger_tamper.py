"""Tampering: any flipped bit of any file of the lake is found, and located."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.ledger import leaf, merkle, proof, seal
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.tiles import Edge
from pipeline.ledger.verify import Report, Snapshot, Unreadable, verify
from tests.unit.ledger.small_lake import SmallLake, records

MANY = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SIZE = 600


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> SmallLake:
    lake = SmallLake(tmp_path_factory.mktemp("tamper") / "lake")
    for start in range(0, SIZE, 150):
        lake.write(records(150, start), control=[(leaf.CONFIG, {"start": start})])
    lake.ledger.append_control(leaf.SEAL, seal.body(lake.folder, lake.files()))
    lake.write(records(1), control=[])
    return lake


@contextmanager
def flipped(path: Path, at: int, bit: int) -> Iterator[int]:
    """The file with one bit changed; gives the offset."""
    data = path.read_bytes()
    at %= len(data)
    path.write_bytes(data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :])
    try:
        yield at
    finally:
        path.write_bytes(data)


def rows(lake: SmallLake) -> Iterator[pl.DataFrame | Unreadable]:
    """What can still be read."""
    for name in lake.files():
        try:
            frame = pl.DataFrame(pl.from_arrow(pq.ParquetFile(lake.folder / name).read()))
            frame.select("source", "position", "raw", "redacted", "salt", "leaf", "leaf_index")
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException, OSError) as error:
            yield Unreadable(name, type(error).__name__)
        else:
            yield frame.with_columns(lake_file=pl.lit(name))


def check(lake: SmallLake) -> Report:
    return verify(lake.folder, lake.ledger.verifier, lambda: Snapshot(lake.head(), rows(lake)), guard=lake.guard)


def found(report: Report, source: str) -> pl.DataFrame:
    assert report.exit_code == 10
    return report.rows.filter(pl.col("source") == source)


@MANY
@given(pick=st.integers(0, 10**9), at=st.integers(0, 10**9), bit=st.integers(0, 7))
def test_a_flipped_bit_of_any_ledger_file_is_found_in_that_file(lake: SmallLake, pick: int, at: int, bit: int) -> None:
    """Tiles and what is left of earlier forms, bundles, control records, checkpoints, their copies, the policy: the
    file is named, and no other."""
    folder = lake.folder / "ledger"
    kept = sorted(path for path in folder.rglob("*") if path.is_file())
    path = kept[pick % len(kept)]
    with flipped(path, at, bit):
        report = check(lake)
    broken = report.rows.filter(~pl.col("verdict").is_in(["ok", "redacted"]))
    assert set(broken["source"]) == {f"ledger/{path.relative_to(folder)}"}, broken
    assert report.exit_code == 10


@MANY
@given(index=st.integers(0, SIZE + 4), byte=st.integers(0, 61), bit=st.integers(0, 7))
def test_a_flipped_bit_of_an_entry_is_located_to_its_leaf(lake: SmallLake, index: int, byte: int, bit: int) -> None:
    """Exactly that leaf, whatever bit of its 62 bytes."""
    bundle, row = divmod(index, 256)
    name = f"tile/entries/{bundle:03d}" + ("" if bundle < 2 else f".p/{SIZE + 6 - 512}")
    with flipped(lake.folder / "ledger" / name, row * 64 + 2 + byte, bit):
        told = found(check(lake), f"ledger/{name}")
    assert told.select("verdict", "from_position", "to_position").rows() == [("altered", index, index)]


@MANY
@given(index=st.integers(0, SIZE + 4), at=st.integers(0, 31), bit=st.integers(0, 7))
def test_a_flipped_bit_of_a_leaf_hash_is_located_to_its_leaf(lake: SmallLake, index: int, at: int, bit: int) -> None:
    """In the tile, not in the entries, which are right."""
    tile, row = divmod(index, 256)
    name = f"tile/0/{tile:03d}" + ("" if tile < 2 else f".p/{SIZE + 6 - 512}")
    with flipped(lake.folder / "ledger" / name, row * 32 + at, bit):
        told = found(check(lake), f"ledger/{name}")
    assert told.select("verdict", "from_position", "to_position").rows() == [("altered", index, index)]


@MANY
@given(pick=st.integers(0, 3), at=st.integers(0, 10**9), bit=st.integers(0, 7))
def test_a_flipped_bit_of_a_sealed_parquet_file_is_found(lake: SmallLake, pick: int, at: int, bit: int) -> None:
    """Data, statistics or metadata, readable afterwards or not."""
    name = lake.files()[pick]
    with flipped(lake.folder / name, at, bit):
        assert "altered" in found(check(lake), name)["verdict"].to_list()


@MANY
@given(index=st.integers(0, 149), column=st.sampled_from(["raw", "salt", "leaf"]), at=st.integers(0, 99),
       bit=st.integers(0, 7))  # fmt: skip
def test_a_flipped_bit_of_a_row_is_located_to_its_leaf(
    lake: SmallLake, index: int, column: str, at: int, bit: int
) -> None:
    """By the row check alone, as in a file rewritten with valid checksums."""
    frame = pl.read_parquet(lake.folder / lake.files()[0])
    values = frame[column].to_list()
    value = bytearray(values[index])
    value[at % len(value)] ^= 1 << bit
    values[index] = bytes(value)
    forged = frame.with_columns(pl.Series(column, values, dtype=pl.Binary), lake_file=pl.lit(lake.files()[0]))
    rest = [f for f in rows(lake) if isinstance(f, pl.DataFrame) and f["leaf_index"][0] > 0]
    report = verify(lake.folder, lake.ledger.verifier, lambda: Snapshot(lake.head(), [forged, *rest]))
    told = found(report, lake.files()[0]).select("verdict", "from_position", "to_position").rows()
    assert told == [("altered", index, index)]


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 700), min_size=1, max_size=8))
def test_the_root_does_not_depend_on_how_the_tree_grew(sizes: list[int]) -> None:
    """Any cuts give the root of the whole."""
    hashes = b"".join(merkle.leaf_hash(b"%d" % n) for n in range(sum(sizes)))
    edge, at = Edge(), 0
    for size in sizes:
        edge.extend(hashes[32 * at : 32 * (at + size)])
        at += size
    assert (edge.size, edge.root()) == (at, merkle.fold(merkle.peaks(hashes)))


@settings(deadline=None)
@given(
    data=st.binary(max_size=400),
    prefix=st.sampled_from([b"", b"c2sp.org/tlog-proof@v1\n", b"c2sp.org/tlog-proof@v1\nindex 1\n"]),
)
def test_arbitrary_bytes_are_no_proof(data: bytes, prefix: bytes) -> None:
    """Parsing ends in a proof that encodes to the same bytes, or in the declared error."""
    try:
        parsed = proof.parse(prefix + data)
    except LedgerError:
        return
    assert parsed.encode() == prefix + data
