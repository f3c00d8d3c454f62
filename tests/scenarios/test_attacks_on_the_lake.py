"""What somebody can do to a lake after it was read, and what `keytrail verify` says of each: verdict, cause and leaves.

The kept head is a copy of the checkpoint after the second of two runs. Told must be what is broken, and nothing else.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline import config as conf
from pipeline import verification
from pipeline.core import plugins
from pipeline.ledger.verify import Report
from tests.lakes import run
from tests.scenarios.vault_lines import entry, line
from tests.trail import MAIN, trail

_TABLES = {"detection": {"disabled": plugins.kinds("detectors")}}
PAGE = Path(__file__).parents[2] / "docs" / "integrity.md"
Place = tuple[str, str, int | None, int | None]  # verdict, cause, first and last leaf


@dataclass(slots=True)
class Kept:
    """A lake of two runs, a copy of it as it was after the first, and a head kept elsewhere since the second."""

    home: Path
    log: Path

    @property
    def lake(self) -> Path:
        return self.home / "lake"

    def read(self) -> dict[str, Any]:
        return run(self.lake, self.log, tables=_TABLES)

    def verified(self) -> Report:
        """With the key that the lake names, or this host's where the lake names none any more."""
        config = conf.LedgerConfig(signing_key=str(self.home / "signing.key"), signed=str(self.home / "nowhere"))
        return verification.verify_lake(self.lake, None, [self.home / "head"], None, config)[0].report

    def file(self, table: str) -> str:
        """A file of a table, relative to the lake."""
        return min(str(path.relative_to(self.lake)) for path in (self.lake / "data" / table).iterdir())

    def edit(self, table: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        path = self.lake / self.file(table)
        change(pl.read_parquet(path)).write_parquet(path)

    def catalogue(self, sql: str, *values: object) -> None:
        with closing(sqlite3.connect(self.lake / "commit.sqlite")) as db, db:
            db.execute(sql, values)

    def ledger(self, name: str) -> Path:
        return self.lake / "ledger" / name


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    home = tmp_path_factory.mktemp("made")
    whole = trail(MAIN)
    (log,) = whole.write(home / "logs")
    body = log.read_bytes()
    kept = Kept(home, log)
    log.write_bytes(body[: whole.positions(MAIN)[whole.at(MAIN, "r-150")]])
    kept.read()
    shutil.copytree(kept.lake, home / "older")
    log.write_bytes(body)
    kept.read()
    shutil.copy(kept.ledger("checkpoint"), home / "head")
    return kept


@pytest.fixture
def kept(made: Kept, tmp_path: Path) -> Iterator[Kept]:
    body = made.log.read_bytes()
    shutil.copytree(made.home, tmp_path / "home", ignore=shutil.ignore_patterns("logs"))
    yield Kept(tmp_path / "home", made.log)
    made.log.write_bytes(body)


def flipped(path: Path, at: int) -> None:
    body = bytearray(path.read_bytes())
    body[at] ^= 1
    path.write_bytes(bytes(body))


def exchanged(first: Path, second: Path) -> None:
    body = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(body)


# What was read, and what was made of it.


def row_edited(kept: Kept) -> None:
    """a stored line edited"""
    raw = pl.when(pl.int_range(pl.len()) == 7).then(pl.lit(b"{}")).otherwise("raw").alias("raw")
    kept.edit("raw", lambda rows: rows.with_columns(raw))


def row_deleted(kept: Kept) -> None:
    """a stored line deleted"""
    kept.edit("raw", lambda rows: rows[:7].vstack(rows[8:]))


def row_doubled(kept: Kept) -> None:
    """a stored line twice"""
    kept.edit("raw", lambda rows: rows.vstack(rows[7:8]))


def row_added(kept: Kept) -> None:
    """a line stored that was never read"""
    kept.edit("raw", lambda rows: rows.vstack(rows[-1:].with_columns(leaf_index=pl.lit(9_999, pl.Int64))))


def row_erased(kept: Kept) -> None:
    """bytes and salt of a stored line taken out, as an erasure does, without a record"""
    gone = pl.int_range(pl.len()) == 7
    blank = [pl.when(~gone).then(name).alias(name) for name in ("raw", "salt")]
    kept.edit("raw", lambda rows: rows.with_columns(*blank, redacted=pl.col("redacted") | gone))


def file_swapped(kept: Kept) -> None:
    """a Parquet file overwritten with another"""
    first, second = sorted((kept.lake / "data" / "raw").iterdir())[:2]
    shutil.copy(second, first)


def file_removed(kept: Kept) -> None:
    """a Parquet file removed"""
    (kept.lake / kept.file("raw")).unlink()


def operation_edited(kept: Kept) -> None:
    """a row of `operations` edited: what was read stands as it was"""
    kept.edit("operations", lambda rows: rows.with_columns(principal=pl.lit("somebody/else")))


# The catalogue.


def file_forgotten(kept: Kept) -> None:
    """a file struck from the lake's catalogue"""
    kept.catalogue("DELETE FROM files WHERE path = ?", kept.file("coverage"))


def file_forgotten_and_read_on(kept: Kept) -> None:
    """a file struck from the catalogue, and a run that goes on from there"""
    file_forgotten(kept)
    kept.read()


def redacted_edited(kept: Kept) -> None:
    """what is stored of a line redacted at ingest edited"""
    told_in_clear(kept, 0)
    path = max((kept.lake / "data/raw").iterdir())
    forged = pl.when("redacted").then(pl.lit(b'{"nothing":"happened"}')).otherwise("raw").alias("raw")
    pl.read_parquet(path).with_columns(forged).write_parquet(path)


def redacted_edited_and_merged(kept: Kept) -> None:
    """what is stored of a line redacted at ingest edited, and runs that merge its file"""
    redacted_edited(kept)
    for number in (1, 2):
        told_in_clear(kept, number, {"store": {"compact_files": 2}})


def told_in_clear(kept: Kept, number: int, tables: dict[str, Any] | None = None) -> None:
    with kept.log.open("ab") as log:
        told = entry(9_000 + number, "request", 90_000) | {"error": "a token: hvs.abcdefghijklmnopqrstuvwxyz"}
        log.write(line(told) + b"\n")
    run(kept.lake, kept.log, tables=_TABLES | (tables or {}))


def file_forged(kept: Kept) -> None:
    """a file put in another's place in the lake's catalogue"""
    name = kept.file("coverage")
    forged = name.replace("--", "-1--")
    shutil.copy(kept.lake / name, kept.lake / forged)
    kept.catalogue("UPDATE files SET path = ? WHERE path = ?", forged, name)


def file_forged_and_read_on(kept: Kept) -> None:
    """a file put in another's place in the catalogue, and a run that goes on from there"""
    file_forged(kept)
    kept.read()


def expiry_forged_and_read_on(kept: Kept) -> None:
    """lines removed and said in the lake's catalogue to have expired, and a run that goes on from there"""
    name = kept.file("raw")
    last = len(pl.read_parquet(kept.lake / name)) - 1
    kept.catalogue("DELETE FROM files WHERE path = ?", name)
    kept.catalogue("INSERT INTO expired VALUES ('main', 0, ?)", last)
    kept.read()


def file_misdated(kept: Kept) -> None:
    """a file's times changed in the lake's catalogue, so that it is passed over and forgotten as old"""
    kept.catalogue("UPDATE files SET min_time = 1, max_time = 2 WHERE path = ?", kept.file("events"))


def file_miscounted(kept: Kept) -> None:
    """the number of a file's rows changed in the lake's catalogue"""
    kept.catalogue("UPDATE files SET rows = rows + 1 WHERE path = ?", kept.file("raw"))


def position_moved(kept: Kept) -> None:
    """a reading position moved on in the lake's catalogue, so that lines are passed over"""
    kept.catalogue("UPDATE positions SET offset = offset + 1000")


def position_moved_and_read_on(kept: Kept) -> None:
    """a reading position moved back, and a run that goes on from there"""
    kept.catalogue("UPDATE positions SET offset = offset - 1000")
    kept.read()


def position_forgotten(kept: Kept) -> None:
    """a reading position taken out of the lake's catalogue"""
    kept.catalogue("DELETE FROM positions")


def hold_forged(kept: Kept) -> None:
    """a legal hold written into the lake's catalogue that is none"""
    kept.catalogue("INSERT INTO holds VALUES ('case-9', 'main', '{}')")


def head_removed(kept: Kept) -> None:
    """the ledger's head taken out of the lake's catalogue"""
    kept.catalogue("DELETE FROM ledger")


def head_overwritten(kept: Kept) -> None:
    """the ledger's head in the lake's catalogue overwritten"""
    kept.catalogue("UPDATE ledger SET head = ?", b"\x00")


# The ledger.


def tile_edited(kept: Kept) -> None:
    """a tile of the ledger edited"""
    flipped(kept.ledger("tile/0/000"), 40)


def tiles_exchanged(kept: Kept) -> None:
    """two bundles of entries exchanged, and their tiles with them"""
    for level in ("0", "entries"):
        exchanged(kept.ledger(f"tile/{level}/000"), kept.ledger(f"tile/{level}/001"))


def tile_removed(kept: Kept) -> None:
    """a tile of the ledger removed"""
    kept.ledger("tile/0/001").unlink()


def bundle_cut(kept: Kept) -> None:
    """a bundle of entries cut short"""
    path = kept.ledger("tile/entries/001")
    path.write_bytes(path.read_bytes()[:-64])


def checkpoint_edited(kept: Kept) -> None:
    """the checkpoint's size edited"""
    lines = kept.ledger("checkpoint").read_text().split("\n")
    lines[1] = str(int(lines[1]) - 1)
    kept.ledger("checkpoint").write_text("\n".join(lines))


def checkpoint_removed(kept: Kept) -> None:
    """the checkpoint removed"""
    kept.ledger("checkpoint").unlink()


def checkpoint_put_back(kept: Kept) -> None:
    """an older checkpoint put in the newest one's place"""
    shutil.copy(kept.ledger("checkpoints/303"), kept.ledger("checkpoint"))


def older_tile_edited(kept: Kept) -> None:
    """an earlier form of an unfinished tile edited, as readers of an older checkpoint have it"""
    flipped(kept.ledger("files/tile/0/000.p/4"), 40)


def policy_removed(kept: Kept) -> None:
    """the file that names the log's key and its witnesses removed"""
    kept.ledger("policy").unlink()


def policy_overwritten(kept: Kept) -> None:
    """the file that names the log's key and its witnesses overwritten"""
    kept.ledger("policy").write_text("trust me")


# All of it.


def lake_rolled_back(kept: Kept) -> None:
    """the whole lake put back to an older state"""
    shutil.rmtree(kept.lake)
    shutil.copytree(kept.home / "older", kept.lake)


def lake_forked(kept: Kept) -> None:
    """an older copy of the lake that has read on, elsewhere, something else"""
    lake_rolled_back(kept)
    shutil.rmtree(kept.home / "signed")
    with kept.log.open("ab") as log:
        log.write(kept.log.read_bytes()[-10_000:])
    kept.read()


def ledger_made_anew(kept: Kept) -> None:
    """the lake made anew from the same files with another key"""
    shutil.rmtree(kept.lake)
    (kept.home / "signing.key").unlink()
    kept.read()


AFTER: list[tuple[Callable[[Kept], None], set[Place]]] = [
    (row_edited, {("altered", "row", 7, 7)}),
    (row_deleted, {("gap", "row", 7, 7), ("altered", "file", None, None)}),
    (row_doubled, {("duplicate", "row", 7, 7)}),
    (row_added, {("unsigned", "row", 9999, 9999)}),
    (row_erased, {("altered", "row", 7, 7)}),
    (file_swapped, {("gap", "row", 0, 302), ("duplicate", "row", 303, 602), ("altered", "file", None, None)}),
    (file_removed, {("gap", "row", 0, 302), ("altered", "file", None, None)}),
    (operation_edited, {("altered", "file", None, None)}),
    (file_forgotten, {("gap", "file", None, None)}),
    (file_forgotten_and_read_on, {("gap", "exchange", 7, 7)}),
    (redacted_edited, {("altered", "file", None, None), ("redacted", "ingest", 603, 603)}),
    (
        redacted_edited_and_merged,
        {("altered", "exchange", 14, 14), ("redacted", "ingest", 603, 604), ("redacted", "ingest", 605, 605)},
    ),
    (file_forged, {("unsigned", "file", None, None), ("gap", "file", None, None)}),
    (file_forged_and_read_on, {("gap", "exchange", 7, 7), ("unsigned", "exchange", 7, 7)}),
    (expiry_forged_and_read_on, {("gap", "exchange", 7, 7), ("redacted", "expired", 0, 302)}),
    (file_misdated, {("altered", "catalogue", None, None)}),
    (file_miscounted, {("altered", "catalogue", None, None)}),
    (position_moved, {("altered", "position", 4, 4)}),
    (position_moved_and_read_on, {("altered", "position", 7, 7), ("redacted", "ingest", 603, 603)}),
    (position_forgotten, {("gap", "position", 4, 4)}),
    (hold_forged, {("unsigned", "hold", None, None)}),
    (head_removed, {("gap", "head", 0, 602), ("gap", "head", 0, 6)}),
    (head_overwritten, {("unverifiable", "head", None, None), ("gap", "head", 0, 6)}),
    (tile_edited, {("altered", "tile", 1, 1)}),
    (
        tiles_exchanged,
        {("altered", "tile", 0, 255), ("altered", "tile", 256, 511), ("unverifiable", "consistency", 0, 302)},
    ),
    (tile_removed, {("gap", "tile", 256, 511)}),
    (bundle_cut, {("altered", "tile", 256, 511)}),
    (checkpoint_edited, {("unverifiable", "checkpoint", None, None)}),
    (checkpoint_removed, {("gap", "checkpoint", 0, 602)}),
    (checkpoint_put_back, {("truncated", "rollback", 303, 602)}),
    (older_tile_edited, {("altered", "tile", 0, 3)}),
    (policy_removed, {("gap", "policy", None, None)}),
    (policy_overwritten, {("unverifiable", "policy", None, None)}),
    (lake_rolled_back, {("truncated", "rollback", 303, 602)}),
    (lake_forked, {("altered", "fork", 0, 602), ("redacted", "ingest", 603, 603)}),
    (ledger_made_anew, {("unverifiable", "checkpoint", None, None)}),
]  # fmt: skip


def test_an_untouched_lake_verifies(kept: Kept) -> None:
    """Rows, tiles, checkpoint and the kept head fit each other."""
    report = kept.verified()
    assert report.exit_code == 0
    assert set(report.rows["verdict"]) == {"ok"}


@pytest.mark.parametrize(("harm", "expected"), AFTER, ids=[harm.__name__ for harm, _ in AFTER])
def test_what_is_done_to_the_lake_is_found(harm: Callable[[Kept], None], expected: set[Place], kept: Kept) -> None:
    """Each edit of the lake after the fact fails verification with its verdict, cause and place."""
    harm(kept)
    report = kept.verified()
    assert report.exit_code == 10
    assert places(report) == expected, report.rows.to_dicts()


@pytest.mark.parametrize(
    ("harm", "head"),
    [(head_removed, ("gap", "head", 0, 602)), (head_overwritten, ("unverifiable", "head", None, None))],
)
def test_without_head_and_policy_the_checkpoint_tells_the_logs_name(
    harm: Callable[[Kept], None], head: Place, kept: Kept
) -> None:
    """Both that name the log are gone: it is still held to this host's key, and all of it is told."""
    harm(kept)
    policy_removed(kept)
    report = kept.verified()
    assert report.exit_code == 10
    assert places(report) == {head, ("gap", "head", 0, 6), ("gap", "policy", None, None)}


def places(report: Report) -> set[Place]:
    """What is told, but for what holds."""
    told = report.rows.filter(pl.col("verdict") != "ok").select("verdict", "cause", "from_position", "to_position")
    return set(told.iter_rows())


def test_the_page_tells_of_each() -> None:
    """docs/integrity.md has a row for every attack on the lake, with its verdicts and causes."""
    rows = dict(line.strip("| ").split(" | ", 1) for line in PAGE.read_text().splitlines() if line.startswith("| "))
    for harm, expected in AFTER:
        for verdict, cause, *_ in expected:
            assert f"`{verdict}` {cause}" in rows[str(harm.__doc__)], harm.__name__
