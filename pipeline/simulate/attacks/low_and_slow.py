"""One foreign secret every few hours, for days, within the principal's own rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import HOUR

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage

LEVELS = {"easy": (3, 8), "medium": (5, 12), "hard": (9, 20), "near": (18, 30)}  # hours between two
DAYS = 5


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """Uneven gaps; each read with whatever token the principal holds then."""
    low, high = LEVELS[stage.difficulty]
    start = stage.moment(DAYS * 24 * HOUR)
    principal = stage.someone(Role.POD, Role.MACHINE)
    gaps = (stage.rng.uniform(low, high, 60) * HOUR).astype(np.int64)
    when = start + np.cumsum(gaps) - gaps[0]
    when = when[when < min(start + DAYS * 24 * HOUR, stage.high)]
    loot = stage.foreign(principal, len(when))
    for at, what in zip(when.tolist(), loot.tolist(), strict=False):
        stage.act(stage.token(principal, at), at, Action.READ, what)
    return principal, loot
