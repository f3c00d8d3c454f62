"""`keytrail verify cloudtrail`: exit codes, output for programs and people, errors that say what to give."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline.cli import cli
from pipeline.core.errors import ConfigError, NoInputError
from tests.signed_chains import Bucket
from tests.unit.integrity_cloudtrail.tampers import END, REGION, TAMPERS

TO = ("--to", END.isoformat())


def command(bucket: Bucket, tmp_path: Path, *options: str) -> Result:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(bucket.keys))
    return CliRunner().invoke(cli, ["verify", "cloudtrail", str(bucket.root), "--keys", str(keys), *options])


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
