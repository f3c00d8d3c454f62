"""What an event stream that is made up, or over, says of the suite: simulate, evaluate, backtest.

A module of its own because no other command needs the simulator.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pipeline import commands, named, store, tables
from pipeline import evaluate as evaluation
from pipeline import simulate as simulation
from pipeline.backtest import Replayed, alert_rows, caught, compare, replay, summary
from pipeline.core.errors import ConfigError
from pipeline.evaluate import CONDITIONS, Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pipeline import config as conf

__all__ = (
    "CONDITIONS", "Plan", "Replayed", "alert_rows", "backtest", "caught", "compare", "condition_rows", "evaluate",
    "recall_rows", "seeds", "simulate", "summary",
)  # fmt: skip


def simulate(out: Path, asked: Mapping[str, Any], attacks: str) -> simulation.Summary:
    """Write a labelled stream. `attacks` is NAME[:DIFFICULTY][,…]. Raises ConfigError, naming what is allowed."""
    words = [word.partition(":") for word in attacks.split(",") if word]
    chosen = tuple(simulation.Attack(name, difficulty or "medium") for name, _, difficulty in words)
    try:
        return simulation.simulate(simulation.Scenario(**asked, attacks=chosen), out)
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror}") from None


def evaluate(
    plan: Plan,
    settings: conf.Settings,
    jobs: int,
    out: Path | None,
    progress: Callable[[int], None],
    *,
    conditions: bool = False,
) -> tuple[dict[str, Any], list[Path]]:
    """Measure the suite, or with `conditions` what it loses under worse ones; the figures and the files written.

    Raises ConfigError, KeytrailError.
    """
    settings.allow(named.TABLES)
    named.config_tables(settings)
    try:
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
        if conditions:
            result = evaluation.compare(evaluation.plans(plan), settings.tree, jobs, progress, out)
        else:
            result = evaluation.evaluate(plan, settings.tree, jobs, progress, out)
        files = evaluation.COMPARED if conditions else evaluation.FILES
        return result, [] if out is None else [out / name for name in files]
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror}") from None


def seeds(text: str) -> tuple[int, ...]:
    """Numbers and spans of them: 1,2,7-9. Raises ConfigError."""
    found: list[int] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        span = re.fullmatch(r"(\d{1,18})(?:-(\d{1,18}))?", word)
        first, last = (int(span[1]), int(span[2] or span[1])) if span else (1, 0)
        if not first <= last < first + 10_000:
            raise ConfigError(f"--seeds {text!r}: give numbers and spans such as 1,2,7-9")
        found += range(first, last + 1)
    return tuple(found)


def recall_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a method: the share of incidents found at each number of alerts a day and 1,000 principals."""
    rows: dict[str, dict[str, Any]] = {}
    for row in result["methods"]:
        mine = rows.setdefault(row["method"], {"method": row["method"], "incidents": row["incidents"]})
        mine[f"at {row['per_day']:g}"] = round(row["recall"], 3)
    return list(rows.values())


def condition_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a condition."""
    names = ("condition", "incidents", "found", "recall", "low", "high", "delivered", "pages")
    return [
        {name: round(row[name], 3) if isinstance(row[name], float) else row[name] for name in names}
        for row in result["conditions"]
    ]


def backtest(
    lake: Path,
    settings: Sequence[conf.Settings],
    span: tuple[str | None, str | None],
    learn_days: float | None,
    progress: Callable[[int, int], None] | None = None,
) -> Replayed:
    """A range of the lake replayed under each configuration; open ends reach to the lake's first and last operation.

    Raises ConfigError for times that cannot be used, NoInputError without a lake.
    """
    start, end = (round(at.timestamp() * 1e6) for at in commands.period(lake, span))
    with store.reading(lake) as opened:
        size = next(tables.records(store.query(lake, "SELECT count(*) FROM operations")))[0]
        told = None if progress is None else lambda done: progress(done, size)
        return replay(opened, tuple(settings), (start, end), learn_days, told)
