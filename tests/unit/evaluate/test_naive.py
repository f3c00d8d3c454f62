"""Naive methods find what they are for, are quiet otherwise, and know the past alone."""

from __future__ import annotations

import copy
from typing import Any

import polars as pl
import pytest

from pipeline.core.clock import DAY_US
from pipeline.core.model import Window
from pipeline.core.schema import INTEGRITY, OPERATION, conform, empty
from pipeline.evaluate.naive import Naive
from pipeline.evaluate.naive.days import Days, Seen
from pipeline.evaluate.naive.first_seen import FirstSeen
from pipeline.evaluate.naive.rules import Rules
from pipeline.evaluate.naive.statistics import Forest, Random, ZScore
from pipeline.evaluate.replay import replay
from pipeline.routing import Config
from pipeline.windows import count
from tests.unit.evaluate.test_evaluate_parts import HOUR, US

NAMES = ("rules", "z_score", "first_seen", "forest")
SERVICES = [f"approle/s{i:02}" for i in range(36)]
DAYS = 9
Rows = list[dict[str, Any]]


def reads(who: str, secrets: range, *, times: int = 1, **given: Any) -> Rows:
    """OPERATION rows: one principal reads each of these secrets so often."""
    usual = {
        "principal": who, "principal_type": "service", "operation": "read", "outcome": "success", "zone": "10.0.0.0/24",
        "mount": "kv/", "path": "kv/data/x", "store": "vault", "client_ip": "10.0.0.1", "discloses_value": True,
    }  # fmt: skip
    return [usual | {"secret": f"kv/team{n // 100}/{n}"} | given for n in secrets for _ in range(times)]


def usual(day: int) -> Rows:
    """Every service reads its own three secrets, a few times more on some days; every third finds a new one a day."""
    return [
        row
        for i, who in enumerate(SERVICES)
        for row in (
            *reads(who, range(100 * i, 100 * i + 3), times=3 + (i + day) % 3),
            *(reads(who, range(100 * i + 10 + day, 100 * i + 11 + day)) if i % 3 == 0 else ()),
        )
    ]


def window(day: int, rows: Rows, hour: int = 12) -> Window:
    start = US + day * DAY_US + hour * HOUR
    frame = pl.DataFrame(rows).with_columns(
        uid=pl.Series(f"{day:04x}{hour:04x}{i:024x}" for i in range(len(rows))),
        time=pl.Series([start + 1_000 * i for i in range(len(rows))]).cast(pl.Datetime("us", "UTC")),
    )
    operations = count(conform(frame.with_columns(complete_time="time"), OPERATION))
    return Window(start, start + HOUR, operations, empty(INTEGRITY), None, closed=True)


def made(left_out: frozenset[str] = frozenset()) -> dict[str, Naive]:
    days = Days()
    every = (
        Rules("rules", days, left_out), ZScore("z_score", days), FirstSeen("first_seen", days, left_out),
        Forest("forest", days, 7, left_out), Random("random", days, 7),
    )  # fmt: skip
    return {each.name: each for each in every}


@pytest.fixture(scope="module")
def learned() -> tuple[dict[str, Naive], int]:
    """Methods that have seen the usual days, and how much they said of the learning days."""
    methods, said = made(), 0
    for day in range(DAYS):
        for hour in (0, 12):
            now = window(day, usual(day), hour)
            for each in methods.values():
                found = each.inspect(now)
                said += len(found) if day < 7 else 0
    return methods, said


def told(methods: dict[str, Naive], name: str, rows: Rows) -> dict[str, float]:
    """What a method says of the next day with these rows in it, the methods as they were."""
    found = copy.deepcopy(methods)[name].inspect(window(DAYS, usual(DAYS) + rows))
    return dict(zip(found["principal"], found["score"], strict=True))


ODD: dict[str, Rows] = {
    "rules": reads(SERVICES[4], range(1), operation="audit_control", mount="sys/", path="sys/audit/file", secret=""),
    "z_score": reads(SERVICES[4], range(400, 403), times=200),
    "first_seen": reads(SERVICES[4], range(700, 702)),
    "forest": reads(SERVICES[4], range(700, 740), outcome="denied", zone="10.9.9.0/24"),
}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_method_is_for_comes_first(learned: tuple[dict[str, Naive], int], name: str) -> None:
    """And with a day as usual that principal is not told of, or is not what is oddest."""
    odd, plain = told(learned[0], name, ODD[name]), told(learned[0], name, [])
    assert max(odd, key=lambda who: odd[who]) == SERVICES[4]
    assert odd[SERVICES[4]] > max(plain.values(), default=0.0)
    assert SERVICES[4] not in plain or plain[SERVICES[4]] < odd[SERVICES[4]]


def test_nothing_is_told_while_everything_is_new(learned: tuple[dict[str, Naive], int]) -> None:
    """Of the first week there is no finding of any method."""
    assert learned[1] == 0


