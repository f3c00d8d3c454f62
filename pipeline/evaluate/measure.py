"""One seed from end to end: run the twins, replay every method at every allowance, keep the numbers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.core.schema import FINDING, empty
from pipeline.evaluate.judge import Verdict, judge
from pipeline.evaluate.plan import BUDGETS
from pipeline.evaluate.replay import replay
from pipeline.evaluate.summary import METHODS
from pipeline.evaluate.touched import touched
from pipeline.evaluate.twins import SUITE, Recorded, record
from pipeline.routing import Config as RoutingConfig

if TYPE_CHECKING:
    from pipeline.evaluate.plan import Plan


def measure(plan: Plan, nth: int, tree: dict[str, Any]) -> dict[str, Any]:
    """What the n-th seed gave, as plain values. Raises SuiteFailedError, ConfigError."""
    recorded = record(plan, nth, tree)
    names = [name for name in METHODS if (plan.suite if name == SUITE else plan.naive)]
    verdicts = {
        name: {str(budget): _verdict(recorded, name, budget, tree) for budget in BUDGETS} for name in names
    }  # fmt: skip
    happened = Counter(h.name for h in recorded.happenings if h.end_us > recorded.test_us)
    return {
        "seed": recorded.seed,
        "days": recorded.days,
        "principals": recorded.principals,
        "operations": recorded.operations,
        "confusers": dict(sorted(happened.items())),
        "touched": touched(recorded.happenings, recorded.test_us, recorded.end_us, recorded.principals),
        "incidents": [
            {"attack": one.label.attack, "difficulty": one.label.difficulty, "one_line": rule}
            for one, rule in zip(recorded.incidents, recorded.one_line, strict=True)
            if one.begin_us >= recorded.test_us
        ],
        "marks": recorded.marks,
        "checks": recorded.checks,
        "methods": verdicts,
    }


def _verdict(recorded: Recorded, name: str, budget: float, tree: dict[str, Any]) -> dict[str, Any]:
    config = msgspec.convert(tree.get("alerts", {}), RoutingConfig)
    per_day = budget * recorded.principals / 1000
    staged = recorded.staged.get(name, empty(FINDING))
    told, plain = (
        replay(findings, config, per_day, recorded.end_us)
        for findings in (staged, recorded.quiet.get(name, empty(FINDING)))
    )
    return _plain(judge(recorded, told, plain, staged), recorded.test_us)


def _plain(verdict: Verdict, test_us: int) -> dict[str, Any]:
    return {
        "true": verdict.true, "false": verdict.false, "quiet": verdict.quiet, "pages": verdict.pages,
        "explained": verdict.explained, "repeated": verdict.repeated, "by_day": verdict.by_day,
        "by_confuser": dict(sorted(verdict.by_confuser.items())),
        "by_detector": dict(sorted(verdict.by_detector.items())),
        "caught": [
            None if one.delay_us is None else
            {"seconds": round(one.delay_us / 1e6), "waited": round(one.waited_us / 1e6), "accesses": one.accesses,
             "alerts": one.alerts, "detectors": list(one.detectors)}
            for one in verdict.caught
            if one.incident.begin_us >= test_us
        ],
    }  # fmt: skip
