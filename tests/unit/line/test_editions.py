"""A lake that another version wrote: an older one's is gone on from, a newer one's is refused and left as it is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pipeline import edition
from pipeline.core.clock import system_clock
from pipeline.core.errors import StoreError
from pipeline.store import Lake, StoreConfig
from pipeline.store.catalogue import Catalogue
from tests.lakes import differences, run
from tests.trail import MAIN, trail

TABLES = {"detection": {"disabled": ["integrity"]}}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A device's log, of which the first half is written by now."""
    (path,) = trail(MAIN).write(tmp_path / "logs")
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[: len(whole) // 2]))
    (tmp_path / "rest").write_bytes(b"".join(whole[len(whole) // 2 :]))
    return path


def go_on(log: Path, home: Path) -> None:
    with log.open("ab") as file:
        file.write((home / "rest").read_bytes())


def fingerprints(lake: Path) -> dict[str, str]:
    """Every file that holds something, but for what each opening raises: the epoch, in the commit file."""
    kept = (path for path in lake.rglob("*") if path.suffix in {".parquet", ".arrows"} or "ledger" in path.parts)
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept if path.is_file()}


def test_a_newer_ones_states_are_refused_and_left(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older one says why, the newer one goes on, and the lake is as if nobody had tried."""
    lake, once = tmp_path / "lake", tmp_path / "once" / "lake"
    monkeypatch.setattr(edition, "EDITION", edition.EDITION + 1)
    run(lake, log, tables=TABLES)
    before = fingerprints(lake)
    go_on(log, tmp_path)
    with monkeypatch.context() as older:
        older.setattr(edition, "EDITION", edition.EDITION - 1)
        with pytest.raises(StoreError, match=r"newer keytrail .*go on with that one"):
            run(lake, log, tables=TABLES)
    assert fingerprints(lake) == before
    run(lake, log, tables=TABLES)
    run(once, log, tables=TABLES)
    assert differences(lake, once) == []


def test_states_from_before_there_were_editions_are_gone_on_from(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They say none; whoever goes on from them says its own."""
    lake, once = tmp_path / "lake", tmp_path / "once" / "lake"
    with monkeypatch.context() as older:
        older.setattr(edition, "written", dict)
        run(lake, log, tables=TABLES)
    assert told(lake) == 0
    go_on(log, tmp_path)
    run(lake, log, tables=TABLES)
    assert told(lake) == edition.EDITION
    run(once, log, tables=TABLES)
    assert differences(lake, once) == []


def told(lake: Path) -> int:
    """The edition that the newest commit says."""
    with Lake.open(lake, StoreConfig(), writer=False, clock=system_clock) as opened:
        return edition.of(opened.states())


def test_a_lake_of_another_format_is_not_touched(log: Path, tmp_path: Path) -> None:
    """Refused before anything is written to it, tables that this version would add included."""
    lake = tmp_path / "lake"
    run(lake, log, tables=TABLES)
    catalogue = Catalogue(lake, writer=True)
    with catalogue.changing() as sql:
        sql.execute("UPDATE meta SET value = '2' WHERE key = 'format'")
        sql.execute("DROP TABLE holds")
    catalogue.close()
    before = {path: path.read_bytes() for path in lake.rglob("*") if path.is_file() and path.suffix != ".lock"}
    with pytest.raises(StoreError, match="has format 2; this keytrail reads format 1"):
        run(lake, log, tables=TABLES)
    assert {path: path.read_bytes() for path in before} == before
