"""`keytrail alerts`: the feed for people, for programs, and for a SIEM."""

from __future__ import annotations

import json
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from pipeline import commands
from pipeline.cli.options import Severity
from pipeline.core.schema import SEVERITIES
from tests.command import keytrail
from tests.lakes import SAMPLES, run
from tests.processes import start
from tests.unit.cli.test_cli_query import VIEWS
from tests.unit.sinks.test_ocsf import faults

if TYPE_CHECKING:
    from pathlib import Path


def test_json_is_the_view(small_lake: Path) -> None:
    """Each line has the columns of the view `alerts` in its order, no more."""
    rows = keytrail("alerts", "--lake", small_lake, "--format", "json").rows
    assert len(rows) == 3
    assert {tuple(row) for row in rows} == {tuple(VIEWS["alerts"].split())}
    assert rows == sorted(rows, key=lambda row: row["last_time"])


def test_people_read_what_why_and_what_next(small_lake: Path) -> None:
    """A block has severity, route and title, what was seen against what was expected, and the next step."""
    text = keytrail("alerts", "--lake", small_lake, "--min-severity", "high").stdout
    lines = text.splitlines()
    assert lines[0].split()[2:5] == ["high", "ticket", "open"]
    assert "snapshot" in lines[1]
    assert [line.split()[0] for line in lines[2:]] == ["observed", "expected", "next"]
    assert "\x1b" not in text


def test_min_severity_leaves_out_what_is_below(small_lake: Path) -> None:
    """Each step up the scale leaves what is at least so severe."""
    told = {
        level: [row["severity"] for row in keytrail(
            "alerts", "--lake", small_lake, "--min-severity", level, "--format", "json"
        ).rows]
        for level in SEVERITIES
    }  # fmt: skip
    assert [len(told[level]) for level in SEVERITIES] == [3, 3, 2, 1, 0]
    assert told["high"] == ["high"]


def test_every_severity_can_be_asked_for() -> None:
    """The option knows the severities of the schema, in their order."""
    assert tuple(level.value for level in Severity) == SEVERITIES
    done = keytrail("alerts", "--min-severity", "severe")
    assert done.code == 2
    assert "critical" in done.stderr


def test_since_takes_a_time_or_a_span(small_lake: Path) -> None:
    """What changed before is left out; a span counts back from now."""
    ask = ("alerts", "--lake", small_lake, "--format", "json", "--since")
    assert len(keytrail(*ask, "2026-03-02T02:00:25Z").rows) == 1
    assert len(keytrail(*ask, "2026-03-02T03:00:25+01:00").rows) == 1
    assert len(keytrail(*ask, "2026-03-02").rows) == 3
    assert keytrail(*ask, "1s").rows == []


BEYOND = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]  # in UTC, past the ends of the calendar


@pytest.mark.parametrize("text", ["yesterday", "30x", "-1d", "99999999999d", "2026-13-01", *BEYOND])
def test_a_since_that_is_none_is_refused(small_lake: Path, text: str) -> None:
    """The option and what to give are named; a span before all time is none either."""
    done = keytrail("alerts", "--lake", small_lake, f"--since={text}")
    assert done.code == 2
    assert "--since" in done.error


def test_ocsf_is_valid(small_lake: Path) -> None:
    """Each line is a Detection Finding of the schema, under the event id of its newest state."""
    rows = keytrail("alerts", "--lake", small_lake, "--format", "ocsf").rows
    assert len(rows) == 3
    assert [fault for row in rows for fault in faults(row, "detection_finding")] == []
    stored = {row["uid"]: row for row in commands.AlertFeed(small_lake, None, "informational").read().to_dicts()}
    for row in rows:
        alert = stored[row["finding_info"]["uid"]]
        assert row["metadata"]["uid"] == f"{alert['uid']}:{alert['revision']}"


def test_follow_tells_each_state_once(small_lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there comes first, then only what is new or changed, until stopped."""
    monkeypatch.setattr(commands, "POLL_SECONDS", 0.01)
    lake = tmp_path / "lake"
    log = SAMPLES / "vault" / "torn_file" / "audit.log"
    half = tmp_path / "half.log"
    half.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:40]))
    run(lake, half)
    feed = commands.AlertFeed(lake, None, "informational")
    told = feed.follow()
    first = next(told)
    with half.open("ab") as file:
        file.write(b"".join(log.read_bytes().splitlines(keepends=True)[40:]))
    reader = threading.Thread(target=run, args=(lake, half))
    reader.start()
    second = next(told)
    reader.join()
    feed.stop()
    shown = ["uid", "state", "severity", "count"]
    assert "Snapshot of the whole store read" not in first["title"]
    assert "Snapshot of the whole store read" in second["title"]
    assert not set(first.select(shown).rows()) & set(second.select(shown).rows())


def test_follow_ends_at_a_signal(small_lake: Path, tmp_path: Path) -> None:
    """A follower prints at once, though not to a terminal, and ends with 0 when told to."""
    process = start("alerts", "--lake", small_lake, "--follow", "--format", "json", home=tmp_path)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["uid"]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
