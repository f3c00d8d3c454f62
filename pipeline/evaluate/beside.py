"""What each estate gave, kept beside the report: naive methods can be measured anew without running the suite again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from pipeline.core.errors import ConfigError
from pipeline.evaluate.kept import row_of
from pipeline.evaluate.twins import SUITE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.evaluate.plan import Plan

ROWS: Final = "detection.rows.jsonl"
_ESTATE: Final = ("days", "principals", "operations", "confusers", "incidents")


def rows(plan: Plan, measured: Mapping[int, Any]) -> str:
    """A line a seed, in the plan's order."""
    each = (row_of(plan, nth, measured[nth]) for nth in sorted(measured))
    return "".join(msgspec.json.encode(row).decode() + "\n" for row in each)


def before(plan: Plan, out: Path | None) -> dict[int, dict[str, Any]]:
    """What is kept in DIR/detection.rows.jsonl of the plan's seeds, by place in it.

    Raises ConfigError if any is missing or was another place's, OSError.
    """
    if out is None:
        raise ConfigError(
            f"naive methods alone are set beside what was measured before: name its --out DIR with {ROWS}"
        )
    try:
        if not (out / ROWS).exists():
            raise ConfigError(f"{out} has no {ROWS}: run `keytrail evaluate` with the suite first")
        lines = [msgspec.json.decode(line) for line in (out / ROWS).read_bytes().splitlines()]
        found = {row["nth"]: row["measured"] for row in lines if row["seed"] in plan.seeds[row["nth"] :][:1]}
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise ConfigError(f"{out / ROWS} is not what `keytrail evaluate` keeps: {error}") from None
    if missing := [seed for nth, seed in enumerate(plan.seeds) if nth not in found]:
        raise ConfigError(f"{out / ROWS} has no seed {missing[0]} at its place in the plan")
    return found


def joined(suite: Mapping[str, Any], naive: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured before, with the naive methods of `naive` alone. Raises ConfigError if the estates differ."""
    for name in _ESTATE:
        if suite[name] != naive[name]:
            raise ConfigError(f"seed {naive['seed']} is another estate than the one in {ROWS}: its {name} differ")
    return {**suite, "methods": {SUITE: suite["methods"][SUITE], **naive["methods"]}}
