"""Erasing entries and holding them: what goes, what stays, what verification says, and who keeps whom from it."""

from __future__ import annotations

import datetime as dt
import random
import shutil
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pipeline import config as conf
from pipeline import erasing, proving, store, verification
from pipeline.app import RunOptions
from pipeline.core.clock import system_clock
from pipeline.core.errors import ConfigError, NoInputError, StoreError
from pipeline.core.model import Hold
from pipeline.job import Run
from pipeline.ledger import redaction
from tests.command import keytrail
from tests.lakes import SAMPLES, run, view
from tests.trail import SECOND, START, trail

TABLES = {"detection": {"disabled": ["integrity"]}}
LAST_US = erasing.LAST_US
DAY_NS = 86_400 * 10**9


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of two devices; key and logs beside it."""
    home = tmp_path_factory.mktemp("made")
    run(home / "lake", *trail().write(home / "logs"), tables=TABLES)
    return home


@pytest.fixture
def lake(made: Path, tmp_path: Path) -> Path:
    """A copy to erase from; the record of what was signed is copied with it."""
    shutil.copytree(made, tmp_path / "home")
    return tmp_path / "home" / "lake"


def order(lake: Path, reason: str = "art. 17, ticket 4711", authority: str = "dpo@example.org") -> erasing.Order:
    return erasing.Order(lake, reason, authority, conf.LedgerConfig(), lake.parent / "signing.key")


def verified(lake: Path) -> pl.DataFrame:
    """What verification says, its exit code held to 0."""
    config = conf.LedgerConfig(signing_key=str(lake.parent / "signing.key"))
    (found,) = verification.verify_lake(lake, None, (), None, config)
    assert found.report.exit_code == 0, found.report.rows.rows()
    return found.report.rows


def bytes_of(lake: Path, *folders: str) -> bytes:
    return b"".join(p.read_bytes() for name in folders for p in (lake / name).rglob("*") if p.is_file())


def request(lake: Path, name: str = "r-100") -> tuple[str, list[str]]:
    """The uids of the first and of all entries of a request, which two devices tell of."""
    uids = view(lake, "events").filter(correlation_uid=name)["uid"].to_list()
    return uids[0], uids


def test_a_request_is_erased_with_all_its_entries(lake: Path) -> None:
    """Raw bytes, salts and rows go, on both devices; leaves stay, and verification says redacted and nothing worse."""
    uid, entries = request(lake)
    before = view(lake, "raw")
    lines = before.filter(pl.col("uid").is_in(entries))["raw"].to_list()
    head = (lake / "ledger/checkpoint").read_bytes()
    assert len(lines) == 4
    erased = erasing.redact(order(lake), [uid], whole=True)
    assert sorted(erased["uid"]) == sorted(entries)
    rows = verified(lake)
    told = rows.filter(verdict="redacted", cause="erased")
    assert told["count"].sum() == 4
    assert set(rows["verdict"]) == {"redacted", "ok"} - ({"ok"} - set(rows["verdict"]))
    after = view(lake, "raw")
    gone = after.filter(pl.col("uid").is_in(entries))
    assert gone["raw"].null_count() == 4
    assert gone["redacted"].all()
    assert len(after) == len(before)
    kept = pl.col("uid").is_in(entries).not_()
    assert after.filter(kept).equals(before.filter(kept))
    for name in ("events", "operations"):
        assert len(view(lake, name).filter(correlation_uid="r-100")) == 0
    (found,) = verification.verify_lake(lake, None, [_kept(lake, head)], None)
    assert found.report.exit_code == 0


def _kept(lake: Path, head: bytes) -> Path:
    path = lake.parent / "kept"
    path.write_bytes(head)
    return path


@pytest.mark.parametrize("seconds", [0, 3600])
def test_replaced_files_stay_as_long_as_the_configuration_says(lake: Path, seconds: int) -> None:
    """`[store] keep_removed_seconds` holds for what an erasure replaces."""
    (lake.parent / "keytrail.toml").write_text(f"[store]\nkeep_removed_seconds = {seconds}\n")
    words = ("--reason", "art. 17", "--authority", "dpo", "--signing-key", lake.parent / "signing.key")
    uid, _ = request(lake)
    done = keytrail("ledger", "redact", uid, "--lake", lake, "--config", lake.parent / "keytrail.toml", *words)
    assert done.code == 0, done.error
    _, left = erasing.purge(lake, now=False)
    assert (left > 0) is bool(seconds)


def test_erased_bytes_are_nowhere_once_their_files_are_purged(lake: Path) -> None:
    """Not a line, not a hash of its values, is left in data, ledger or catalogue."""
    uid, entries = request(lake)
    lines = view(lake, "raw").filter(pl.col("uid").is_in(entries))["raw"].to_list()
    erasing.redact(order(lake), [uid], whole=True)
    gone, left = erasing.purge(lake, now=True)
    assert gone > 0
    assert left == 0
    with duckdb.connect() as sql:
        for path in (lake / "data").rglob("*.parquet"):
            for row in sql.execute(f"SELECT * FROM read_parquet('{path}')").fetchall():
                text = repr(row)
                assert "'r-100'" not in text
                assert not any(line[:200] in value for line in lines for value in row if isinstance(value, bytes))
    held = bytes_of(lake, "ledger") + (lake / "commit.sqlite").read_bytes()
    assert not any(line[:60] in held for line in lines)
    verified(lake)


def test_who_why_and_when_is_a_leaf(lake: Path) -> None:
    """The record names the leaves, the authority, the reason and the files before and after, and shows in the views."""
    _, entries = request(lake)
    erasing.redact(order(lake), entries[:1])
    (line,) = erasing.history(lake)
    assert (line["action"], line["what"], line["authority"]) == ("erased", "1 leaves", "dpo@example.org")
    assert line["reason"] == "art. 17, ticket 4711"
    assert abs(line["at"].timestamp() - system_clock() / 1e9) < 3600
    (row,) = view(lake, "integrity").filter(cause="erased").rows(named=True)
    assert (row["verdict"], row["count"]) == ("redacted", 1)
    assert f"leaf {line['leaf']}" in row["evidence"]
    assert str(line["leaf"]) not in view(lake, "raw")["leaf_index"].cast(pl.String).to_list()


def test_a_reader_with_an_open_snapshot_is_not_broken(lake: Path) -> None:
    """The old audit.duckdb still answers, from the files it names, until they are purged."""
    snapshot = lake.parent / "before.duckdb"
    shutil.copyfile(lake / "audit.duckdb", snapshot)
    uid, _ = request(lake)
    with duckdb.connect(str(snapshot), read_only=True) as sql:
        count = sql.execute("SELECT count(raw) FROM raw").fetchone()
        erasing.redact(order(lake), [uid], whole=True)
        assert sql.execute("SELECT count(raw) FROM raw").fetchone() == count
    found = store.query(lake, "SELECT count(raw) FROM raw").column(0)[0].as_py()
    assert count == (found + 4,)


def test_other_proofs_hold_and_the_erased_one_still_names_its_leaf(lake: Path) -> None:
    """A proof needs the leaf alone; what it says of the bytes is that they were erased."""
    _, entries = request(lake)
    other = view(lake, "events").filter(correlation_uid="r-101")["uid"][0]
    erasing.redact(order(lake), entries)
    key = verification.verify_lake(lake, None, (), None)[0].pinned.verifier.vkey()
    for uid, checked in ((other, True), (entries[0], False)):
        proving.prove(lake, [uid], lake.parent)
        proof, event = (lake.parent / f"{uid}.{kind}" for kind in ("tlog-proof", "event.json"))
        assert proving.verify_proof(proof, event, key)["content_checked"] is checked


def test_many_are_erased_one_after_another_and_runs_go_on(lake: Path) -> None:
    """Random entries in several orders; then a run that has nothing new, and one that has."""
    dice = random.Random(3)
    entries = view(lake, "raw")["uid"].to_list()
    dice.shuffle(entries)
    for at in range(0, 120, 40):
        erasing.redact(order(lake), entries[at : at + 40])
    assert len(erasing.redact(order(lake), entries[:10])) == 0
    assert verified(lake).filter(cause="erased")["count"].sum() == 120
    device = lake.parent / "logs" / SECOND
    for _ in range(3):
        device.write_bytes(device.read_bytes() + device.read_bytes().splitlines(keepends=True)[-1])
        run(lake, device, tables={**TABLES, "store": {"compact_files": 2}})
    with store.Lake.open(lake, store.StoreConfig(), writer=False, clock=system_clock) as reader:
        assert sum(table == "raw" for table in reader.evidence("main")[1].values()) < 4, "they were merged"
    assert verified(lake).filter(cause="erased")["count"].sum() == 120


def test_what_rests_on_an_erased_entry_loses_its_texts(tmp_path: Path) -> None:
    """Findings and alerts stay countable, and say nothing of whom they were about."""
    lake = tmp_path / "lake"
    run(lake, SAMPLES / "vault" / "audit_off")
    findings = view(lake, "findings")
    assert len(findings)
    chosen = findings.filter(pl.col("evidence").list.len() > 0).row(0, named=True)
    entries = [uid for uid in chosen["evidence"] if uid in set(view(lake, "events")["uid"])]
    assert entries
    erasing.redact(order(lake), entries)
    (row,) = view(lake, "findings").filter(uid=chosen["uid"]).rows(named=True)
    assert row["principal"] == row["secret"] == row["client_ip"] == row["observed"] == ""
    assert "erased" in row["message"]
    assert (row["detector"], row["severity"], row["time"]) == (chosen["detector"], chosen["severity"], chosen["time"])
    for alert in view(lake, "alerts").rows(named=True):
        if chosen["uid"] in alert["finding_uids"]:
            assert alert["principal"] == ""
    verified(lake)


def hold_of(lake: Path, *streams: str, first: int = 0, last: int = LAST_US) -> Hold:
    return Hold("case-9", streams, first, last)


def test_a_hold_keeps_entries_from_redaction_and_the_refusal_is_told(lake: Path) -> None:
    """Refused with nothing changed but the record of it; allowed once the hold is released."""
    uid, _ = request(lake)
    erasing.place_hold(order(lake), hold_of(lake))
    before = view(lake, "raw")
    with pytest.raises(redaction.HeldError, match="case-9"):
        erasing.redact(order(lake), [uid], whole=True)
    assert view(lake, "raw").equals(before)
    assert [line["action"] for line in erasing.history(lake)] == ["held", "refused"]
    verified(lake)
    erasing.release_hold(order(lake, "closed", "counsel"), "case-9")
    assert len(erasing.redact(order(lake), [uid], whole=True)) == 4
    assert [line["action"] for line in erasing.history(lake)] == ["held", "refused", "released", "erased"]
    (row,) = view(lake, "integrity").filter(source=erasing.EVERY_STREAM).rows(named=True)
    assert (row["verdict"], row["cause"]) == ("ok", "hold_released")
    verified(lake)


def forget(lake: Path, log: Path) -> None:
    """A run long after, that keeps one day."""
    late = int(START.timestamp() * 1e9) + 40 * DAY_NS
    options = RunOptions((str(log),), lake, signing_key=str(lake.parent / "signing.key"))
    settings = conf.Settings(None, {**TABLES, "store": {"retention_days": 1}})
    log.write_bytes(log.read_bytes() + log.read_bytes().splitlines(keepends=True)[-1])
    Run(options, settings, lambda: late).execute()


def test_a_hold_keeps_entries_from_retention(lake: Path) -> None:
    """One stream's middle is held: of the rest everything goes; the held rows go when it is released."""
    streams = sorted(set(view(lake, "raw")["source"]))
    first, last = (int((START + dt.timedelta(seconds=s)).timestamp() * 1e6) for s in (100, 200))
    held = view(lake, "events").filter(pl.col("time").dt.epoch("us").is_between(first, last, "left"), source=streams[0])
    erasing.place_hold(order(lake), hold_of(lake, streams[0], first=first, last=last))
    forget(lake, lake.parent / "logs" / SECOND)
    assert sorted(view(lake, "events")["uid"]) == sorted(held["uid"])
    assert set(held["uid"]) <= set(view(lake, "raw")["uid"])
    operations = view(lake, "operations")
    assert len(operations)
    assert operations["time"].dt.epoch("us").is_between(first, last, "left").all()
    assert verified(lake).filter(cause="expired")["count"].sum() > 0
    files = {path.name for path in (lake / "data" / "events").glob("*.parquet")}
    forget(lake, lake.parent / "logs" / SECOND)
    assert files <= {path.name for path in (lake / "data" / "events").glob("*.parquet")}  # not written anew for nothing
    erasing.release_hold(order(lake), "case-9")
    forget(lake, lake.parent / "logs" / SECOND)
    assert len(view(lake, "events")) == 0
    verified(lake)


