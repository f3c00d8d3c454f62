"""The day's allowance: about so many alerts as were asked for, whatever the detectors say."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipeline.core.clock import DAY_US, HOUR_US
from pipeline.routing.allowance import KEPT, Allowance


def told(allowance: Allowance, days: int, hourly: float, seed: int, families: str = "ab") -> list[int]:
    """How many came through on each day when candidates come at random, each about somebody else."""
    rng = np.random.default_rng(seed)
    through = []
    for day in range(days):
        count = 0
        for hour in range(24):
            at = day * DAY_US + hour * HOUR_US + 1
            for _ in range(rng.poisson(hourly)):
                family, score = str(rng.choice(list(families))), float(rng.random())
                count += score >= allowance.threshold(at, family)
                allowance.note(at, family, int(rng.integers(2**62)), score)
        through.append(count)
    return through


@pytest.mark.parametrize("per_day", [1.0, 5.0, 20.0])
def test_delivers_about_what_was_promised(per_day: float) -> None:
    """After the first days the average lies within a fifth of the promise."""
    counts = told(Allowance(per_day, {}, 1.0), 40, 6.0, seed=1)
    assert abs(np.mean(counts[7:]) / per_day - 1) < 0.2


def test_what_is_below_the_promise_all_comes_through() -> None:
    """Few candidates are told whatever their score."""
    allowance = Allowance(5.0, {}, 1.0)
    counts = told(allowance, 6, 0.1, seed=2)
    assert sum(counts) == len(allowance.snapshot().filter(pl.col("kind") != "first")) > 10


def test_a_noisy_family_takes_nothing_from_a_quiet_one() -> None:
    """One family of a thousand candidates a day leaves the single candidate of another its place."""
    allowance = Allowance(4.0, {}, 1.0)
    rng = np.random.default_rng(3)
    for day in range(10):
        for i in range(1000):
            at = day * DAY_US + i * 60_000_000
            allowance.note(at, "noisy", int(rng.integers(2**62)), float(rng.random()))
        allowance.note(day * DAY_US + HOUR_US, "quiet", day, 0.1)
    assert allowance.threshold(10 * DAY_US, "quiet") == 0.0
    assert allowance.threshold(10 * DAY_US, "noisy") > 0.99


def test_families_that_agree_on_one_unit_count_once() -> None:
    """Two families that always speak of the same principals are let through as if they were one."""
    both, one = Allowance(5.0, {}, 1.0), Allowance(5.0, {}, 1.0)
    rng = np.random.default_rng(4)
    for i in range(7 * 40):
        at, score = i * DAY_US // 40, float(rng.random())
        for family in "ab":
            both.note(at, family, i, score)
        one.note(at, "a", i, score)
    assert both.threshold(7 * DAY_US, "a") == pytest.approx(one.threshold(7 * DAY_US, "a"), abs=1e-9)


def test_free_candidates_come_off_what_the_others_may() -> None:
    """Rules that are always told lower what is left, from a quarter of the day on and never below half of it."""
    levels = []
    for free in (0, 1, 3, 4, 50):
        allowance, rng = Allowance(4.0, {}, 1.0), np.random.default_rng(5)
        for i in range(7 * 40):
            at = i * DAY_US // 40
            allowance.note(at, "a", int(rng.integers(2**62)), float(rng.random()))
            if i % 40 < free:
                allowance.note(at, "rule", -i - 1 & (2**62 - 1), 1.0, free=True)
        levels.append(allowance.threshold(7 * DAY_US, "a"))
    none, quarter, three, four, many = levels
    assert none == quarter < three <= four == many < 1.0


def test_a_threshold_does_not_know_its_own_hour() -> None:
    """What comes in an hour changes nothing in it: where the stream is cut decides nothing."""
    allowance = Allowance(1.0, {}, 1.0)
    for i in range(50):
        allowance.note(i, "a", i, i / 50)
    assert allowance.threshold(HOUR_US - 1, "a") == 0.0
    assert allowance.threshold(HOUR_US, "a") > 0.9


def test_a_restored_allowance_goes_on_exactly() -> None:
    """Snapshot and restore: the same thresholds, the same next snapshot."""
    straight = Allowance(2.0, {"a": 2.0}, 1.0)
    told(straight, 3, 3.0, seed=6)
    resumed = Allowance(2.0, {"a": 2.0}, 1.0)
    resumed.restore(straight.snapshot())
    for hour in range(48):
        at = 3 * DAY_US + hour * HOUR_US
        assert straight.threshold(at, "a") == resumed.threshold(at, "a")
        for each in (straight, resumed):
            each.note(at, "a", hour, hour / 48)
    assert_frame_equal(straight.snapshot(), resumed.snapshot())


def test_memory_is_bounded() -> None:
    """A family that offers without end is remembered by its best."""
    allowance = Allowance(5.0, {}, 1.0)
    for i in range(10_000):
        allowance.note(i * 1_000_000, "a", i, i % 1000 / 1000)
    assert allowance.threshold(HOUR_US * 3, "a") > 0.9
    assert len(allowance.snapshot()) <= KEPT + 2
