"""The memories of single detectors: what they hold to be usual, and that they stay small."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import polars as pl
import pytest

from detectors import breadth, rate, rotation_health
from detectors._accounts import any_of
from detectors._groups import cohorts, places
from detectors._memory import lot
from detectors._people import People
from detectors.auth_pressure.doors import Doors, Logins, logins_of
from detectors.dormancy.rhythm import Present, Rhythm
from detectors.program_novelty.passed import Passed
from detectors.rotation_health.schedule import Schedule, Written
from detectors.slow_evidence.trickle import Evidence, Trickle
from detectors.source_novelty.moved import Held, Moved
from detectors.source_novelty.overlap import Sessions
from pipeline.baselines import Baselines, Config
from pipeline.core.model import Window
from pipeline.core.schema import INTEGRITY, TIME, WINDOW, conform, empty

HOUR = 3_600_000_000
START = 1_772_409_600_000_000


def window(hour: int, *rows: dict[str, Any]) -> Window:
    """WINDOW rows of one hour: reads that succeed, where nothing else is told."""
    at = START + hour * HOUR
    usual = {
        "principal": "approle/a", "principal_type": "service", "store": "vault", "mount": "kv/", "secret": "kv/x",
        "operation": "read", "outcome": "success", "zone": "10.0.0.0/24", "client_ip": "10.0.0.9", "n": 1,
        "discloses_value": True, "time": at, "last_time": at, "uid": f"{hour}",
    }  # fmt: skip
    made = [{**usual, **row} for row in rows] or [usual]
    return Window(at, at + HOUR, conform(pl.DataFrame(made), WINDOW), empty(INTEGRITY), None, closed=True)


def times(secret_hours: list[int]) -> tuple[float, float]:
    """Age and period (h) of a secret written at these hours, asked 100 h after the last."""
    schedule = Schedule(100, 12 * HOUR)
    for hour in secret_hours:
        wrote = window(hour, {"operation": "write", "discloses_value": False})
        written = Written.of(wrote)
        schedule.learn(written, schedule.lately(written, wrote.start_us), wrote.start_us)
    asked = Written.of(window(0, {"operation": "write"})).keys
    age, period = schedule.ages(asked, START + (secret_hours[-1] + 100) * HOUR)
    return float(age[0] / HOUR), float(period[0] / HOUR)


def test_a_schedule_is_regular_or_none() -> None:
    """Five gaps of two days make a period; uneven ones, or fewer, make none; two writes in an hour are one."""
    assert times([0, 48, 96, 144, 192]) == (100.0, 48.0)
    assert times([0, 1, 48, 96, 97, 144, 192])[1] == pytest.approx(48.0)
    assert np.isnan(times([0, 48, 96])[1])
    assert np.isnan(times([0, 20, 96, 110, 240])[1])


def test_who_has_no_type_is_of_the_unknown_kind() -> None:
    """It has a kind that surprises can be learned of, the one that a log may tell itself."""
    untyped = People.of(window(0, {"principal_type": None})).kind_keys
    assert untyped.tolist() == People.of(window(0, {"principal_type": "unknown"})).kind_keys.tolist()
    assert 0 not in untyped
    detector = breadth.create(breadth.Config(windows=4))
    for hour in range(8):
        detector.inspect(window(hour, {"principal_type": None}))
    assert detector.snapshot()["breadth.tails"]["value"].sum() > 0


ODD_NAMES = (
    "",
    "/",
    "a",
    "a/",
    "/a",
    "kv//x",
    "kv/é/x",
    "a:b/c:d",
    "x@corp/a@b",
    "me@corp",
    "a\n/b",
    "k/a/b/c/d",
    "k:",
)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_folders_and_cohorts_are_the_same_of_few_names_and_of_many(depth: int) -> None:
    """However odd a name is: with a line break among them or without."""
    for odd in (ODD_NAMES, [name for name in ODD_NAMES if "\n" not in name]):
        many = pl.Series("name", [*odd, *(f"kv/t{i}/s{i}" for i in range(400))])
        assert places(many, depth).to_list() == [places(many[i : i + 1], depth)[0] for i in range(len(many))]
        assert cohorts(many).to_list() == [cohorts(many[i : i + 1])[0] for i in range(len(many))]


def test_pairs_are_in_the_order_of_names_with_their_greatest_type() -> None:
    """Whatever order the rows and the texts came in."""
    rows = [("b", "z2", "service"), ("a", "z1", "service"), ("b", "z1", "human"), ("a", "z1", "pod"), ("b", "z1", "")]
    people = People.of(window(0, *({"principal": p, "zone": z, "principal_type": t} for p, z, t in rows)))
    each, zones, at = people.pairs(people.rows, "zone")
    assert each.frame.select("principal", "zone", "kind").rows() == [
        ("a", "z1", "service"), ("b", "z1", "human"), ("b", "z2", "service"),
    ]  # fmt: skip
    assert [zones[int(i)] for i in at] == ["z1", "z1", "z2"]


def test_of_several_sessions_the_widest_is_told_of() -> None:
    """One that went back and forth before one in more zones, then by name."""

    def told(*rows: tuple[str, str, int, int]) -> tuple[Any, ...]:
        made = ({"session": s, "zone": z, "time": START + a, "last_time": START + b} for s, z, a, b in rows)
        sessions = Sessions.of(window(0, *made))
        assert sessions is not None
        return sessions.frame.select("session", "zones", "interleaved").row(0)

    once = [("s2", "z1", 0, 0), ("s1", "z1", 1, 1)]
    moved = [("s3", "z1", 0, 5), ("s3", "z2", 6, 9), ("s3", "z3", 10, 10)]
    back = [("s4", "z1", 0, 8), ("s4", "z2", 6, 9)]
    assert told(*once) == ("s1", 1, False)
    assert told(*once, *moved) == ("s3", 3, False)
    assert told(*back, *once, *moved) == ("s4", 2, True)


def held_at(hour: int, *places: str) -> Held:
    """Token t, seen at these addresses in turn in one window."""
    rows = [
        {"session": "t", "client_ip": place, "time": START + hour * HOUR + minute * 60_000_000}
        for minute, place in enumerate(places)
    ]
    held = Held.of(window(hour, *rows), [])
    assert held is not None
    return held


def moves(tokens: Moved, hour: int, *places: str) -> list[bool]:
    """Whether token t moves, seen at these addresses in turn in one window, which is learned."""
    held = held_at(hour, *places)
    now = tokens.now(held)
    tokens.learn(held, now, START + hour * HOUR)
    return now.tolist()


def test_a_token_moves_from_where_it_was_last() -> None:
    """Be it in one window or in a later one; it stays where it went."""
    tokens = Moved(100)
    assert [moves(tokens, hour, place) for hour, place in enumerate("aabba")] == [[m] for m in (0, 0, 1, 0, 1)]
    again = Moved(100)
    again.restore(tokens.snapshot())
    assert moves(again, 9, "a") == [False]
    assert moves(again, 10, "a", "b", "a") == [True]
    assert moves(again, 11, "a") == [False]
    assert Held.of(window(12, {"session": "t"}), ["10.0.0.0/24"]) is None


def both(tokens: Moved, hour: int, *places: str) -> bool:
    """Whether token t is in use at two addresses, which is learned."""
    held = held_at(hour, *places)
    found = bool(tokens.both(held)[0])
    tokens.learn(held, tokens.now(held), START + hour * HOUR)
    return found


def test_a_token_goes_to_and_fro_over_several_windows() -> None:
    """Back at the address it had left last, or left within a window; not at a third one, nor where it stayed."""
    assert [both(one, hour, place) for one in [Moved(9)] for hour, place in enumerate("aabacca")] == [
        False, False, False, True, False, False, True,
    ]  # fmt: skip
    tokens = Moved(9)
    assert [both(tokens, 0, "a", "b"), both(tokens, 1, "b"), both(tokens, 2, "a")] == [False, False, True]
    again = Moved(9)
    again.restore(tokens.snapshot())
    assert both(again, 3, "b")
    older = {name: frame.drop("v1", strict=False) for name, frame in tokens.snapshot().items()}
    again.restore(older)
    assert not both(again, 3, "b")


def test_tokens_are_met_anew_after_a_state_without_them() -> None:
    """A state of before there was this memory holds none; and past its bound the oldest are met anew."""
    tokens = Moved(4)
    tokens.restore({})
    assert moves(tokens, 0, "a") == [False]
    for hour in range(1, 30):
        held = Held.of(window(hour, {"session": f"s{hour}", "principal": f"approle/{hour}"}), [])
        assert held is not None
        tokens.learn(held, tokens.now(held), START + hour * HOUR)
    assert max(len(frame) for frame in tokens.snapshot().values()) <= 4
    assert moves(tokens, 30, "b") == [False]


def test_uses_of_tokens_go_on_from_an_earlier_version() -> None:
    """It knew of no releases: the uses of the hour it was in are forgotten, what it knew of tokens is not."""
    passed = Passed(3.0, 72, 3, 100)
    uses = {"session": "t", "program": "curl", "principal": "approle/ci", "principal_type": "service"}
    assert passed.inspect(pl.DataFrame([uses]), 5) == []
    frames = passed.snapshot()
    assert len(frames["passed.open"]) == 1
    del frames["passed.late"]
    passed.restore({**frames, "passed.open": frames["passed.open"].drop("release")})
    assert passed.snapshot()["passed.open"].is_empty()
    assert passed.inspect(pl.DataFrame([uses]), 6) == []


def test_a_monthly_job_is_not_dormant() -> None:
    """The absence surprises the first time a little, after that not at all; a daily job's would very much."""
    rhythm, surprises = Rhythm(100, 6.0, any_of(())), []
    for hour in (0, 720, 1440):
        here = window(hour)
        present = Present.of(here)
        assert present is not None
        told = rhythm.judged(present, here.start_us)
        surprises.append(float(told.gap[0]))
        rhythm.learn(present, told, np.zeros(1, dtype=np.bool_), 336.0, here.start_us)
    assert surprises[0] == 0
    assert 0 < surprises[1] < 1
    assert surprises[2] == 0
    daily = Rhythm(100, 6.0, any_of(()))
    for hour in range(0, 480, 24):
        here = window(hour)
        present = Present.of(here)
        assert present is not None
        daily.learn(present, daily.judged(present, here.start_us), np.zeros(1, dtype=np.bool_), 336.0, here.start_us)
    assert present is not None
    assert float(daily.judged(present, START + 1200 * HOUR).gap[0]) > 1.5