def test_a_hold_that_is_taken_from_the_lake_alone_is_missed(lake: Path) -> None:
    """The ledger has it, the lake keeps to it no more: verification says so."""
    erasing.place_hold(order(lake), hold_of(lake))
    verified(lake)
    opened = store.Lake.open(lake, store.StoreConfig(), writer=True, clock=system_clock)
    with opened as writer, writer._catalogue.changing() as sql:
        sql.execute("DELETE FROM holds")
    (found,) = verification.verify_lake(lake, None, (), None)
    assert found.report.exit_code == 10
    assert found.report.rows.filter(cause="hold")["verdict"].to_list() == ["altered"]


def test_an_erasure_by_hand_is_no_erasure(lake: Path) -> None:
    """Raw and salt gone without a record are altered rows."""
    path = next((lake / "data" / "raw").glob("*.parquet"))
    frame = pl.read_parquet(path)
    first = pl.int_range(pl.len()) == 5
    frame = frame.with_columns(
        raw=pl.when(~first).then("raw"), salt=pl.when(~first).then("salt"), redacted=first | pl.col("redacted")
    )
    frame.write_parquet(path)
    (found,) = verification.verify_lake(lake, None, (), None)
    assert found.report.exit_code == 10
    assert "altered" in set(found.report.rows["verdict"])


