"""Naive methods measured anew are set beside the suite of the same estates, and of no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import ConfigError
from pipeline.evaluate.beside import ROWS, before, joined, rows
from pipeline.evaluate.plan import Plan

PLAN = Plan(seeds=(7, 8), suite=False)


def estate(seed: int, **methods: Any) -> dict[str, Any]:
    same = {
        "days": 28.0,
        "principals": 9,
        "operations": 99,
        "confusers": {"dst": 1},
        "incidents": [{"attack": "canary"}],
    }
    return {"seed": seed, **same, "marks": 0.5, "methods": methods}


def test_what_was_kept_is_found_by_seed_and_place(tmp_path: Path) -> None:
    """As it was written."""
    kept = {0: estate(7, suite={"5.0": 1}), 1: estate(8, suite={"5.0": 2})}
    (tmp_path / ROWS).write_text(rows(PLAN, kept), "utf-8")
    assert before(PLAN, tmp_path) == kept


@pytest.mark.parametrize("seeds", [(8, 7), (7, 8, 9)])
def test_another_plan_finds_nothing(tmp_path: Path, seeds: tuple[int, ...]) -> None:
    """A seed at another place has other incidents; one that was not measured is named."""
    (tmp_path / ROWS).write_text(rows(PLAN, {0: estate(7), 1: estate(8)}), "utf-8")
    with pytest.raises(ConfigError, match=r"has no seed [89] at its place"):
        before(Plan(seeds=seeds, suite=False), tmp_path)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    """No folder, no file, or another file."""
    with pytest.raises(ConfigError, match="--out DIR"):
        before(PLAN, None)
    with pytest.raises(ConfigError, match=r"has no detection\.rows\.jsonl"):
        before(PLAN, tmp_path)
    (tmp_path / ROWS).write_text('{"nth": 0}\n', "utf-8")
    with pytest.raises(ConfigError, match="not what `keytrail evaluate` keeps"):
        before(PLAN, tmp_path)


def test_the_suite_stays_and_the_others_are_replaced() -> None:
    """A method that is no more is gone; everything else is as it was."""
    whole = joined(estate(7, suite="was", rules="was", gone="was"), {**estate(7, rules="is"), "marks": None})
    assert whole == estate(7, suite="was", rules="is")


@pytest.mark.parametrize("name", ["days", "principals", "operations", "confusers", "incidents"])
def test_another_estate_is_refused(name: str) -> None:
    """Whatever differs is named: the simulator has changed since."""
    with pytest.raises(ConfigError, match=f"seed 7 is another estate.*{name} differ"):
        joined(estate(7, suite="was"), {**estate(7), name: None})


def test_a_plan_measures_something() -> None:
    """Neither the suite nor naive methods makes no sense."""
    with pytest.raises(ConfigError, match="neither"):
        Plan(suite=False, naive=False)
