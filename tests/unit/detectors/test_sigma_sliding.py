"""Sigma correlations: windows that slide, held against a plain count of everything, on both sides of every boundary."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from detectors.sigma import Config, Sigma, check, create
from pipeline.core.clock import HOUR_US
from pipeline.core.model import Window
from pipeline.core.schema import INTEGRITY, empty
from tests.unit.detectors.test_sigma_rules import START_US, rows, rule, written

if TYPE_CHECKING:
    from pathlib import Path

SPAN_S = 600
MEMBERS = [
    rule({"api_operation": name}, name=name, title=name) for name in ("read", "list", "delete")
]  # fmt: skip


def correlation(kind: str, members: list[str], **more: Any) -> dict[str, Any]:
    told = {"type": kind, "rules": members, "timespan": "10m", "group-by": ["principal"], **more}
    return {"title": "Together", "name": "together", "status": "test", "level": "high", "correlation": told}


def detector(folder: Path, told: dict[str, Any], **config: Any) -> Sigma:
    made = create(Config(rules=(written(folder, *MEMBERS, told),), **config))
    assert not made.problems
    return made


def happened(*told: tuple[int, str, str, str]) -> pl.DataFrame:
    """Operations at microseconds from the start: (µs, what, who, secret)."""
    made = rows(*({"api_operation": what, "principal": who, "secret": secret} for _, what, who, secret in told))
    times = pl.Series([START_US + at for at, *_ in told], dtype=pl.Int64).cast(made.schema["time"])
    return made.with_columns(time=times, complete_time=times)


def found(one: Sigma, operations: pl.DataFrame) -> list[dict[str, Any]]:
    said = one.inspect(Window(0, HOUR_US, operations, empty(INTEGRITY), None, closed=True))
    return said.filter(cause="together").to_dicts()


def fires(one: Sigma, operations: pl.DataFrame) -> list[int]:
    return [int(row["time"].timestamp() * 1e6) - START_US for row in found(one, operations)]


@pytest.mark.parametrize("offset_us", [0, 3_599_000_000, 1])
@pytest.mark.parametrize(
    ("told", "steps"),
    [
        (correlation("event_count", ["read"], condition={"gte": 3}), [("read", "a"), ("read", "a"), ("read", "a")]),
        (correlation("event_count", ["read"], condition={"gt": 2}), [("read", "a"), ("read", "a"), ("read", "a")]),
        (correlation("event_count", ["read"], condition={"eq": 2}), [("read", "a"), ("read", "a")]),
        (
            correlation("value_count", ["read"], condition={"field": "secret", "gte": 3}),
            [("read", "a"), ("read", "b"), ("read", "c")],
        ),
        (correlation("temporal", ["read", "list"]), [("list", "a"), ("read", "a")]),
        (correlation("temporal", ["read", "list"]), [("read", "a"), ("list", "a")]),
        (correlation("temporal_ordered", ["list", "read", "delete"]), [("list", "a"), ("read", "a"), ("delete", "a")]),
        (
            correlation("temporal", ["read", "list", "delete"], condition="read and (list or delete)"),
            [("delete", "a"), ("read", "a")],
        ),
    ],
)  # fmt: skip
def test_boundary_pairs(told: dict[str, Any], steps: list[tuple[str, str]], offset_us: int, tmp_path: Path) -> None:
    """One microsecond inside the timespan it is told, at the timespan it is not, wherever static windows would end."""
    for last, expected in ((SPAN_S * 1_000_000 - 1, True), (SPAN_S * 1_000_000, False)):
        times = [offset_us + last * i // (len(steps) - 1) for i in range(len(steps))]
        stream = happened(*((at, what, "ana", secret) for at, (what, secret) in zip(times, steps, strict=True)))
        assert bool(fires(detector(tmp_path, told), stream)) == expected
        apart = happened(*((t, w, f"p{i}", s) for i, (t, (w, s)) in enumerate(zip(times, steps, strict=True))))
        assert not fires(detector(tmp_path, told), apart), "other groups do not count"


def test_an_order_is_an_order(tmp_path: Path) -> None:
    """The same rules the other way round are quiet; one operation that matches two rules does not follow itself."""
    told = correlation("temporal_ordered", ["list", "read"])
    assert not fires(detector(tmp_path, told), happened((0, "read", "ana", "a"), (1, "list", "ana", "a")))
    twice = correlation("temporal_ordered", ["read", "read"])
    assert not fires(detector(tmp_path, twice), happened((0, "read", "ana", "a")))
    assert fires(detector(tmp_path, twice), happened((0, "read", "ana", "a"), (5, "read", "ana", "a"))) == [5]


def test_a_burst_is_told_once_and_the_next_again(tmp_path: Path) -> None:
    """While the condition holds there is one finding; when it has ceased to hold, the next burst is another one."""
    told = correlation("event_count", ["read"], condition={"gte": 3})
    seconds = [0, 1, 2, 3, 4, 300, 2000, 2001, 2002]
    stream = happened(*((at * 1_000_000, "read", "ana", "a") for at in seconds))
    assert fires(detector(tmp_path, told), stream) == [2_000_000, 2_002_000_000]


def plain(kind: str, members: list[str], need: int, events: list[tuple[int, str, str, str]]) -> list[int]:
    """The same by looking at every operation of the window, for each operation anew."""
    told, before = [], {}
    for place, (at, what, who, _) in enumerate(events):
        if what not in members:
            continue
        seen = [e for e in events[: place + 1] if e[2] == who and e[1] in members and at - e[0] < SPAN_S * 1_000_000]
        if kind == "event_count":
            met = len(seen) >= need
        elif kind == "value_count":
            met = len({e[3] for e in seen}) >= need
        elif kind == "temporal":
            met = len({e[1] for e in seen}) >= need
        else:
            step = 0
            for e in seen:
                step += step < len(members) and e[1] == members[step]
            met = step == len(members)
        last_at, last_met = before.get(who, (-(10**18), False))
        if met and not (last_met and at - last_at < SPAN_S * 1_000_000):
            told.append(at)
        before[who] = at, met
    return told


CASES = [
    ("event_count", ["read"], 4, {"condition": {"gte": 4}}),
    ("event_count", ["read", "list"], 6, {"condition": {"gte": 6}}),
    ("value_count", ["read"], 3, {"condition": {"field": "secret", "gte": 3}}),
    ("temporal", ["read", "list", "delete"], 3, {}),
    ("temporal_ordered", ["list", "read", "delete"], 3, {}),
]


def random_events(seed: int) -> list[tuple[int, str, str, str]]:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.choice([1, 7_000_000, 90_000_000, 400_000_000], 160, p=[0.1, 0.3, 0.4, 0.2]))
    kinds = rng.choice(["read", "list", "delete"], 160, p=[0.6, 0.3, 0.1])
    whose, what = rng.choice(["ana", "ben"], 160), rng.choice(["a", "b", "c", "d"], 160)
    return list(zip(times.tolist(), kinds.tolist(), whose.tolist(), what.tolist(), strict=True))


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("kind", "members", "need", "more"), CASES)
def test_equal_to_a_plain_count_however_cut(  # noqa: PLR0917
    kind: str, members: list[str], need: int, more: dict[str, Any], seed: int, tmp_path: Path
) -> None:
    """What is told is what a look at the whole window tells, in one piece or many, with restarts between them."""
    events = random_events(seed)
    told = correlation(kind, members, **more)
    stream = happened(*events)
    whole = found(detector(tmp_path, told), stream)
    assert [int(row["time"].timestamp() * 1e6) - START_US for row in whole] == plain(kind, members, need, events)
    cuts = [0, *sorted(np.random.default_rng(seed + 99).integers(0, len(events), 12).tolist()), len(events)]
    one, pieces = detector(tmp_path, told), []
    for low, high in pairwise(cuts):
        pieces += found(one, stream[low:high])
        reborn = detector(tmp_path, told)
        reborn.restore(one.snapshot())
        one = reborn
    assert pieces == whole


def test_evidence_is_in_order_and_of_the_group(tmp_path: Path) -> None:
    """The evidence of an order is its operations, first to last, and nobody else's."""
    told = correlation("temporal_ordered", ["list", "read"])
    stream = happened(
        (0, "list", "ana", "a"), (1, "list", "ben", "a"), (2, "read", "ana", "a"), (3, "list", "ana", "a")
    )
    [said] = found(detector(tmp_path, told), stream)
    assert said["evidence"] == ["0", "2"]
    assert said["principal"] == "ana"


