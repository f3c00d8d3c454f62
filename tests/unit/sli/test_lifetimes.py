"""M3 and M5: rotations asked for and due, secrets read past their lifetime."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipeline.core import effects
from pipeline.sli import Config, Slis
from tests.unit.sli.test_slis import START, operations, pick

DAY = 86_400
MONTHLY = Config(lifetime_days={"kv/": 30})
READ = {"secret": "kv/app/db", "path": "kv/data/app/db", "mount_type": "kv", "discloses_value": True}
WRITE = {**READ, "operation": "write", "api_operation": "update", "discloses_value": False}
ROTATE = {"operation": "rotate", "secret": "database/app", "path": "database/rotate-role/app"}


def measured(*rows: dict[str, Any], config: Config = MONTHLY) -> dict[str, tuple[float, float]]:
    """Good and total of M3 and M5, of the whole store."""
    slis = Slis(config)
    frames = [slis.push(operations(row), START + round(row.get("at", 0)) * 1_000_000) for row in rows]
    got = [frame.filter(scope="store") for frame in [*frames, slis.flush()]]
    total = pl.concat(got).group_by("sli").agg(pl.col("good", "total").sum())
    sums = {sli: (good, total) for sli, good, total in total.iter_rows()}
    return {sli: sums.get(sli, (0, 0)) for sli in ("M3", "M5")}


def test_rotations_that_were_asked_for() -> None:
    """A rotation that succeeds is good; one that fails or is refused is not, and nothing declared is not needed."""
    slis = Slis(Config())
    rows = [{**ROTATE, "outcome": outcome} for outcome in ("success", "success", "failure", "denied")]
    slis.push(operations(*rows, {"operation": "write"}), START)
    m3 = pick(slis.flush(), "M3")
    assert (m3["good"], m3["total"], m3["value"], m3["objective"], m3["met"]) == (2, 4, 0.5, 0.99, False)
    assert m3["coverage"].startswith("2 of 4 asked for were done; no lifetime is declared, so none is due;")


def test_nothing_rotated_is_unknown() -> None:
    """Without a rotation there is no row of M3, and without a lifetime none of M5: never a clean one."""
    slis = Slis(Config())
    slis.push(operations(READ, WRITE), START)
    assert set(slis.flush()["sli"]).isdisjoint({"M3", "M5"})


@pytest.mark.parametrize(
    ("call", "outcome", "done"),
    [
        ("RotateSecret", "success", None), ("RotateSecret", "denied", False), ("RotationStarted", "success", None),
        ("RotationSucceeded", "success", True), ("RotationFailed", "success", False),
        ("secretsmanager.RotationAbandoned", "success", False), ("CancelRotateSecret", "success", None),
        ("EnableKeyRotation", "success", None), ("RotateKeyOnDemand", "success", True), (None, "success", True),
        (None, None, False),
    ],
)  # fmt: skip
def test_a_rotation_is_done_when_it_ends(call: str | None, outcome: str | None, done: bool | None) -> None:
    """What only starts, tries out or sets up a rotation says nothing, unless it is refused."""
    change = {"operation": "rotate", "api_operation": call, "outcome": outcome, "store": "aws", "path": "", "mount": ""}
    assert effects.rotated(change) is done
    slis = Slis(Config())
    slis.push(operations(change), START)
    told = slis.flush().filter(sli="M3", scope="store").select("good", "total").rows()
    assert told == ([] if done is None else [(float(done), 1.0)])


def test_a_secret_that_is_changed_in_time() -> None:
    """Each change within the lifetime is a rotation done; those of one hour are one, the first of all is none."""
    changes = [{**WRITE, "at": at} for at in (0, 29 * DAY, 29 * DAY + 3_599, 58 * DAY)]
    assert measured(*changes, {**READ, "at": 59 * DAY}) == {"M3": (2, 2), "M5": (1, 1)}


def test_a_rotation_that_never_happened() -> None:
    """Read when its time is up: a rotation missed, once for each lifetime, and every read is past it from then on."""
    reads = [{**READ, "at": day * DAY} for day in (29, 31, 32, 61)]
    assert measured({**WRITE, "at": 0}, *reads) == {"M3": (0, 2), "M5": (1, 4)}


def test_a_change_that_comes_late() -> None:
    """It ends the reads past the lifetime; the rotation it should have been stays missed."""
    rows = [{**WRITE, "at": 0}, {**READ, "at": 31 * DAY}, {**WRITE, "at": 32 * DAY}, {**READ, "at": 33 * DAY}]
    assert measured(*rows) == {"M3": (0, 1), "M5": (1, 2)}


def test_nobody_uses_it() -> None:
    """A secret that is neither read nor changed any more misses nothing."""
    assert measured({**WRITE, "at": 0}, {**READ, "at": DAY, "secret": "other"}, {"at": 400 * DAY}) == {
        "M3": (0, 0), "M5": (0, 0),
    }  # fmt: skip


def test_a_change_that_is_none() -> None:
    """What KV knows of a secret is written as well, failed writes change nothing: the lifetime goes on."""
    metadata = {**WRITE, "path": "kv/metadata/app/db", "at": 29 * DAY}
    failed = {**WRITE, "outcome": "failure", "at": 29 * DAY}
    assert measured({**WRITE, "at": 0}, metadata, failed, {**READ, "at": 31 * DAY})["M5"] == (0, 1)


def test_never_seen_to_change() -> None:
    """Where no change was seen the lifetime begins with the first use."""
    assert measured({**READ, "at": 0}, {**READ, "at": 30 * DAY}, {**READ, "at": 31 * DAY}) == {
        "M3": (0, 1), "M5": (2, 3),
    }  # fmt: skip


def test_the_longest_prefix_counts() -> None:
    """A part can have another lifetime, or none."""
    config = Config(lifetime_days={"kv/": 30, "kv/app/": 60, "kv/app/staging": 0})
    names = ("kv/x", "kv/app/db", "kv/app/staging/db", "aws/x")
    late = [{**READ, "secret": name, "at": at} for at in (0, 40 * DAY) for name in names]
    assert measured(*late, config=config) == {"M3": (0, 1), "M5": (3, 4)}


def test_past_the_limit_is_unknown() -> None:
    """Secrets past `max_declared` are left out, which the coverage says; with no other there is no value."""
    slis = Slis(Config(lifetime_days={"kv/": 30}, max_declared=1))
    slis.push(operations(READ), START)
    slis.push(operations(*[{**READ, "secret": "kv/b", "mount": "b/"}] * 2), START)
    rows = slis.flush()
    assert (pick(rows, "M5")["total"], pick(rows, "M5")["met"]) == (1, True)
    other = pick(rows, "M5", "mount:team-a/b/")
    assert (other["total"], other["value"], other["met"]) == (0, None, None)
    assert " 2 of secrets past max_declared left out" in other["coverage"]
    assert slis.snapshot()["declared"].height == 1


def test_states_of_an_earlier_version_and_of_other_lifetimes() -> None:
    """What is not remembered begins anew; what has no lifetime any more is forgotten."""
    slis, again, without = Slis(MONTHLY), Slis(MONTHLY), Slis(Config())
    slis.push(operations(WRITE), START)
    frames = dict(slis.snapshot())
    without.restore(frames)
    assert without.snapshot()["declared"].is_empty()
    again.restore({name: frame for name, frame in frames.items() if name != "declared"})
    assert again.snapshot()["declared"].is_empty()
    assert_frame_equal(again.flush(), slis.flush())


def test_halves_know_the_later_change() -> None:
    """Of two instances that are merged the later change counts."""
    one, other = Slis(MONTHLY), Slis(MONTHLY)
    one.push(operations({**WRITE, "at": 0}), START)
    other.push(operations({**WRITE, "at": 20 * DAY}), START)
    one.merge(other)
    one.push(operations({**READ, "at": 45 * DAY}), START)
    assert pick(one.flush(), "M5")["value"] == 0