@pytest.mark.parametrize("how", ["erased", "expired"])
def test_an_edit_does_not_become_right_by_what_replaces_its_file(lake: Path, how: str) -> None:
    """A column that no leaf covers, then an erasure or a retention that writes the rest of the file anew."""
    stream = min(view(lake, "raw")["source"])
    first, last = (int((START + dt.timedelta(seconds=s)).timestamp() * 1e6) for s in (100, 200))
    if how == "expired":
        erasing.place_hold(order(lake), hold_of(lake, stream, first=first, last=last))
    for path in (lake / "data" / "raw").glob("*.parquet"):
        pl.read_parquet(path).with_columns(file=pl.lit("/elsewhere.log")).write_parquet(path)
    if how == "erased":
        assert len(erasing.redact(order(lake), request(lake)[1][:1]))
    else:
        forget(lake, lake.parent / "logs" / SECOND)
    (found,) = verification.verify_lake(lake, None, (), None)
    assert ("altered", "exchange") in found.report.rows.select("verdict", "cause").rows()
    assert found.report.exit_code == 10


def test_what_cannot_be_done_is_said(lake: Path, tmp_path: Path) -> None:
    """Unknown uids and holds, holds twice, no reason, a lake that is being written, one without a ledger."""
    with pytest.raises(NoInputError, match="no event"):
        erasing.redact(order(lake), ["0" * 32])
    with pytest.raises(ConfigError, match="reason"):
        order(lake, " ")
    with pytest.raises(ConfigError, match="no legal hold"):
        erasing.release_hold(order(lake), "case-9")
    erasing.place_hold(order(lake), hold_of(lake))
    with pytest.raises(ConfigError, match="already"):
        erasing.place_hold(order(lake), hold_of(lake))
    opened = store.Lake.open(lake, store.StoreConfig(), writer=True, clock=system_clock)
    with opened, pytest.raises(StoreError, match="being written"):
        erasing.release_hold(order(lake), "case-9")
    run(tmp_path / "bare", *trail().write(tmp_path / "logs"), tables={**TABLES, "ledger": {"enabled": False}})
    with pytest.raises(NoInputError, match="no ledger"):
        erasing.redact(order(tmp_path / "bare"), view(tmp_path / "bare", "raw")["uid"].to_list()[:1])


