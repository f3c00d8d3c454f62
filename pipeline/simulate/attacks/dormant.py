"""An account nobody has used for weeks logs in at night and reads a few things."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import DAY, HOUR

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage

LEVELS = {"easy": "foreign", "medium": "team", "hard": "own", "near": "own by day"}
READS = 5


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """Longest idle first; in a run too short for 25 idle days, whoever left earliest."""
    how = LEVELS[stage.difficulty]
    start = stage.moment(HOUR, hours=(9, 17) if how == "own by day" else (0, 5))
    principal = _sleeper(stage, start)
    token = stage.open(principal, start)
    loot = _loot(stage, principal, how)
    stage.act(token, stage.spread(start + stage.soon(4), HOUR // 2, len(loot)), Action.READ, loot)
    return principal, loot


def _sleeper(stage: Stage, start: int) -> int:
    table = stage.estate.principals
    candidates = np.flatnonzero(np.isin(table["role"], (Role.HUMAN, Role.MACHINE)) & (table["gone"] < start))
    idle = candidates[table["gone"][candidates] < start - 25 * DAY]
    pool = idle if len(idle) else candidates
    return int(stage.rng.choice(pool)) if len(pool) else stage.someone(Role.HUMAN)


def _loot(stage: Stage, principal: int, how: str) -> np.ndarray:
    if how == "foreign":
        return stage.foreign(principal, READS)
    team = int(stage.estate.principals["team"][principal])
    pool = np.array([i for i in stage.estate.secrets.tolist() if stage.estate.object_team[i] == team])
    own = stage.own(principal)
    source = pool if how == "team" or len(own) == 0 else own
    return stage.rng.choice(source, min(READS, len(source)), replace=False)
