"""A lake of several workers has a ledger for each: rows stay with the one that has their leaves, and each verifies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from pipeline import config as conf
from pipeline import proving, store, verification
from pipeline.app import RunOptions
from pipeline.core.clock import system_clock
from pipeline.core.errors import ConfigError, NoInputError
from pipeline.job import Run
from pipeline.ledger import ForkError, LedgerError
from tests.command import keytrail
from tests.lakes import run, view
from tests.trail import MAIN, SECOND, START, trail

TABLES = {"detection": {"disabled": ["integrity"]}}


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Two workers, a device each, two commits each: files of either are there to be merged."""
    whole = trail()
    paths = whole.write(tmp_path / "logs")
    bodies = [path.read_bytes().splitlines(keepends=True) for path in paths]
    for share in (0, 1):
        for path, lines, worker in zip(paths, bodies, ("a", "b"), strict=True):
            half = len(lines) // 2
            path.write_bytes(b"".join(lines[:half] if share == 0 else lines))
            run(tmp_path / "lake", path, tables=TABLES, worker=worker)
    return tmp_path / "lake"


def opened(lake: Path, worker: str) -> store.Lake:
    return store.Lake.open(lake, store.StoreConfig(), writer=True, clock=system_clock, worker=worker)


def told(lake: Path, *heads: Path) -> dict[str, set[str]]:
    """What each ledger's verification has to say; `ok` where that is all."""
    found = {one.folder: set(one.report.rows["verdict"]) for one in verification.verify_lake(lake, None, heads, None)}
    return {folder: verdicts - {"ok"} or {"ok"} for folder, verdicts in found.items()}


def test_each_ledger_is_verified_over_its_own_rows(lake: Path) -> None:
    """Whoever merges the files, a worker's rows stay its ledger's; an edit is told of the one it was made in."""
    clean = {"ledger/workers/a": {"ok"}, "ledger/workers/b": {"ok"}}
    assert told(lake) == clean
    with opened(lake, "a") as writer:
        writer.compact()
        (name,) = (name for name, table in writer.evidence("b")[1].items() if table == "raw")
    assert told(lake) == {folder: {"unsigned", "gap"} for folder in clean}  # until a run has told the ledger
    for device, worker in ((MAIN, "a"), (SECOND, "b")):
        run(lake, lake.parent / "logs" / device, tables=TABLES, worker=worker)
    assert told(lake) == clean
    file = lake / name
    pl.read_parquet(file).with_columns(pl.lit(b"{}").alias("raw")).write_parquet(file)
    assert told(lake) == {"ledger/workers/a": {"ok"}, "ledger/workers/b": {"altered"}}


def test_a_proof_is_of_the_ledger_that_has_the_leaf(lake: Path) -> None:
    """An event of either worker is proven against its own log's checkpoint."""
    keys = {one.folder: one.pinned.verifier.vkey() for one in verification.verify_lake(lake, None, (), None)}
    events = view(lake, "events")
    for device, worker in ((MAIN, "a"), (SECOND, "b")):
        uid = events.filter(pl.col("source").str.ends_with(device))["uid"][0]
        files = dict(proving.prove(lake, [uid], lake.parent))
        proof, event = (lake.parent / f"{uid}.{kind}" for kind in ("tlog-proof", "event.json"))
        shown = proving.verify_proof(proof, event, keys[f"ledger/workers/{worker}"])
        assert (shown["content_checked"], len(files)) == (True, 2)


def test_what_one_worker_expires_is_told_to_the_ledger_of_the_other(lake: Path) -> None:
    """Retention by one worker leaves it to the other to say so, which its next run does with nothing new to read."""
    with opened(lake, "a") as writer:
        writer.retain(int(START.timestamp() * 1e6) + 100_000_000)
    assert {folder: "gap" in verdicts for folder, verdicts in told(lake).items()} == dict.fromkeys(told(lake), True)
    for device, worker in ((MAIN, "a"), (SECOND, "b")):
        run(lake, lake.parent / "logs" / device, tables=TABLES, worker=worker)
    assert told(lake) == {"ledger/workers/a": {"redacted"}, "ledger/workers/b": {"redacted"}}


def test_a_kept_head_is_held_against_the_log_it_names(lake: Path, tmp_path: Path) -> None:
    """Heads of several workers may be given; one of a log that is gone from the lake is told."""
    kept = [shutil.copy(lake / "ledger/workers" / worker / "checkpoint", tmp_path / worker) for worker in "ab"]
    assert told(lake, *kept) == {"ledger/workers/a": {"ok"}, "ledger/workers/b": {"ok"}}
    kept[0].write_bytes(kept[0].read_bytes().replace(b"keytrail/", b"elsewhere/"))
    assert told(lake, *kept) == {"ledger/workers/a": {"unverifiable"}, "ledger/workers/b": {"ok"}}


