"""An operator has the trail written in clear: by a further device, or key by key."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import HOUR, MINUTE

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage


class Level(NamedTuple):
    """What is asked for, about which system paths, one after another."""

    action: Action
    names: tuple[str, ...]


LEVELS = {
    "easy": Level(Action.AUDIT_RAW, ("archive",)),
    "medium": Level(Action.TUNE, ("kv", "shared")),
    "hard": Level(Action.TUNE, ("shared",)),
    "near": Level(Action.AUDIT_HEADER, ("authorization",)),
}


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """Who can read that copy of the trail has no need to read the secrets; it is not among those simulated."""
    level = LEVELS[stage.difficulty]
    start = stage.moment(HOUR, hours=(9, 20))
    operator = stage.someone(Role.ADMIN)
    token = stage.token(operator, start, HOUR)
    what = [stage.system(name) for name in level.names]
    stage.act(token, stage.spread(start, 5 * MINUTE, len(what)), level.action, what)
    return operator, np.zeros(0, np.int64)
