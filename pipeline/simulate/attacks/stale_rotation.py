"""A secret is rotated and one consumer does not notice: it is refused elsewhere, so it reads again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import HOUR

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage

LEVELS = {
    "easy": (20, 6, 0.4),
    "medium": (10, 4, 0.3),
    "hard": (4, 2, 0.2),
    "near": (2, 1, 0.0),
}  # x own rate, hours, refused


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """Right after a write by the rotator, which this incident brings with it."""
    factor, hours, share = LEVELS[stage.difficulty]
    start = stage.moment(hours * HOUR + HOUR)
    principal = stage.someone(Role.POD, Role.MACHINE)
    what = int(stage.rng.choice(stage.own(principal)))
    rotator = stage.token(stage.someone(Role.ROTATOR), start)
    stage.act(rotator, start, Action.WRITE, what)
    count = max(3 * factor, int(min(float(stage.estate.principals["rate"][principal]), 200.0) * factor * hours))
    token = stage.token(principal, start, hours * HOUR)
    when = stage.spread(start + stage.soon(30), hours * HOUR, count)
    stage.act(token, when, Action.READ, what, outcome=stage.outcomes(count, share))
    return principal, np.array([what])
