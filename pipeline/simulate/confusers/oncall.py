"""Somebody on call looks at a production secret of the own team at night."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import HOUR, MINUTE

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """One to three reads."""
    start = stage.moment(HOUR, hours=(0, 5))
    principal = stage.someone(Role.HUMAN)
    team = int(stage.estate.principals["team"][principal])
    estate = stage.estate
    pool = [i for i in estate.secrets.tolist() if estate.object_team[i] == team and estate.object_env[i] == 0]
    what = stage.rng.choice(pool, min(len(pool), int(stage.rng.integers(1, 4))), replace=False)
    token = stage.open(principal, start, length=8 * HOUR)
    stage.act(token, stage.spread(start + stage.soon(5), 20 * MINUTE, len(what)), Action.READ, what)
    return principal, np.asarray(what, dtype=np.int64)
