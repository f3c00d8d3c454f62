"""`keytrail verify cloudtrail`: exit codes, output for programs and people, errors that say what to give."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pipeline.cli import cli
from pipeline.core.clock import system_clock
from pipeline.core.errors import ConfigError, NoInputError, StoreError
from pipeline.ledger import LedgerError, control
from pipeline.store import Lake, StoreConfig
from tests.signed_chains import Bucket, public_key
from tests.unit.integrity_cloudtrail.tampers import END, REGION, TAMPERS

TO = ("--to", END.isoformat())


def command(bucket: Bucket, tmp_path: Path, *options: str) -> Result:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(bucket.keys))
    return CliRunner().invoke(cli, ["verify", "cloudtrail", str(bucket.root), "--keys", str(keys), *options])


@pytest.fixture
def lake(small_lake: Path, tmp_path: Path) -> Path:
    """A copy to record in, its key beside it."""
    shutil.copytree(small_lake.parent, tmp_path / "copy")
    return tmp_path / "copy" / "lake"


def recording(lake: Path) -> tuple[str, ...]:
    return ("--lake", str(lake), "--record", "--signing-key", str(lake.parent / "signing.key"))


def records(lake: Path) -> list[dict[str, Any]]:
    return [dict(r.body) for r in control.parsed(lake / "ledger") if r.body.get("type") == "cloudtrail-key"]


def test_a_whole_bucket_exits_0(bucket: Bucket, tmp_path: Path) -> None:
    """Every row is ok; both views' columns, one JSON object a line."""
    done = command(bucket, tmp_path, *TO, "--format", "json")
    assert done.exit_code == 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    integrity = [row for row in rows if "verdict" in row]
    assert {row["verdict"] for row in integrity} == {"ok"}
    assert list(integrity[0])[-1] == "cause"
    hours = [row for row in rows if "completeness" in row]
    assert len(hours) == 18
    assert hours[1]["hour"] == "2026-03-02T01:00:00.000000Z"


def test_a_tampered_bucket_exits_10(bucket: Bucket, tmp_path: Path) -> None:
    """The verdict other than ok decides, whatever its kind."""
    TAMPERS["key_is_not_given"](bucket)
    done = command(bucket, tmp_path, *TO)
    assert done.exit_code == 10
    assert "key_unknown" in done.stdout


def test_a_trail_that_has_gone_silent_exits_10(bucket: Bucket, tmp_path: Path) -> None:
    """Without --to the chains must reach to now."""
    done = command(bucket, tmp_path, "--format", "csv")
    assert done.exit_code == 10
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert ["truncated", "stale"] in [[row[1], row[-1]] for row in rows if len(row) == 10]


def test_people_read_spans_not_hours(bucket: Bucket, tmp_path: Path) -> None:
    """As a table, hours that are alike are one row."""
    done = command(bucket, tmp_path, *TO)
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith(REGION) and "proven" in line]
    assert len(lines) == 1
    assert "7" in lines[0]


def test_what_was_seen_is_kept_only_when_nothing_is_broken(bucket: Bucket, tmp_path: Path) -> None:
    """A broken bucket never replaces what an earlier, whole one showed."""
    seen = tmp_path / "seen.json"
    assert command(bucket, tmp_path, *TO, "--seen", str(seen)).exit_code == 0
    first = seen.read_bytes()
    assert len(json.loads(first)) == 5
    TAMPERS["region_of_one_account_deleted"](bucket)
    assert command(bucket, tmp_path, *TO, "--seen", str(seen)).exit_code == 10
    assert seen.read_bytes() == first


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01T00:00:00Z"])
def test_a_time_that_is_none_is_refused(bucket: Bucket, tmp_path: Path, text: str) -> None:
    """The error names the option and what to give."""
    done = command(bucket, tmp_path, "--from", text)
    assert isinstance(done.exception, ConfigError)
    assert "--from" in str(done.exception)


def test_a_span_that_ends_before_it_begins_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    """--from must be before --to."""
    done = command(bucket, tmp_path, "--from", (END + dt.timedelta(1)).isoformat(), *TO)
    assert isinstance(done.exception, ConfigError)


def test_no_folder_is_no_input(bucket: Bucket, tmp_path: Path) -> None:
    """A DIR that is not there is told apart from a bucket that is broken."""
    bucket.root /= "elsewhere"
    assert isinstance(command(bucket, tmp_path).exception, NoInputError)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"eu-west-1": []}', '{"PublicKeyList": [{"Value": 1}]}', "[" * 9999])
def test_keys_that_are_none_are_refused(bucket: Bucket, tmp_path: Path, text: str) -> None:
    """The error says what the file must hold."""
    keys = tmp_path / "bad.json"
    keys.write_text(text)
    done = CliRunner().invoke(cli, ["verify", "cloudtrail", str(bucket.root), "--keys", str(keys)])
    assert isinstance(done.exception, ConfigError)
    assert str(keys) in str(done.exception)


@pytest.mark.parametrize("text", ["{", '[{"account": 1}]'])
def test_seen_chains_that_are_none_are_refused(bucket: Bucket, tmp_path: Path, text: str) -> None:
    """A damaged file of chains seen before never counts as an empty one."""
    seen = tmp_path / "seen.json"
    seen.write_text(text)
    assert isinstance(command(bucket, tmp_path, "--seen", str(seen)).exception, ConfigError)


