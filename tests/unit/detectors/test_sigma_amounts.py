"""Sigma correlations over sums, averages and percentiles, held against Python's own statistics of each whole window."""

from __future__ import annotations

import re
import statistics
from fractions import Fraction
from itertools import pairwise
from operator import eq, ge, gt, le, lt, ne
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from detectors.sigma import Config, check, create
from detectors.sigma.amounts import shown
from tests.unit.detectors.test_sigma_rules import START_US, rule, written
from tests.unit.detectors.test_sigma_sliding import MEMBERS, SPAN_S, correlation, detector, fires, found, happened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from detectors.sigma import Sigma

SPAN_US = SPAN_S * 1_000_000
OPS = {"gt": gt, "gte": ge, "lt": lt, "lte": le, "eq": eq, "neq": ne}
Step = tuple[int, str, str, float | None]  # µs from the start, what, who, latency


def amounts(steps: Sequence[Step]) -> pl.DataFrame:
    made = happened(*((at, what, who, "kv/a") for at, what, who, _ in steps))
    return made.with_columns(latency_ms=pl.Series([value for *_, value in steps], dtype=pl.Float64))


def asked(kind: str, members: Sequence[str] = ("read",), **condition: Any) -> dict[str, Any]:
    return correlation(kind, list(members), condition={"field": "latency_ms", **condition})


def measured(kind: str, values: Sequence[Fraction], percentile: int) -> Fraction:
    """What a correlation measures of a window's values, by the standard library."""
    if kind == "value_sum":
        return sum(values, Fraction(0))
    if kind == "value_avg":
        return statistics.mean(values)
    if kind == "value_median":
        return statistics.median(values)
    if percentile == 100 or len(values) == 1:
        return max(values)
    return statistics.quantiles(values, n=100, method="inclusive")[percentile - 1]


def plain(steps: Sequence[Step], told: dict[str, Any], most: int = 10**9) -> list[int]:
    """When it is told, by looking at the whole window of each operation anew (the newest `most` of all groups)."""
    kind, members = told["correlation"]["type"], told["correlation"]["rules"]
    condition = dict(told["correlation"]["condition"])
    percentile = condition.pop("percentile", 0)
    del condition["field"]
    [(op, limit)] = condition.items()
    counted = [step for step in steps if step[1] in members and step[3] is not None and step[3] >= 0]
    times, before = [], {}
    for place, (at, _, who, _) in enumerate(counted):
        near = counted[max(0, place + 1 - most) : place + 1]
        values = [Fraction(str(value)) for t, _, w, value in near if w == who and at - t < SPAN_US]
        met = OPS[op](measured(kind, values, percentile), Fraction(str(limit)))
        last_at, last_met = before.get(who, (-SPAN_US, False))
        if met and not (last_met and at - last_at < SPAN_US):
            times.append(at)
        before[who] = at, met
    return times


def pieces(
    folder: Path, told: dict[str, Any], operations: pl.DataFrame, cuts: Sequence[int], **config: Any
) -> list[dict[str, Any]]:
    """What is told of pieces, with a restart after each."""
    one, other, said = detector(folder, told, **config), detector(folder, told, **config), list[dict[str, Any]]()
    for low, high in pairwise([0, *cuts, len(operations)]):
        said += found(one, operations[low:high]) if high > low else []
        other.restore(one.snapshot())
        one, other = other, one
    return said