def test_a_lake_put_back_to_an_older_state_is_not_written_on(tmp_path: Path) -> None:
    """What was signed is remembered beside the key: the next run refuses, and verification says why."""
    lake, log = tmp_path / "lake", tmp_path / "audit.log"
    lines = trail(MAIN).write(tmp_path / "logs")[0].read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:200]))
    run(lake, log, tables=TABLES)
    shutil.copytree(lake, tmp_path / "older")
    log.write_bytes(b"".join(lines))
    run(lake, log, tables=TABLES)
    shutil.rmtree(lake)
    (tmp_path / "older").rename(lake)
    with pytest.raises(ForkError, match="put back to an older state"):
        run(lake, log, tables=TABLES)
    config = verification.conf.LedgerConfig(signing_key=str(tmp_path / "signing.key"))
    report = verification.verify_lake(lake, None, (), None, config)[0].report
    assert set(report.rows.filter(verdict="truncated")["source"]) == {"record of what was signed"}


def test_an_event_stored_without_a_ledger_has_no_proof(tmp_path: Path) -> None:
    """It says so in words."""
    (path,) = trail(MAIN).write(tmp_path / "logs")
    run(tmp_path / "lake", path, tables={**TABLES, "ledger": {"enabled": False}})
    uid = view(tmp_path / "lake", "events")["uid"][0]
    with pytest.raises(NoInputError, match="while the ledger was off"):
        proving.prove(tmp_path / "lake", [uid], None)


@pytest.mark.parametrize(("before", "said"), [(True, "has a ledger"), (False, "from before there was a ledger")])
def test_a_lake_keeps_its_ledger_or_has_none(tmp_path: Path, before: bool, said: str) -> None:
    """A run that would leave rows which `verify` can never approve is refused, and the lake is as it was."""
    lake, paths = tmp_path / "lake", trail().write(tmp_path / "logs")
    with_it, without = TABLES, {**TABLES, "ledger": {"enabled": False}}
    run(lake, paths[0], tables=with_it if before else without)
    rows = len(view(lake, "raw"))
    with pytest.raises(ConfigError, match=said):
        run(lake, paths[1], tables=without if before else with_it)
    assert len(view(lake, "raw")) == rows
    run(lake, paths[1], tables=with_it if before else without)
    assert len(view(lake, "raw")) > rows
    if before:
        assert told(lake) == {"ledger": {"ok"}}


def test_a_ledger_is_handed_over_to_another_key(tmp_path: Path) -> None:
    """The new key goes on, the old one no more; verification holds under either, and the run lost nothing by it."""
    lake, log, new = tmp_path / "lake", tmp_path / "audit.log", tmp_path / "new" / "signing.key"
    lines = trail(MAIN).write(tmp_path / "logs")[0].read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:200]))
    run(lake, log, tables=TABLES)
    old_vkey = verification.verify_lake(lake, None, (), None)[0].pinned.verifier.vkey()
    new_vkey = verification.rotate_key(lake, tmp_path / "signing.key", new, "main", verification.conf.LedgerConfig())
    log.write_bytes(b"".join(lines))
    job = Run(RunOptions((str(log),), lake, signing_key=str(new)), conf.Settings(None, TABLES))
    assert job.execute()["entries"] == len(lines) - 200
    for vkey in (old_vkey, new_vkey):
        (found,) = verification.verify_lake(lake, vkey, (), None)
        assert set(found.report.rows["verdict"]) == {"ok"}, found.report.rows.to_dicts()
    run(tmp_path / "another", log, tables=TABLES)
    told = [view(where, "operations").select("uid", "paired") for where in (lake, tmp_path / "another")]
    assert told[0].equals(told[1])
    with pytest.raises(LedgerError):
        run(lake, log, tables=TABLES)


def test_a_report_names_the_head_of_each_ledger(lake: Path, tmp_path: Path) -> None:
    """It is signed in the first one's name, which its pinned key opens; the lake holds every head to its log."""
    key = lake.parent / "signing.key"
    done = keytrail("report", "access-review", "--lake", lake, "--out", tmp_path / "out", "--signing-key", key)
    assert done.code == 0
    told = json.loads((tmp_path / "out" / "access-review.manifest.json").read_text())
    keys = {one.folder: one.pinned.verifier for one in verification.verify_lake(lake, None, (), None)}
    assert [head["origin"] for head in told["ledger"]] == [one.name for one in keys.values()]
    first, second = (one.vkey() for one in keys.values())
    heads = [("--since-head", lake / folder / "checkpoint") for folder in keys]
    for words in (("--key", first), ("--lake", lake), ("--key", second, "--lake", lake, *heads[0], *heads[1])):
        assert keytrail("verify", "report", tmp_path / "out", *words).code == 0
    assert keytrail("verify", "report", tmp_path / "out", "--key", second).code == 10
    shutil.rmtree(lake / "ledger" / "workers" / "b")
    (row,) = keytrail("verify", "report", tmp_path / "out", "--lake", lake, "--format", "json").rows
    assert row["reason"] == f"the lake has no ledger {told['ledger'][1]['origin']}"
