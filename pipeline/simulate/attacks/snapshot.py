"""The whole store is copied, by somebody else than the backup or at another time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import MINUTE

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage

LEVELS = {
    "easy": (Role.HUMAN, (0, 5)),
    "medium": (Role.ADMIN, (8, 19)),
    "hard": (Role.BACKUP, (9, 23)),
    "near": (Role.BACKUP, (2.2, 3.0)),
}


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """One request is all it takes."""
    role, hours = LEVELS[stage.difficulty]
    start = stage.moment(5 * MINUTE, hours=hours)
    principal = stage.someone(role)
    stage.act(stage.token(principal, start, MINUTE), start, Action.SNAPSHOT, stage.system())
    return principal, np.zeros(0, np.int64)