@pytest.mark.parametrize("offset_us", [0, 3_599_000_000, 1])
@pytest.mark.parametrize(
    ("told", "values", "inside"),
    [
        (asked("value_sum", gte=30), (10, 10, 10), True),
        (asked("value_sum", gt=29.999), (10, 10, 10), True),
        (asked("value_sum", eq=30), (10, 0, 20), True),
        (asked("value_avg", eq=10), (5, 20, 5), True),
        (asked("value_avg", gte=10), (0, 10, 10), False),
        (asked("value_avg", lt=10), (30, 5, 5), False),
        (asked("value_median", eq=6), (4, 100, 6), True),
        (asked("value_median", gt=9), (0, 8, 20), False),
        (asked("value_percentile", percentile=75, eq=12), (4, 13, 11), True),
        (asked("value_percentile", percentile=10, gte=10), (0, 10, 11), False),
    ],
)
def test_boundary_pairs(
    told: dict[str, Any], values: tuple[float, ...], inside: bool, offset_us: int, tmp_path: Path
) -> None:
    """An amount counts a microsecond inside the timespan and not at it, whether it brings or prevents the finding."""
    for last, within in ((SPAN_US - 1, True), (SPAN_US, False)):
        times = [offset_us + last * place // 2 for place in range(3)]
        stream = [(at, "read", "ana", value) for at, value in zip(times, values, strict=True)]
        assert fires(detector(tmp_path, told), amounts(stream)) == ([times[-1]] if within == inside else [])
        assert plain(stream, told) == ([times[-1]] if within == inside else [])


CASES = [
    asked("value_sum", gte=250),
    asked("value_sum", ["read", "list"], gt=199.9),
    asked("value_sum", eq=50),
    asked("value_avg", gte=60.5),
    asked("value_avg", ["read", "list"], lt=40),
    asked("value_avg", neq=50),
    asked("value_median", gt=50),
    asked("value_median", lte=30.125),
    asked("value_percentile", percentile=90, gte=85),
    asked("value_percentile", ["read", "delete"], percentile=5, lt=12),
    asked("value_percentile", percentile=1, gt=20),
    asked("value_percentile", percentile=100, lte=60.001),
]


def random_steps(seed: int, many: int = 160) -> list[Step]:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.choice([1, 7_000_000, 90_000_000, 400_000_000], many, p=[0.1, 0.3, 0.4, 0.2]))
    kinds = rng.choice(["read", "list", "delete"], many, p=[0.6, 0.3, 0.1])
    values = rng.choice([0.0, 10.0, 10.125, 50.0, 60.001, 99.9, -3.0, None], many)
    return list(zip(times.tolist(), kinds.tolist(), rng.choice(["ana", "ben"], many).tolist(), values, strict=True))


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("told", CASES)
def test_equal_to_statistics_of_each_window_however_cut(told: dict[str, Any], seed: int, tmp_path: Path) -> None:
    """What is told is what the standard library says of each window, in one piece or many, with restarts between."""
    steps = random_steps(seed)
    whole = found(detector(tmp_path, told), amounts(steps))
    assert [int(row["time"].timestamp() * 1e6) - START_US for row in whole] == plain(steps, told)
    cuts = sorted(np.random.default_rng(seed + 99).integers(0, len(steps), 12).tolist())
    assert pieces(tmp_path, told, amounts(steps), cuts) == whole


def test_the_cases_above_are_not_quiet() -> None:
    """Each of them is told several times in the streams they are held against."""
    assert min(sum(len(plain(random_steps(seed), told)) for seed in range(2)) for told in CASES) > 3


@pytest.mark.parametrize("told", [CASES[3], CASES[6], CASES[8]])
def test_what_is_dropped_is_not_missed(told: dict[str, Any], tmp_path: Path) -> None:
    """With more operations than are remembered, a window is the newest of them: the cut still decides nothing."""
    steps = [(place * 1_000_000, *rest) for place, (_, *rest) in enumerate(random_steps(5))]
    expected = plain(steps, told, most=8)
    assert expected != plain(steps, told)
    assert fires(detector(tmp_path, told, correlated=8), amounts(steps)) == expected
    whole = found(detector(tmp_path, told, correlated=8), amounts(steps))
    assert pieces(tmp_path, told, amounts(steps), range(1, 150, 7), correlated=8) == whole


def held(one: Sigma) -> list[float | None]:
    return (one.snapshot()["windows"]["number"] / 1000).to_list()


def test_state_is_bounded(tmp_path: Path) -> None:
    """A sum keeps what reaches its limit, an average what is in its window, both `correlated` operations at most."""
    steps: list[Step] = [(place, "read", "ana", 10.0) for place in range(400)]
    for told, kept in ((asked("value_sum", gte=45), 5), (asked("value_sum", gt=50), 6), (asked("value_sum", eq=50), 6)):
        one = detector(tmp_path, told)
        found(one, amounts(steps))
        assert held(one) == [10.0] * kept
    one = detector(tmp_path, asked("value_avg", gte=45), correlated=50)
    found(one, amounts(steps))
    assert len(held(one)) == 50
    found(one, amounts([(SPAN_US * 3, "read", "zoe", 1.0)]))
    assert held(one) == [1.0]


