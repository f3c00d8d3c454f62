"""The suite under worse conditions: less history, losses, clocks that are off, incidents in what it learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from pipeline.evaluate.page import interval, share, table
from pipeline.evaluate.summary import PROMISED, headline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.evaluate.plan import Plan

CONDITIONS: Final[dict[str, dict[str, Any]]] = {  # what differs from the plan; the first is the usual one
    "as planned": {},
    "one day of history": {"learn_days": 1},
    "a week of history": {"learn_days": 7},
    "four weeks of history": {"learn_days": 28},
    "one operation in twenty lost": {"loss": 0.05},
    "clocks off by up to five minutes": {"skew_minutes": 5.0},
    "incidents in the history, one to a hundred principals": {"spoiled": 0.01},
    "incidents in the history, four to a hundred": {"spoiled": 0.042},
}

_INTRODUCTION: Final = """\
# What the detection loses under worse conditions

Made by `keytrail evaluate --conditions` from conditions.json beside it; a test holds the two together. How it is
measured is told in [detection.md](detection.md). Under each condition the same attacks come at the same difficulties,
in estates of the same seeds; lengths of history give other random streams, so single incidents differ. Intervals are
Wilson's, 95 %.
"""


def plans(plan: Plan) -> dict[str, Plan]:
    """By condition: the plan with what differs, and without naive methods."""
    alone = msgspec.structs.replace(plan, naive=False)
    return {name: msgspec.structs.replace(alone, **differs) for name, differs in CONDITIONS.items()}


def summary(told: Mapping[str, Mapping[str, Any]], asked: Sequence[str]) -> dict[str, Any]:
    """From the summaries by condition, at PROMISED alerts a day: plain values. `asked` are all that are to be told."""
    usual = next(iter(told.values()))
    return {
        "plan": usual["plan"],
        "promised": PROMISED,
        "principals": usual["principals"],
        "conditions": [{"condition": name, **_figures(result)} for name, result in told.items()],
        "missing": [name for name in asked if name not in told],
    }


def _figures(result: Mapping[str, Any]) -> dict[str, Any]:
    found, at = headline(result)
    return {
        **{name: found[name] for name in ("incidents", "found", "recall", "low", "high")},
        **{name: at[name] for name in ("delivered", "false_per_entry", "pages")},
        "difficulties": {row["difficulty"]: [row["found"], row["incidents"]] for row in result["difficulties"]},
    }


def page(result: Mapping[str, Any]) -> str:
    """Markdown."""
    plan, rows = result["plan"], result["conditions"]
    usual = rows[0]
    seeds = ", ".join(map(str, plan["seeds"]))
    setting = (
        f"Preset `{plan['preset']}`, {result['principals']:,} principals, estates {seeds}; {plan['learn_days']} quiet"
        f" days, where nothing else is told, then {plan['test_days']} days\nwith incidents at a rate of"
        f" {plan['per_day']:g} a day and 1,000 principals. At {result['promised']:g} alerts a day and 1,000 principals:"
    )
    told = [
        (row["condition"], share(row), f"{row['recall']:.1%}", interval(row),
         "" if row is usual else f"{100 * (row['recall'] - usual['recall']):+.1f}",
         *(f"{found}/{asked}" for found, asked in row["difficulties"].values()),
         f"{row['delivered']:.2f}", f"{row['delivered'] / result['promised']:.2f}", f"{row['false_per_entry']:.1e}",
         row["pages"])
        for row in rows
    ]  # fmt: skip
    head = ("condition", "found", "share", "interval", "points", *usual["difficulties"], "delivered a day",
            "of promised", "false per entry", "pages, false")  # fmt: skip
    missing = f"\nNot measured: {', '.join(result['missing'])}.\n" if result["missing"] else ""
    return f"{_INTRODUCTION}\n{setting}\n\n{table(head, told)}\n{missing}"