def test_an_attempt_counts_once_in_three_days() -> None:
    """The same address and account again and again is one attempt; after three days it is another."""
    doors = Doors(100)
    tried = {"operation": "auth", "mount": "auth/userpass/", "outcome": "denied", "principal": "userpass/eva"}
    counts = []
    for hour in (0, 1, 2, 71, 90):
        here = window(hour, tried, tried)
        refused = Logins.of(logins_of(here), "denied")
        assert refused is not None
        fresh = refused.filter(doors.fresh(refused, here.start_us))
        counts.append(len(fresh.account))
        doors.learn(None, fresh, here.start_us)
    assert counts == [1, 0, 0, 0, 1]


def test_a_trickle_forgets() -> None:
    """Sums halve with their half-life, the timeline keeps the newest accesses only."""
    trickle = Trickle(72 * HOUR, 100, 3)
    key = np.array([7], dtype=np.uint64)
    for number in range(5):
        at = START + number * HOUR
        line = pl.DataFrame(
            {
                "principal": "a",
                "secret": f"kv/{number}",
                "time": at,
                "uid": f"{number}",
                "store": "vault",
                "client_ip": "",
            }
        ).cast({"time": TIME})
        hits = Evidence(["a"], np.zeros(1, dtype=np.int64), key, np.ones(1), line)
        trickle.learn(key, hits, at)
    assert trickle.timeline("a", Evidence.none())["secret"].to_list() == ["kv/2", "kv/3", "kv/4"]
    more = Evidence(["a"], np.zeros(1, dtype=np.int64), key, np.zeros(1), Evidence.none().line)
    now, later = (trickle.sums(more, START + hour * HOUR)[0][0] for hour in (4, 76))
    assert later == pytest.approx(now / 2)
    assert 4.8 < now < 5