@pytest.mark.parametrize("told", CASES[::3])
def test_memories_of_different_groups_merge(told: dict[str, Any], tmp_path: Path) -> None:
    """What two detectors remember of different groups, put together, goes on as one that saw both."""
    steps = random_steps(7)
    early, late = [s for s in steps if s[0] < steps[80][0]], [s for s in steps if s[0] >= steps[80][0]]
    both, whole = [], detector(tmp_path, told)
    for who in ("ana", "ben"):
        one = detector(tmp_path, told)
        found(one, amounts(early).filter(principal=who))
        both.append(one.snapshot())
    merged = detector(tmp_path, told)
    merged.restore({name: pl.concat([one[name] for one in both]) for name in both[0]})
    found(whole, amounts(early))
    rest = amounts(late).with_columns(uid=pl.concat_str(pl.lit("later "), "uid"))
    assert found(merged, rest) == found(whole, rest)


def test_a_memory_of_before_there_were_amounts_is_read(tmp_path: Path) -> None:
    """A snapshot without the column of amounts goes on where it stood."""
    told = correlation("event_count", ["read"], condition={"gte": 2})
    one, reborn = detector(tmp_path, told), detector(tmp_path, told)
    found(one, amounts([(0, "read", "ana", 1.0)]))
    kept = one.snapshot()
    reborn.restore({**kept, "windows": kept["windows"].drop("number")})
    assert fires(reborn, amounts([(5, "read", "ana", 1.0)])) == [5]


@pytest.mark.parametrize(
    ("told", "observed", "expected"),
    [
        (asked("value_sum", gte=1500), "sum of latency_ms at 1,512.5 over 3 operations", "less than 1,500"),
        (asked("value_avg", eq=506.25), "average of latency_ms at 506.25 over 2 operations", "anything but 506.25"),
        (asked("value_avg", gt=504.1), "average of latency_ms at 506.25 over 2 operations", "at most 504.1"),
        (asked("value_median", gt=506), "median of latency_ms at 506.25 over 2 operations", "at most 506"),
        (
            asked("value_percentile", percentile=92, gte=900.5),
            "92nd percentile of latency_ms at 921 over 2 operations",
            "less than 900.5",
        ),
    ],
)
def test_a_finding_tells_what_was_measured(told: dict[str, Any], observed: str, expected: str, tmp_path: Path) -> None:
    """The amount, over how many operations, what would have been usual, and the entries it was measured on."""
    steps: list[Step] = [(0, "read", "ana", 12.5), (1, "read", "ben", 1.0), (2, "read", "ana", 1000.0)]
    [said] = found(detector(tmp_path, told), amounts([*steps, (3, "read", "ana", 500.0)]))
    assert said["observed"] == f"{observed} within 10 minutes"
    assert said["expected"] == f"{expected} within 10 minutes"
    assert f"Together: {observed} by the same principal within 10 minutes; the last was" in said["message"]
    assert said["evidence"] == ["0", "2", "3"][: int(observed.split()[-2])]


