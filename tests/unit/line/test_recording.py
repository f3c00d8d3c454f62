"""`verify --record`: what was found is a leaf; nothing that is broken is mended, hidden or lost by it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline import ledgers, store, verification
from pipeline.core.clock import system_clock
from pipeline.ledger import control, leaf
from tests.command import Done, keytrail
from tests.lakes import run
from tests.trail import MAIN, SECOND, trail

TABLES: dict[str, Any] = {"detection": {"disabled": ["integrity"]}}
FILES = Path("ledger/files")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("made") / "home"
    run(home / "lake", *trail().write(home / "logs"), tables=TABLES)
    return home


@pytest.fixture
def lake(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "home")
    return tmp_path / "home" / "lake"


def verify(lake: Path, *more: str) -> Done:
    config = lake.parent / "keytrail.toml"
    config.write_text(f'[ledger]\nsigning_key = "{lake.parent / "signing.key"}"\n')
    return keytrail("verify", "--lake", lake, "--config", config, "--format", "json", *more)


def broken(done: Done) -> list[tuple[Any, ...]]:
    """The places that verification tells of."""
    rows = [row for row in done.rows if row["verdict"] not in {"ok", "redacted"}]
    names = [re.sub(r"\.p/\d+$", ".p", row["source"]) for row in rows]  # a partial tile's name has its width in it
    return [(name, row["verdict"], row["cause"], row["from_position"]) for name, row in zip(names, rows, strict=True)]


def recorded(lake: Path) -> list[dict[str, Any]]:
    lines = []
    for line in control.lines(lake / FILES):
        with contextlib.suppress(ValueError):  # one that a test has broken
            lines.append(json.loads(line))
    return [line["body"] for line in lines if line["kind"] == leaf.VERIFICATION]


def contents(lake: Path) -> dict[str, str]:
    """Every file with its digest, but for the locks and SQLite's own."""
    files = (path for path in lake.rglob("*") if path.is_file() and not path.name.startswith(("writer", "commit.")))
    return {str(path.relative_to(lake)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_it_reads_only_unless_it_is_asked_to(lake: Path) -> None:
    """Not a byte of the lake is another."""
    before = contents(lake), (lake / "commit.sqlite").read_bytes()
    assert verify(lake).code == 0
    assert (contents(lake), (lake / "commit.sqlite").read_bytes()) == before


def test_what_was_found_is_a_leaf(lake: Path) -> None:
    """Size, root, exit code, verdicts, version and times; it verifies, and a second look is a second record."""
    head = (lake / "ledger/checkpoint").read_text().split("\n")
    done = verify(lake, "--record")
    assert done.code == 0
    assert "recorded in ledger" in done.stderr
    (body,) = recorded(lake)
    assert (body["size"], body["exit_code"], body["broken"]) == (int(head[1]), 0, [])
    assert set(body["verdicts"]) <= {"ok", "redacted"}
    assert body["started_us"] <= body["ended_us"] <= system_clock() // 1000
    assert re.fullmatch(r"\d+\.\d+.*", body["version"])
    assert (lake / "ledger/checkpoint").read_text().split("\n")[:3] == head[:3]  # entries' leaves keep their places
    assert verify(lake, "--record").code == 0
    assert [one["files"]["size"] for one in recorded(lake)] == [body["files"]["size"], body["files"]["size"] + 1]
    shown = keytrail("ledger", "records", "--lake", lake, "--format", "json").rows
    assert [row["action"] for row in shown].count("verified") == 2
    run(lake, lake.parent / "logs" / MAIN, lake.parent / "logs" / SECOND, tables=TABLES)
    assert verify(lake).code == 0


def test_a_run_that_writes_is_not_disturbed(lake: Path) -> None:
    """The result is shown, the record is refused."""
    with ledgers.writable(lake, "main"):
        done = verify(lake, "--record")
    assert done.code == 1
    assert "is being written by" in done.error
    assert done.rows[0]["verdict"] in {"ok", "redacted"}
    assert not recorded(lake)


def raw_edited(lake: Path) -> None:
    file = next((lake / "data/raw").glob("*.parquet"))
    pl.read_parquet(file).with_columns(pl.lit(b"{}").alias("raw")).write_parquet(file)


def file_gone(lake: Path) -> None:
    next((lake / "data/operations").glob("*.parquet")).unlink()


def raw_gone(lake: Path) -> None:
    next((lake / "data/raw").glob("*.parquet")).unlink()


def sql(lake: Path, change: str) -> None:
    with sqlite3.connect(lake / "commit.sqlite") as connection:
        assert connection.execute(change).rowcount


def file_struck(lake: Path) -> None:
    sql(lake, "DELETE FROM files WHERE tbl = 'alerts' OR tbl = 'operations'")


def file_put_in(lake: Path) -> None:
    file = next((lake / "data/operations").glob("*.parquet"))
    shutil.copy(file, file.with_name("000001-00000099--main.parquet"))
    columns = "tbl, kind, worker, sequence, rows, size, layout, min_time, max_time, min_leaf, max_leaf"
    put = f"SELECT replace(path, '{file.name}', '000001-00000099--main.parquet'), {columns} FROM files"
    sql(lake, f"INSERT INTO files {put} WHERE tbl = 'operations'")


def position_moved(lake: Path) -> None:
    sql(lake, "UPDATE positions SET offset = offset + 1")


def byte(name: str, at: int) -> Callable[[Path], None]:
    def change(lake: Path) -> None:
        path = min(lake.glob(name))
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)

    return change


@pytest.mark.parametrize(
    "tamper",
    [
        raw_edited, file_gone, file_struck, file_put_in, position_moved, byte("ledger/tile/entries/000", 40),
        byte("ledger/files/checkpoints/*", 90),
        *(
            pytest.param(harm, marks=pytest.mark.slow)
            for harm in (
                raw_gone, byte("ledger/tile/0/000", 40), byte("ledger/files/ctl.jsonl", 12),
                byte("ledger/files/tile/entries/000.p/*", 40),
            )
        ),
    ],
)  # fmt: skip
def test_what_is_broken_stays_as_broken_as_it_was(lake: Path, tamper: Callable[[Path], None]) -> None:
    """It is recorded, and found again in the same places by the next look; no file of the lake is cleaned up."""
    tamper(lake)
    before = verify(lake)
    places = broken(before)
    assert before.code == 10
    files = {name: digest for name, digest in contents(lake).items() if name.startswith("data/")}
    done = verify(lake, "--record")
    assert done.code == 10
    after = verify(lake)
    assert after.code == 10
    assert broken(after) == places
    assert {name: digest for name, digest in contents(lake).items() if name.startswith("data/")} == files
    if "not recorded" in done.stderr:
        assert not recorded(lake)
    else:
        (body,) = recorded(lake)
        assert body["exit_code"] == 10
        assert [row["cause"] for row in body["broken"]] == [place[2] for place in places]


@pytest.mark.parametrize("name", ["ledger/checkpoint", "ledger/files/checkpoint"])
def test_a_broken_head_is_not_replaced(lake: Path, name: str) -> None:
    """A record would publish a new head in its place: there is none, and that is said."""
    byte(name, 90)(lake)
    broken = (lake / name).read_bytes()
    done = verify(lake, "--record")
    assert done.code == 10
    assert f"not recorded in ledger: {name} is broken" in done.stderr
    assert (lake / name).read_bytes() == broken
    assert not recorded(lake)


def test_each_worker_has_it_in_its_own_log(tmp_path: Path) -> None:
    """Two workers' ledgers, two records."""
    for path, worker in zip(trail().write(tmp_path / "logs"), ("a", "b"), strict=True):
        run(tmp_path / "lake", path, tables=TABLES, worker=worker)
    assert verify(tmp_path / "lake", "--record").code == 0
    for worker in ("a", "b"):
        log = control.parsed(tmp_path / "lake/ledger/workers" / worker / "files")
        assert [r.body["exit_code"] for r in log if r.kind == leaf.VERIFICATION] == [0]
    with store.Lake.open(tmp_path / "lake", store.StoreConfig(), writer=False, clock=system_clock) as opened:
        assert opened.ledgers() == ("a", "b")
    assert all(one.report.exit_code == 0 for one in verification.verify_lake(tmp_path / "lake", None, (), None))
