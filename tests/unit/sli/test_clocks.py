"""M8: from a compromise declared to the last moment that what leaked was of use."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipeline.core import revoked
from pipeline.decoders._exact import EARLIEST, LATEST
from pipeline.sli import Config, Slis
from pipeline.sli.config import Compromised
from tests.unit.sli.test_slis import NONE, SECOND, START, WINDOW, operations, pick

SINCE = dt.datetime.fromtimestamp(START / SECOND + 100, dt.UTC)
DECLARED = Config(compromised=(Compromised("kv/app/db", SINCE, namespace="team-a"),))
READ = {"secret": "kv/app/db", "path": "kv/data/app/db", "mount_type": "kv", "api_operation": "read"}
WRITE = {**READ, "operation": "write", "api_operation": "update"}
MINUTE = 60


def told(*rows: dict[str, Any], config: Config = DECLARED, until: int = 0) -> pl.DataFrame:
    """M8 of the store, window by window, the open one at last."""
    slis = Slis(config)
    frames = [slis.push(operations(row), START + round(row["at"] * SECOND)) for row in rows]
    return pl.concat([*frames, slis.push(NONE, START + until * SECOND), slis.flush()]).filter(sli="M8", scope="store")


def test_nothing_declared_nothing_told() -> None:
    """Without a compromise in the configuration there is no row, and nothing is kept of any read."""
    slis = Slis(Config())
    slis.push(operations(READ), START + 10 * WINDOW)
    assert slis.flush().filter(sli="M8").is_empty()
    assert slis.snapshot()["clocks.known"].is_empty()


def test_a_clock_that_runs_is_told_in_each_window() -> None:
    """Its time at the end of the window; when the objective's time is up it counts once, as not kept."""
    got = told(*({**READ, "at": minute * MINUTE} for minute in range(0, 60, 5)), until=3600)
    assert got["value"].to_list() == [minute * MINUTE - 100 for minute in range(5, 65, 5)]
    assert got["met"].to_list() == [True] * 6 + [False] * 6
    assert (got["good"].sum(), got["total"].to_list()) == (0, [0.0] * 6 + [1.0] + [0.0] * 5)
    assert got["coverage"][0].startswith("1 of 1 still running;")
    assert " of 0 the beginning" in got["coverage"][0]


def test_a_clock_that_is_stopped_in_time() -> None:
    """A new version ends it; it counts as kept when the objective's time is up, and is not told any more."""
    rows = [{**READ, "secret_version": 1, "at": 60}, {**WRITE, "secret_version": 2, "at": 700}]
    later = [{**READ, "secret_version": 2, "at": minute * MINUTE} for minute in (31, 32, 60)]
    got = told(*rows, *later, until=4000)
    assert got.select("value", "good", "total", "met").rows() == [
        (200.0, 0.0, 0.0, True), (600.0, 0.0, 0.0, True), (600.0, 1.0, 1.0, True),
    ]  # fmt: skip


def test_an_old_version_read_again() -> None:
    """Whoever still gets the old version moves the end: it is told again, and the objective is not met."""
    rows = [{**READ, "secret_version": 1, "at": 60}, {**WRITE, "secret_version": 2, "at": 700}]
    got = told(*rows, {**READ, "secret_version": 1, "at": 7200}, until=7600)
    assert got["value"].to_list() == [200.0, 600.0, 7100.0]
    assert got["met"].to_list() == [True, True, False]
    assert got["total"].sum() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"secret": "", "path": "sys/leases/revoke-prefix/kv/data/app", "operation": "revoke"},
        {"secret": "", "path": "sys/mounts/kv", "operation": "policy", "api_operation": "delete"},
        {"operation": "delete", "path": "kv/metadata/app/db", "api_operation": "delete"},
    ],
)
def test_what_ends_it(change: dict[str, Any]) -> None:
    """Leases revoked by their path, the mount taken away, the secret destroyed."""
    assert told({**READ, "at": 60}, {**READ, **change, "at": 700})["value"].to_list()[-1] == 600.0


@pytest.mark.parametrize(
    "change",
    [
        {"secret": "", "path": "sys/leases/revoke-prefix/database", "operation": "revoke"},
        {"secret": "", "path": "sys/mounts/kv", "operation": "policy", "api_operation": "update"},
        {"secret": "kv/other", "operation": "write"}, {"namespace": "b", "operation": "write"},
        {"store": "aws", "operation": "write"}, {"operation": "write", "outcome": "denied"},
        {"operation": "write", "path": "kv/metadata/app/db"},
    ],
)  # fmt: skip
def test_what_does_not_end_it(change: dict[str, Any]) -> None:
    """Something else revoked or written, a refused write, settings."""
    got = told({**READ, "at": 60}, {**READ, "api_operation": "update", **change, "at": 700}, until=710)
    assert got["coverage"].to_list()[-1].startswith("1 of 1 still running;")


