"""A client that is refused tries again at once, for hours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import HOUR

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage

LEVELS = {"easy": 12.0, "medium": 6.0, "hard": 3.0, "near": 1.5}  # x own rate
HOURS = 4


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """One of its secrets, half refused. Rates above 2,000 an hour are not multiplied further."""
    start = stage.moment(HOURS * HOUR)
    principal = stage.someone(Role.POD, Role.MACHINE)
    rate = min(max(4.0, float(stage.estate.principals["rate"][principal])), 2000.0)
    count = int(rate * LEVELS[stage.difficulty] * HOURS)
    what = int(stage.rng.choice(stage.own(principal)))
    token = stage.token(principal, start, HOURS * HOUR)
    when = stage.spread(start, HOURS * HOUR, count)
    stage.act(token, when, Action.READ, what, outcome=stage.outcomes(count, 0.5))
    return principal, np.array([what])