def test_amounts_are_held_to_what_can_be_counted(tmp_path: Path) -> None:
    """An absurd amount counts as 10^10, one below zero and one that is none are left out, thousandths are exact."""
    told = asked("value_sum", gte=1)
    strange: list[Step] = [(i, "read", "ana", value) for i, value in enumerate([-5.0, None, float("nan"), 0.999])]
    assert not fires(detector(tmp_path, told), amounts(strange))
    assert fires(detector(tmp_path, told), amounts([*strange, (9, "read", "ana", 0.001)])) == [9]
    [said] = found(detector(tmp_path, told), amounts([(0, "read", "ana", float("inf"))]))
    assert "at 10,000,000,000 over 1 operation" in said["observed"]
    assert [shown(Fraction(n)) for n in (0, 5, 1_000, 1_204_500)] == ["0", "0.005", "1", "1,204.5"]
    assert [shown(n) for n in (-5, -4_500, -1_000)] == ["-0.005", "-4.5", "-1"]


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (asked("value_sum", lt=3), "lt: a sum still grows"),
        (asked("value_sum", neq=3), "ask gte, gt or eq"),
        (asked("value_sum", gte=0), "holds when nothing has happened"),
        (asked("value_avg", gte=0.0005), "three decimals at most"),
        (asked("value_avg", gte=20_000_000_000), "beyond what is counted"),
        (asked("value_avg", field="outcome", gte=3), "outcome is a text, of which there is never an average"),
        (asked("value_sum", field="paired", gte=3), "paired is a flag.*numbers are: latency_ms, re"),
        (asked("value_median", field="policies", gte=3), "policies is a texts"),
        (asked("value_sum", field="latency", gte=3), "there is no field latency; meant: latency_ms"),
        (asked("value_sum", field=["latency_ms", "token_ttl"], gte=3), "of one field, not of several"),
        (asked("value_percentile", gte=3), "which percentile is not said"),
        (asked("value_percentile", percentile=0, gte=3), "no percentile 0; they go from 1 to 100"),
        (asked("value_percentile", percentile=101, gte=3), "no percentile 101"),
        (asked("value_percentile", percentile=-5, gte=3), "no percentile -5"),
        (asked("value_percentile", percentile=99.9, gte=3), "a whole number from 1 to 100, not 99.9"),
        (asked("value_percentile", percentile=None, gte=3), "a whole number from 1 to 100, not None"),
        (asked("value_avg", percentile=50, gte=3), "a percentile says nothing in a value_avg"),
        (asked("value_avg", lt=0), "nothing with latency_ms below 0"),
        (asked("value_median", eq=-1), "nothing with latency_ms of at most -1"),
        (asked("value_sum", gte=3, lte=5), "exactly one condition item"),
        (asked("value_avg", ["quick", "unknown"], gte=500), "of at least 500: latency_ms cannot lie.*; latency_ms"),
        (asked("value_sum", ["unknown"], gte=500), "nothing with latency_ms above 0: "),
    ],
)
def test_what_cannot_be_run_or_reached_says_why(told: dict[str, Any], why: str, tmp_path: Path) -> None:
    """A field that is no number, a percentile that is none, an amount its rules exclude: each is told, and alone."""
    quick = rule({"latency_ms|lt": 100}, name="quick", title="Quick")
    unknown = rule({"latency_ms": None}, name="unknown", title="Unknown")
    [said] = check(Config(rules=(written(tmp_path, quick, unknown, *MEMBERS, told),)))
    assert re.search(why, said), said


@pytest.mark.parametrize(
    "told",
    [
        asked("value_avg", ["quick"], gte=99),
        asked("value_avg", ["quick", "read"], gte=500),
        asked("value_percentile", ["slow"], percentile=1, eq=100),
        asked("value_median", ["slow"], neq=3),
        asked("value_sum", ["quick"], gte=10**9),
        asked("value_avg", field="response.auth.token_ttl", gt=3600),
    ],
)
def test_what_may_be_reached_passes(told: dict[str, Any], tmp_path: Path) -> None:
    """What one of its rules leaves possible is no problem."""
    quick = rule({"latency_ms|lt": 100}, name="quick", title="Quick")
    slow = rule({"latency_ms|gte": 100}, name="slow", title="Slow")
    assert check(Config(rules=(written(tmp_path, quick, slow, *MEMBERS, told),))) == []


def test_a_condition_that_cannot_be_read_costs_its_correlation_only(tmp_path: Path) -> None:
    """The rest of its file is run; named in `off`, it is left out without a word, also where it stands alone."""
    broken = {**asked("value_sum", gt=3, lte=5), "title": "Broken", "name": "broken"}
    file = written(tmp_path, *MEMBERS, broken, asked("value_sum", gt=3))
    assert check(Config(rules=(file,))) == [
        f"{file}: Broken: Sigma correlation condition must have exactly one condition item"
    ]
    one = create(Config(rules=(file,)))
    assert fires(one, amounts([(0, "read", "ana", 4.0)])) == [0]
    for rules in ((*MEMBERS, broken), (broken,)):
        assert check(Config(rules=(written(tmp_path, *rules),), off=("broken",))) == []
