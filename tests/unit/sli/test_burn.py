from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipeline.core.schema import SLI, conform
from tests.burn_oracle import DAY, RULES, Rule, burn

NOW = datetime(2026, 1, 10, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000


def rows(failures: dict[int, tuple[int, int]], sli: str = "M1", objective: float = 0.999) -> pl.DataFrame:
    """SLI rows: minutes before now the window began -> failed, total."""
    made = [
        {
            "sli": sli,
            "store": "vault",
            "scope": "store",
            "window_start": NOW - timedelta(minutes=age),
            "good": total - failed,
            "total": total,
            "objective": objective,
        }
        for age, (failed, total) in failures.items()
    ]
    return conform(pl.DataFrame(made), SLI)


def steady(failed: int, total: int, minutes: int = 3 * 24 * 60) -> pl.DataFrame:
    return rows(dict.fromkeys(range(5, minutes + 5, 5), (failed, total)))


def test_the_workbook_table() -> None:
    """The rules at 30 days give the workbook's burn rates, and other ones for another period."""
    assert [rule.threshold(30 * DAY) for rule in RULES] == pytest.approx([14.4, 6, 3, 1])
    assert [rule.short_seconds for rule in RULES] == [300, 1800, 7200, 21600]
    assert Rule("page", 0.08, 3600).threshold(7 * DAY) == pytest.approx(13.44)


def test_an_outage_fires_every_rule() -> None:
    """Two of a hundred reads failing for three days burn too fast at every rule."""
    got = burn(steady(2, 100), NOW_US)
    assert got["firing"].all()
    assert got["burn_long"].to_list() == pytest.approx([20] * 4)
    assert got["burn_short"].to_list() == pytest.approx([20] * 4)


def test_a_slow_burn_is_a_ticket() -> None:
    """Twice the budgeted failures for three days fires the slowest rule alone."""
    got = burn(steady(2, 1000), NOW_US)
    assert got.filter("firing").select("severity", "long_seconds").rows() == [("ticket", 3 * DAY)]


def test_what_is_over_does_not_fire() -> None:
    """Failures that ended a while ago do not fire the fast rule, whatever the long window holds."""
    fast = burn(rows({age: (0 if age <= 10 else 20, 100) for age in range(5, 65, 5)}), NOW_US, rules=RULES[:1])
    assert fast.select("burn_short", "firing").row(0) == (0.0, False)
    assert fast["burn_long"][0] > 100


def test_one_failure_of_few_does_not_fire() -> None:
    """Where ten requests an hour come, a single failure burns much and proves nothing."""
    got = burn(rows({5: (1, 1), **dict.fromkeys(range(10, 55, 5), (0, 1))}), NOW_US, rules=RULES[:1])
    assert got["burn_long"][0] > 14.4
    assert not got["firing"][0]
    assert not burn(rows({5: (4, 4)}), NOW_US)["firing"].any()
    assert burn(rows({5: (5, 5)}), NOW_US)["firing"].all()


def test_chance_is_exact() -> None:
    """The chance of the failures is the binomial tail, down to none at all."""
    got = burn(rows({5: (3, 50)}, objective=0.99), NOW_US, rules=RULES[:1])
    tail = 1 - sum(c * 0.01**k * 0.99 ** (50 - k) for k, c in enumerate((1, 50, 1225)))
    assert got["p_value"][0] == pytest.approx(tail)
    assert burn(rows({5: (0, 50)}), NOW_US, rules=RULES[:1])["p_value"].to_list() == [1.0]


def test_no_traffic_in_the_short_window() -> None:
    """A short window without traffic has no burn rate and fires nothing."""
    got = burn(rows(dict.fromkeys(range(30, 60, 5), (50, 100))), NOW_US, rules=RULES[:1])
    assert got.select("burn_short", "firing").row(0) == (None, False)


def test_latency_burns_the_twentieth() -> None:
    """M2's budget is the five of a hundred operations that may be slow."""
    got = burn(rows({5: (100, 100)}, sli="M2", objective=200.0), NOW_US, rules=RULES[:1])
    assert got["burn_long"][0] == pytest.approx(20)


@pytest.mark.parametrize(
    "frame", [conform(pl.DataFrame({"sli": []}, schema={"sli": pl.String}), SLI), rows({5: (1, 9)}, sli="M9")]
)
def test_nothing_to_judge(frame: pl.DataFrame) -> None:
    """Without M1 and M2 rows there is nothing to judge, and rows of the future count for nothing."""
    assert burn(frame, NOW_US).is_empty()
    assert burn(rows({-5: (9, 9)}), NOW_US).is_empty()


@pytest.mark.parametrize("per_hour", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (10, 100, 1000)), 10_000])
def test_a_healthy_store_does_not_page(per_hour: int) -> None:
    """Failures at exactly the objective's rate fire no page in a month, little traffic or much."""
    rng = np.random.default_rng(per_hour)
    total = rng.poisson(per_hour / 12, 30 * 288)
    failed = rng.binomial(total, 0.001)
    ages = np.arange(5, 5 * len(total) + 5, 5)
    made: dict[int, tuple[int, int]] = {
        int(a): (int(f), int(t)) for a, f, t in zip(ages, failed, total, strict=True) if t
    }
    frame = rows(made)
    pages: list[Any] = []
    for hour in range(0, 27 * 24, 3):
        got = burn(frame, NOW_US - hour * 3600 * 1_000_000, rules=RULES[:2])
        pages += got.filter("firing").rows()
    assert pages == []
