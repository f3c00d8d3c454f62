"""A job that runs once a month reads everything of its team at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import HOUR, MINUTE

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """Up to fifty secrets, early in the morning."""
    start = stage.moment(HOUR, hours=(1, 6))
    principal = stage.someone(Role.CRON)
    team = int(stage.estate.principals["team"][principal])
    pool = np.array([i for i in stage.estate.secrets.tolist() if stage.estate.object_team[i] == team])
    what = stage.rng.choice(pool, min(50, len(pool)), replace=False)
    token = stage.open(principal, start, length=HOUR)
    stage.act(token, stage.spread(start + stage.soon(2), 3 * MINUTE, len(what)), Action.READ, what)
    return principal, what
