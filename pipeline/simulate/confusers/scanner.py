"""The posture scanner runs its quarterly sweep on top of its daily one: refusals on paths all over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.actions import Action, Outcome
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import HOUR

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """Ten times its usual rate for two hours."""
    start = stage.moment(2 * HOUR, hours=(1, 20))
    principal = stage.someone(Role.SCANNER)
    count = 20 if stage.world.scenario.preset == "xs" else 440
    what = stage.rng.choice(stage.estate.secrets, count)
    token = stage.token(principal, start, 2 * HOUR)
    stage.act(token, stage.spread(start, 2 * HOUR, count), Action.READ, what, outcome=Outcome.DENIED)
    return principal, np.unique(what)