def test_refusals_before_a_write_are_none_of_a_missed_rotation() -> None:
    """Trouble that ended with the write is not linked to it; trouble that goes on is."""
    profiles = Baselines(Config())
    for hour in range(100):
        profiles.learn(window(hour))
    for refused_at, cause in ((10, None), (40, "stale_secret")):
        detector = rotation_health.create(rotation_health.Config(surprise=3.0))
        at = START + 100 * HOUR
        minute = HOUR // 60
        now = window(
            100,
            {"outcome": "denied", "n": 3, "time": at + refused_at * minute, "last_time": at + refused_at * minute},
            {"principal": "approle/rotator", "operation": "write", "time": at + 30 * minute, "uid": "w"},
            {"time": at + 50 * minute, "last_time": at + 50 * minute, "uid": "r"},
        )  # fmt: skip
        found = detector.inspect(dataclasses.replace(now, profiles=profiles))
        assert [row for row in found["cause"].to_list() if row == "stale_secret"] == ([cause] if cause else [])


def test_a_secret_is_driven_by_one_who_makes_four_fifths_of_it() -> None:
    """Of many secrets at once, in the order they are asked for."""
    rows = window(
        0, {"n": 80}, {"principal": "approle/b", "n": 20}, {"secret": "kv/y", "n": 79},
        {"secret": "kv/y", "principal": "approle/b", "n": 21},
    ).operations  # fmt: skip
    assert rate._driven(rows, pl.Series(["kv/y", "kv/x"])).tolist() == [False, True]


@pytest.mark.parametrize("loud", [pytest.param(False, marks=pytest.mark.slow), True])
def test_scatter_is_learned_in_the_same_hours_whoever_is_loud(loud: bool) -> None:
    """An unrelated key that is far above its usual changes nothing of the law that others are judged by."""
    profiles, detector = Baselines(Config()), rate.create(rate.Config())
    for hour in range(24 * 7):
        now = window(hour, {"n": 5 + hour % 3}, {"principal": "approle/b", "n": 400 if loud and hour % 9 == 8 else 1})
        detector.inspect(dataclasses.replace(now, profiles=profiles))
        profiles.learn(now)
    kinds = detector.snapshot()["principal.kinds"]
    assert kinds["v3"].sum() > 0
    measured = sum(lot(START + hour * HOUR, 8) == 0 for hour in range(72, 24 * 7))
    assert kinds["v3"].sum() < 2 * measured