def test_state_is_bounded(tmp_path: Path) -> None:
    """A correlation keeps what it asks for of each group and no more, and `correlated` operations at most."""
    told = correlation("event_count", ["read"], condition={"gte": 5})
    one = detector(tmp_path, told)
    found(one, happened(*((i, "read", "ana", "a") for i in range(400))))
    assert len(one.snapshot()["windows"]) == 5
    one = detector(tmp_path, told, correlated=50)
    found(one, happened(*((i, "read", f"p{i}", "a") for i in range(400))))
    assert len(one.snapshot()["windows"]) == 50
    found(one, happened((SPAN_S * 1_000_000 * 3, "read", "zoe", "a")))
    assert len(one.snapshot()["windows"]) == 1


def test_aliases_name_the_same_thing_differently(tmp_path: Path) -> None:
    """A group may be one field in one rule and another in the next: who was made, then who acts."""
    told = correlation(
        "temporal_ordered", ["list", "read"], **{"group-by": ["who"]},
        aliases={"who": {"list": "login_principal", "read": "principal"}},
    )  # fmt: skip
    stream = happened((0, "list", "ana", "a"), (1, "read", "made", "a"))
    made = stream.with_columns(login_principal=pl.when(pl.col("api_operation") == "list").then(pl.lit("made")))
    assert fires(detector(tmp_path, told), made) == [1]
    assert not fires(detector(tmp_path, told), stream)


