"""Somebody edits the audit file: a stretch is gone, or a single line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import HOUR, MINUTE, SECOND
from pipeline.simulate.stage import MILLISECOND, Cut, whole

if TYPE_CHECKING:
    import numpy as np

    from pipeline.simulate.stage import Stage

LEVELS = {"easy": HOUR, "medium": 5 * MINUTE, "hard": 20 * SECOND, "near": 0}  # how much is missing; 0: one line


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """What is hidden is somebody's reading of foreign secrets, on the first device."""
    length = LEVELS[stage.difficulty]
    start = stage.moment(max(length, MINUTE))
    principal = stage.someone(Role.MACHINE, Role.POD)
    loot = stage.foreign(principal, 3 if length else 1)
    when = stage.spread(start, length, len(loot)) if length else start
    stage.act(stage.token(principal, start, length), when, Action.READ, loot)
    stage.cuts.append(Cut(0, whole(start), whole(start) + max(length, MILLISECOND)))
    return principal, loot