def test_declared_after_it_was_read() -> None:
    """What was read before a compromise was declared is not known to its clock, and the coverage says so."""
    before, after = Slis(Config()), Slis(DECLARED)
    before.push(operations({**READ, "at": 120}), START + 400 * SECOND)
    after.restore(before.snapshot())
    after.push(operations({**READ, "at": 500}), START + 500 * SECOND)
    assert " of 1 the beginning was read before" in pick(after.flush(), "M8")["coverage"]


def test_no_more_declared() -> None:
    """A compromise taken out of the configuration is forgotten, with all that was kept for it."""
    slis, without = Slis(DECLARED), Slis(Config())
    slis.push(operations(READ, {**WRITE, "at": 200}), START + 300 * SECOND)
    without.restore(slis.snapshot())
    assert without.snapshot()["clocks.known"].is_empty()
    assert without.flush().filter(sli="M8").is_empty()


@pytest.mark.parametrize("end", [EARLIEST, LATEST])
def test_a_log_of_any_date(end: dt.datetime) -> None:
    """The first and the last moment that a decoder believes stop nothing."""
    at = (end - dt.datetime.fromtimestamp(START / SECOND, dt.UTC)).total_seconds()
    assert told({**READ, "at": at}, {**WRITE, "at": at}, until=round(at) + 300).height <= 2


@pytest.mark.parametrize("since", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00", "2026-03-05T01:12:00", 7])
def test_a_moment_that_is_none(since: str | int) -> None:
    """What has no date in UTC, or no time zone, is refused when the configuration is read."""
    with pytest.raises(msgspec.ValidationError, match="since"):
        msgspec.convert({"compromised": [{"secret": "kv/a", "since": since}]}, Config)


def history(rng: random.Random) -> list[dict[str, Any]]:
    """Reads and changes of one secret over some hours, before and after the compromise."""
    versioned, at, rows = rng.random() < 0.7, rng.choice([0, -3000]), []
    for _ in range(rng.randint(1, 40)):
        at += rng.choice([10, 60, 300, 900])
        kind = rng.choice(["read", "read", "read", "write", "delete", "undelete", "destroy", "metadata"])
        path = {"read": "data", "write": "data", "delete": "data"}.get(kind, kind)
        rows.append(
            {
                **READ, "path": f"kv/{path}/app/db", "at": at,
                "secret_version": rng.choice([None, 1, 2, 3]) if versioned else None,
                "operation": {"undelete": "write", "destroy": "delete", "metadata": "write"}.get(kind, kind),
                "api_operation": "delete" if kind == "delete" else "update",
                "outcome": rng.choice(["success"] * 4 + ["denied"]), "principal": "p", "client_ip": "10.0.0.1",
            }
        )  # fmt: skip
    return rows


@given(st.integers(0, 1 << 32))
@settings(deadline=None)
def test_it_is_the_clock_of_investigate(seed: int) -> None:
    """In any cuts, with a restart between any two, each window tells what `investigate` would at its end."""
    rng = random.Random(seed)
    rows, at = history(rng), 0
    frame = operations(*rows)
    slis, whole, frames = Slis(DECLARED), Slis(DECLARED), []
    wanted = pl.concat([whole.push(frame, START), whole.flush()]).filter(sli="M8")
    while at < len(rows):
        size = rng.choice([1, 3, 40])
        part = frame[at : at + size]
        frames.append(slis.push(part, int(part["complete_time"].to_physical()[-1])))
        again = Slis(DECLARED)
        again.restore(slis.snapshot())
        slis, at = again, at + size
    got = pl.concat([*frames, slis.flush()]).filter(sli="M8")
    assert_frame_equal(got, wanted)
    done = frame.filter(outcome="success")
    for row in got.filter(scope="store").iter_rows(named=True):
        newest = frame["time"].max()
        end = min(row["window_start"] + dt.timedelta(seconds=300), newest)
        before = done if end == newest else done.filter(pl.col("time") < end)
        reads = before.filter(operation="read").rows(named=True)
        changes = before.filter(pl.col("operation") != "read").rows(named=True)
        assert row["value"] == revoked.of_secret(reads, changes, (SINCE, ""), end)["seconds"]
