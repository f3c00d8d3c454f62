"""A team takes another's secrets over: many of its services read, from one day on, what they never read before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import DAY, HOUR

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """Every service of the team, a few secrets of the other one, some times a day to the end of the run."""
    estate, table = stage.estate, stage.estate.principals
    start = stage.moment(DAY, hours=(9, 17), workday=True)
    first = stage.someone(Role.POD, Role.MACHINE)
    team = int(table["team"][first])
    other = int(stage.rng.choice([t for t in range(len(estate.teams)) if t != team]))
    pool = np.array([i for i in estate.secrets.tolist() if estate.object_team[i] == other])
    taken = stage.rng.choice(pool, min(6, len(pool)), replace=False)
    services = np.flatnonzero(np.isin(table["role"], (Role.POD, Role.MACHINE)) & (table["team"] == team))
    for principal in services.tolist():
        for at in range(start, stage.high - HOUR, 8 * HOUR):
            token = stage.token(principal, at, HOUR)
            what = stage.rng.choice(taken, min(2, len(taken)), replace=False)
            stage.act(token, stage.spread(at, HOUR, len(what)), Action.READ, what)
    return first, taken
