"""A client goes on with a token that has ended: it asks to renew it, is refused, and asks again at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.actions import Action, Outcome
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import HOUR

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage

LEVELS = {"easy": 7_200, "medium": 1_800, "hard": 450, "near": 180}  # renewals an hour
HOURS = 2


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """From the client's own address. The store does not know whose token it was, so nobody is named."""
    start = stage.moment(HOURS * HOUR)
    principal = stage.someone(Role.POD, Role.MACHINE)
    token = stage.token(principal, start, HOURS * HOUR)
    when = stage.spread(start, HOURS * HOUR, HOURS * LEVELS[stage.difficulty])
    stage.act(token, when, Action.RENEW, stage.itself, outcome=Outcome.BAD_TOKEN)
    return principal, np.zeros(0, np.int64)
