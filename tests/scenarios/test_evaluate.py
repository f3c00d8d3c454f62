"""What is measured is what runs: frames give the alerts that the line gives, and the figures repeat."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from pipeline import named
from pipeline.core.clock import HOUR_US
from pipeline.core.errors import ConfigError
from pipeline.evaluate import COMPARED, CONDITIONS, FILES, Plan, compare, evaluate, job, plans
from pipeline.evaluate.measure import measure
from pipeline.evaluate.twins import Watch, settings_for
from pipeline.routing import Config, Router
from pipeline.simulate import Attack, Scenario, lay, simulate, twins
from pipeline.store import Lake, StoreConfig
from tests.command import keytrail
from tests.lakes import run

SAID = ("principal", "secret", "store", "severity", "route", "cause", "count", "first_time", "observed")


@pytest.fixture
def measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An estate is measured once in all tests that ask for this: they are about what becomes of the figures."""

    def remembered(plan: Plan, nth: int, tree: dict[str, Any]) -> dict[str, Any]:
        return _measured(msgspec.json.encode([plan, tree]), nth)

    monkeypatch.setattr(job, "measure", remembered)


@cache
def _measured(asked: bytes, nth: int) -> dict[str, Any]:
    plan, tree = msgspec.json.decode(asked, type=tuple[Plan, dict[str, Any]])
    return measure(plan, nth, tree)


@pytest.mark.slow
def test_frames_give_the_alerts_that_the_line_gives_of_the_written_log(tmp_path: Path) -> None:
    """A simulated log through the whole line, and its frames through detectors and router, end in the same alerts."""
    staged = (Attack("mass_read", "easy"), Attack("canary", "easy"), Attack("destroy", "easy"))
    scenario = Scenario(days=3, preset="xs", seed=3, attacks=staged)
    plot = lay(scenario)
    settings = settings_for(plot, {})
    simulate(scenario, tmp_path / "log")
    run(tmp_path / "lake", tmp_path / "log" / "audit.log", tables=dict(settings.tree))
    watch = Watch(settings, [])
    for hour, (_, operations) in enumerate(twins(plot)):
        watch.take(operations, scenario.start_ns // 1000 + (hour + 1) * HOUR_US)
    mine = Router(Config()).push(watch.told()["suite"], scenario.end_ns // 1000 + HOUR_US).alerts
    with Lake.open(tmp_path / "lake", StoreConfig(), writer=False, clock=lambda: 0) as lake:
        theirs = pl.concat(list(lake.read("alerts")))
    assert {"breadth", "invariant"} <= set(mine["detectors"].list.explode())
    assert mine.select(SAID).sort(SAID).equals(theirs.select(SAID).sort(SAID))


@pytest.mark.slow
def test_the_figures_repeat() -> None:
    """The same plan gives the same figures, and what rules are for is found."""
    attacks = ("audit_off:medium", "canary:easy")
    plan = Plan(seeds=(5,), preset="xs", learn_days=1, test_days=1, per_day=60, attacks=attacks)
    once = evaluate(plan, {}, jobs=1)
    assert once == evaluate(plan, {}, jobs=1)
    assert once["incidents"] == 2
    at = next(row for row in once["methods"] if row["method"] == "suite" and row["per_day"] == 5)
    assert at["found"] == 2
    assert {row["method"] for row in once["methods"]} >= {"rules", "rules_allowed", "z_score", "first_seen", "random"}


@pytest.mark.usefixtures("measured_once")
def test_a_run_that_breaks_off_has_a_report_and_is_taken_up_again(tmp_path: Path) -> None:
    """The page tells of the estates that are done and how many are not; in the end it is that of one whole run."""
    plan = Plan(seeds=(5, 6), preset="xs", learn_days=1, test_days=1, per_day=30, attacks=("canary:easy",))
    with pytest.raises(KeyboardInterrupt):
        evaluate(plan, {}, 1, _stop_after(1), tmp_path)
    assert "Broken off: 1 of 2 estates" in (tmp_path / "detection.md").read_text("utf-8")
    seen: list[int] = []
    taken_up = evaluate(plan, {}, 1, seen.append, tmp_path)
    assert seen == [1, 2]
    assert taken_up == evaluate(plan, {}, 1)
    assert "Broken off" not in (tmp_path / "detection.md").read_text("utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


@pytest.mark.slow
def test_naive_methods_are_measured_anew_without_the_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report is the same again, and no detector was asked; without what the suite gave there is none."""
    plan = Plan(seeds=(5,), preset="xs", learn_days=1, test_days=1, per_day=30, attacks=("canary:easy",))
    alone = msgspec.structs.replace(plan, suite=False)
    with pytest.raises(ConfigError, match="run `keytrail evaluate` with the suite first"):
        evaluate(alone, {}, 1, None, tmp_path)
    whole = evaluate(plan, {}, 1, None, tmp_path)
    report = (tmp_path / "detection.md").read_text("utf-8")
    monkeypatch.setattr(named, "detectors", lambda _: pytest.fail("a detector was asked"))
    assert evaluate(alone, {}, 1, None, tmp_path) == whole
    assert (tmp_path / "detection.md").read_text("utf-8") == report
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


def _stop_after(seeds: int) -> Callable[[int], None]:
    def told(done: int) -> None:
        if done == seeds:
            raise KeyboardInterrupt

    return told


@pytest.mark.usefixtures("measured_once")
@pytest.mark.slow
def test_conditions_are_compared_and_taken_up_again(tmp_path: Path) -> None:
    """Each condition is a run of its own by the suite alone; what was kept is not measured again."""
    plan = Plan(seeds=(5,), preset="xs", learn_days=1, test_days=1, per_day=30, attacks=("canary:easy",))
    every = plans(plan)
    assert list(every) == list(CONDITIONS)
    assert not any(each.naive for each in every.values())
    few = {"as planned": every["as planned"], "all lost": msgspec.structs.replace(plan, loss=0.9)}
    with pytest.raises(KeyboardInterrupt):
        compare(few, {}, 1, _stop_after(1), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        compare(few, {}, 1, _stop_after(2), tmp_path)
    assert "Not measured: all lost." in (tmp_path / "conditions.md").read_text("utf-8")
    seen: list[int] = []
    result = compare(few, {}, 1, seen.append, tmp_path)
    assert seen == [1, 2]
    assert [(row["found"], row["incidents"]) for row in result["conditions"]] == [(1, 1), (0, 1)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(COMPARED)
    assert "Not measured" not in (tmp_path / "conditions.md").read_text("utf-8")
    assert "| all lost | 0/1 | 0.0% | 0% to 79% | -100.0 | 0/1 |" in (tmp_path / "conditions.md").read_text("utf-8")


def test_the_command_writes_page_figures_and_plot(tmp_path: Path) -> None:
    """`evaluate` prints a row a method and leaves a page that is made of the figures beside it."""
    done = keytrail(
        "evaluate", "--preset", "xs", "--learn-days", "1", "--days", "1", "--incidents", "40",
        "--attack", "canary:easy", "--jobs", "1", "--out", str(tmp_path / "out"), "--format", "json",
    )  # fmt: skip
    assert done.code == 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["recall"] for row in rows if row["method"] == "suite"] == [1.0] * 6
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "detection.json", "detection.md", "detection.rows.jsonl", "detection.svg",
    ]  # fmt: skip
    assert "evaluating: 1 of 1 seeds" in done.stderr
    page = (tmp_path / "out" / "detection.md").read_text("utf-8")
    assert "1 of 1 (100.0%" in page
    assert "canary" in page