def test_what_comes_every_day_is_no_news(learned: tuple[dict[str, Naive], int]) -> None:
    """Who finds a new secret every day is far below who never did; a secret that others find today is less of one."""
    methods, _ = learned
    scores = told(methods, "first_seen", [*reads(SERVICES[4], range(700, 701)), *reads(SERVICES[3], range(900, 901))])
    assert scores[SERVICES[4]] > scores[SERVICES[3]]
    shared = [row for who in SERVICES[10:20] for row in reads(who, range(700, 701))]
    assert (
        told(methods, "first_seen", [*reads(SERVICES[4], range(700, 701)), *shared])[SERVICES[4]] < scores[SERVICES[4]]
    )


def test_a_rule_hit_every_day_weighs_less() -> None:
    """A principal that deletes every day is told with less than one that does so for the first time."""
    methods = made()
    gone = {"operation": "delete", "outcome": "success"}
    for day in range(DAYS):
        methods["rules"].inspect(window(day, usual(day) + reads(SERVICES[1], range(100, 101), **gone)))
    rows = [*reads(SERVICES[1], range(100, 101), **gone), *reads(SERVICES[4], range(400, 401), **gone)]
    scores = told(methods, "rules", rows)
    assert scores[SERVICES[4]] > scores.get(SERVICES[1], 0.0)


def test_who_is_left_out_is_never_told(learned: tuple[dict[str, Naive], int]) -> None:
    """However odd."""
    methods = made(frozenset([SERVICES[4]]))
    for day in range(DAYS):
        methods["first_seen"].inspect(window(day, usual(day)))
    assert SERVICES[4] not in told(methods, "first_seen", ODD["first_seen"])
    assert SERVICES[4] in told(learned[0], "first_seen", ODD["first_seen"])


def test_no_method_is_told_beyond_the_allowance(learned: tuple[dict[str, Naive], int]) -> None:
    """None has a family that the router tells whatever their number."""
    now = window(DAYS, usual(DAYS) + ODD["rules"])
    families = {family for each in copy.deepcopy(learned[0]).values() for family in each.inspect(now)["family"]}
    assert families >= {"naive_rules", "naive_first_seen"}
    assert families.isdisjoint(Config().exempt)


def test_a_day_is_told_again_only_when_its_score_has_risen(learned: tuple[dict[str, Naive], int]) -> None:
    """The same again in the next hour says nothing; as much more does."""
    method = copy.deepcopy(learned[0])["first_seen"]
    first = method.inspect(window(DAYS, usual(DAYS) + ODD["first_seen"], 0))
    same = method.inspect(window(DAYS, usual(DAYS) + ODD["first_seen"], 12))
    more = method.inspect(window(DAYS, usual(DAYS) + reads(SERVICES[4], range(900, 920)), 13))
    assert [SERVICES[4] in found["principal"] for found in (first, same, more)] == [True, False, True]


@pytest.mark.parametrize("name", [*NAMES, "random"])
def test_what_was_told_does_not_change_by_what_comes_later(learned: tuple[dict[str, Naive], int], name: str) -> None:
    """A day of much worse things leaves the alerts of the days before as they were, and so raises no threshold."""
    method = copy.deepcopy(learned[0])[name]
    found = [
        method.inspect(window(DAYS + d, usual(DAYS + d) + (ODD.get(name, []) if d == 1 else []))) for d in range(3)
    ]
    worse = [row for who in SERVICES for row in [*reads(who, range(0, 2400, 60), outcome="denied", zone="10.8.0.0/24")]]
    found.append(method.inspect(window(DAYS + 3, worse)))
    short, whole = (
        {one.row["uid"] for one in replay(rows.with_columns(ready="time"), Config(), 2, US + (DAYS + 5) * DAY_US)
         if one.opened_us < US + (DAYS + 3) * DAY_US}
        for rows in (pl.concat(found[:3]), pl.concat(found))
    )  # fmt: skip
    assert short == whole
    assert short


def test_many_refused_log_ins_name_their_own_requests(learned: tuple[dict[str, Naive], int]) -> None:
    """Where nobody is named, the evidence is that of the address that was refused most."""
    failed = {"principal_type": "unknown", "operation": "auth", "mount": "auth/userpass/", "secret": None}
    good = reads("anonymous", range(3), **failed)
    bad = reads("anonymous", range(30), outcome="denied", client_ip="10.7.7.7", **failed)
    found = copy.deepcopy(learned[0])["rules"].inspect(window(DAYS, usual(DAYS) + good + bad))
    evidence = found.filter(principal="anonymous")["evidence"].to_list()
    start = len(usual(DAYS)) + len(good)
    assert [int(uids[0][8:], 16) for uids in evidence] == [start]


def test_what_nobody_saw_for_long_is_forgotten() -> None:
    """It is new again; what was seen since is not."""
    seen = Seen()
    keys = pl.Series([3, 1, 2], dtype=pl.UInt64).to_numpy()
    assert seen.ages(keys, 10).tolist() == [float("inf")] * 3
    assert seen.ages(keys[:1], 30).tolist() == [20.0]
    seen.forget(20)
    assert seen.ages(keys, 40).tolist() == [10.0, float("inf"), float("inf")]
