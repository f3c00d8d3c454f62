"""An operator switches an audit device off, or changes what it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import HOUR, MINUTE
from pipeline.simulate.stage import CUT_DELAY, Cut, whole

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage


class Level(NamedTuple):
    """How long the device is off (0: to the end), and whether it is the last one rather than the first."""

    off: int
    last: bool


LEVELS = {"easy": Level(0, False), "medium": Level(2 * HOUR, False), "hard": Level(10 * MINUTE, True)}
NAMES = ("main", "second", "third", "fourth")


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """The request to switch off is the last line of the device's life. `near` only touches the audited headers."""
    level = LEVELS.get(stage.difficulty)
    start = whole(stage.moment(3 * HOUR, hours=(9, 20)))
    operator = stage.someone(Role.ADMIN)
    token = stage.token(operator, start, 3 * HOUR)
    if level is None:
        stage.act(token, start, Action.AUDIT_HEADER, stage.system("x-request-source"))
        return operator, np.zeros(0, np.int64)
    device = stage.world.scenario.devices - 1 if level.last else 0
    name = stage.system(NAMES[device % len(NAMES)])
    stage.act(token, start, Action.AUDIT_OFF, name)
    loot = stage.foreign(operator, 4)
    stage.act(token, stage.spread(start + stage.soon(20), level.off or 30 * MINUTE, len(loot)), Action.READ, loot)
    if level.off:
        again = whole(start + level.off + stage.soon(20))
        stage.act(token, again, Action.AUDIT_ON, name)
        stage.cuts.append(Cut(device, start + CUT_DELAY, again + CUT_DELAY, renewed=True))
    else:
        stage.cuts.append(Cut(device, start + CUT_DELAY, 2**62))
    return operator, loot