def test_the_commands(lake: Path) -> None:
    """As their user has them."""
    uid, entries = request(lake)
    common = ("--lake", lake, "--signing-key", lake.parent / "signing.key", "--reason", "why", "--authority", "who")
    held = keytrail("ledger", "hold", "c", *common, "--from", "2026-03-02T00:00:00Z", "--to", "2026-03-03T00:00:00Z")
    assert held.code == 0, held.error
    assert "legal hold c" in keytrail("ledger", "redact", uid, "--whole-request", *common).error
    assert keytrail("ledger", "release", "c", *common).code == 0
    done = keytrail("ledger", "redact", uid, "--whole-request", *common, "--format", "json")
    assert sorted(row["uid"] for row in done.rows) == sorted(entries)
    told = keytrail("ledger", "records", "--lake", lake, "--format", "json").rows
    assert {"configuration"} <= {row["action"] for row in told if row["log"] == "ledger/files"}
    records = [row for row in told if row["log"] == "ledger"]
    assert [row["action"] for row in records] == ["held", "refused", "released", "erased"]
    assert records[0]["what"] == "hold c on every stream, 2026-03-02T00:00:00Z to 2026-03-03T00:00:00Z"
    assert "deleted" in keytrail("ledger", "purge", "--lake", lake, "--now").stderr
    assert keytrail("verify", "--lake", lake).code == 0