def test_members_are_silent_unless_asked(tmp_path: Path) -> None:
    """A rule that a correlation uses tells nothing of its own, but with `generate`."""
    for generate, causes in ((False, ["together"]), (True, ["list", "read", "together"])):
        one = detector(tmp_path, correlation("temporal", ["read", "list"], generate=generate))
        stream = happened((0, "list", "ana", "a"), (1, "read", "ana", "a"))
        said = one.inspect(Window(0, HOUR_US, stream, empty(INTEGRITY), None, closed=True))
        assert sorted(said["cause"]) == causes


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (correlation("event_count", ["read"], condition={"lt": 3}), "lt: what has not happened"),
        (correlation("event_count", ["read"], condition={"gte": 0}), "holds when nothing has happened"),
        (correlation("event_count", ["nobody"], condition={"gte": 3}), "needs the rule nobody"),
        (correlation("event_count", ["read"], condition={"gte": 3}, timespan="2y"), "longer than 31 days"),
        (correlation("value_count", ["read"], condition={"field": "outcome", "gte": 5}), "which has 4"),
        (correlation("value_count", ["read"], condition={"field": "flags", "gte": 5}), "cannot be grouped or counted"),
        (correlation("temporal", ["read", "list"], condition={"gte": 3}), "asks for 3 of 2 rules"),
        (correlation("temporal", ["read", "list"], condition="read and not list"), "not: what has not happened"),
        (correlation("temporal", ["read", "list"], **{"group-by": ["pricipal"]}), "meant: principal"),
    ],
)
def test_correlations_that_cannot_be_run_say_why(told: dict[str, Any], why: str, tmp_path: Path) -> None:
    """What only the end of a window could tell, what is not there and what can never be reached is refused."""
    [said] = check(Config(rules=(written(tmp_path, *MEMBERS, told),)))
    assert why in said


def test_a_correlation_of_an_impossible_rule_says_so(tmp_path: Path) -> None:
    """A member that can never match takes its correlation with it, and both say why."""
    dead = rule({"outcome": "refused"}, name="dead")
    file = tmp_path / "r.yml"
    file.write_text(
        json.dumps(dead) + "\n---\n" + json.dumps(correlation("event_count", ["dead"], condition={"gte": 2}))
    )
    said = check(Config(rules=(str(file),)))
    assert len(said) == 2
    assert all("outcome is never refused" in one for one in said)
