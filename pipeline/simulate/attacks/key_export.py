"""An encryption key is made exportable and taken out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import DAY, MINUTE

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage

LEVELS = {
    "easy": (4, 10 * MINUTE),
    "medium": (2, 20 * MINUTE),
    "hard": (1, 30 * MINUTE),
    "near": (1, DAY),
}  # keys, within


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """The change first, the export later; a day later in the hardest case."""
    count, length = LEVELS[stage.difficulty]
    start = stage.moment(length, hours=(8, 19))
    principal = stage.someone(Role.ADMIN)
    keys = [stage.estate.intern("transit/", t) for t in stage.estate.teams]
    loot = stage.rng.choice(keys, min(count, len(keys)), replace=False)
    stage.act(stage.token(principal, start), stage.spread(start, length // 4, len(loot)), Action.KEY_CONFIG, loot)
    later = start + length // 2
    stage.act(stage.token(principal, later), stage.spread(later, length // 3, len(loot)), Action.KEY_EXPORT, loot)
    return principal, np.asarray(loot)