def test_keys_are_recorded_once_and_serve_without_the_file(bucket: Bucket, tmp_path: Path, lake: Path) -> None:
    """Each is a leaf of the ledger, which still verifies; a year later the ledger's keys alone are enough."""
    done = command(bucket, tmp_path, *TO, *recording(lake))
    assert done.exit_code == 0
    assert "2 public keys were recorded" in done.stderr
    assert [(r["region"], r["key"]) for r in records(lake)] == [
        (region, public_key(region)["Value"]) for region in sorted(bucket.keys)
    ]
    again = command(bucket, tmp_path, *TO, *recording(lake))
    assert (again.exit_code, len(records(lake))) == (0, 2)
    assert "recorded" not in again.stderr
    alone = CliRunner().invoke(cli, ["verify", "cloudtrail", str(bucket.root), *TO, "--lake", str(lake)])
    assert alone.exit_code == 0
    key = ("--config", str(tmp_path / "c.toml"))
    (tmp_path / "c.toml").write_text(f'[ledger]\nsigning_key = "{lake.parent / "signing.key"}"\n')
    assert CliRunner().invoke(cli, ["verify", "--lake", str(lake), *key]).exit_code == 0


@pytest.mark.parametrize(
    "change", [{"Value": public_key("forger")["Value"]}, {"ValidityEndTime": "2036-03-20T00:00:00+00:00"}]
)
@pytest.mark.parametrize("by_region", [True, False])
def test_a_key_that_is_not_the_recorded_one_is_told(
    bucket: Bucket, tmp_path: Path, lake: Path, change: dict[str, str], by_region: bool
) -> None:
    """By value and by validity, whether or not the file tells regions; the recorded one is used, and stays."""
    assert command(bucket, tmp_path, *TO, *recording(lake)).exit_code == 0
    before = records(lake)
    forged = {"PublicKeyList": [public_key(REGION, **change)]}
    if by_region:
        bucket.keys[REGION] = forged
    else:
        bucket.keys = {"PublicKeyList": [*forged["PublicKeyList"], public_key("us-east-1")]}
    done = command(bucket, tmp_path, *TO, *recording(lake), "--format", "json")
    assert done.exit_code == 10
    told = [row for row in map(json.loads, done.stdout.splitlines()) if row.get("verdict", "ok") != "ok"]
    assert [(row["verdict"], row["cause"]) for row in told] == [("altered", "key_changed")]
    assert records(lake) == before


def test_a_bucket_forged_with_its_own_keys_is_found_by_the_recorded_ones(
    bucket: Bucket, tmp_path: Path, lake: Path
) -> None:
    """Whoever makes digests anew and brings the keys for them along fails at the ledger."""
    assert command(bucket, tmp_path, *TO, *recording(lake)).exit_code == 0
    bucket.keys[REGION] = {"PublicKeyList": [public_key("forger", Fingerprint=public_key(REGION)["Fingerprint"])]}
    assert command(bucket, tmp_path, *TO).exit_code == 10  # the true bucket does not fit the forged keys
    done = command(bucket, tmp_path, *TO, "--lake", str(lake))
    assert done.exit_code == 10
    assert "key_changed" in done.stdout
    assert "signature_failed" not in done.stdout


def test_a_recorded_key_that_was_changed_in_the_ledger_is_refused(bucket: Bucket, tmp_path: Path, lake: Path) -> None:
    """A record must be the one the log has, before it is used."""
    assert command(bucket, tmp_path, *TO, *recording(lake)).exit_code == 0
    path = lake / "ledger" / "ctl.jsonl"
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    body = lines[-1]["body"] | {"key": public_key("forger")["Value"]}
    entry = control.leaf.unpack(bytes.fromhex(lines[-1]["leaf"]))
    made = control.leaf.pack(control.entry_of(lines[-1]["kind"], len(lines) - 1, entry.ingest_ns, body))
    lines[-1] |= {"body": body, "leaf": made.hex()}
    path.write_bytes(b"".join(control.canonical(line) + b"\n" for line in lines))
    done = command(bucket, tmp_path, *TO, "--lake", str(lake))
    assert isinstance(done.exception, LedgerError)


def test_recording_needs_keys_a_lake_and_nobody_writing(bucket: Bucket, tmp_path: Path, lake: Path) -> None:
    """Exit 2 without keys or lake, or when the lake has none; 3 for no lake; 1 beside a run."""
    assert isinstance(command(bucket, tmp_path, "--record").exception, ConfigError)
    for words in ((), ("--lake", str(lake)), ("--lake", str(lake), "--record")):
        done = CliRunner().invoke(cli, ["verify", "cloudtrail", str(bucket.root), *words])
        assert isinstance(done.exception, ConfigError), words
    assert isinstance(command(bucket, tmp_path, *recording(tmp_path / "none")).exception, NoInputError)
    with Lake.open(lake, StoreConfig(), writer=True, clock=system_clock):
        assert isinstance(command(bucket, tmp_path, *TO, *recording(lake)).exception, StoreError)
    assert records(lake) == []
