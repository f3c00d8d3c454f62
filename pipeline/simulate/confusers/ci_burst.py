"""Many builds at once: a release train, or a cache that was emptied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import HOUR, SECOND

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """Some thirty log-ins within an hour, each with a few reads."""
    start = stage.moment(2 * HOUR, hours=(8, 18), workday=True)
    principal = stage.someone(Role.CI)
    own = stage.own(principal)
    for at in stage.spread(start, HOUR, 8 if stage.world.scenario.preset == "xs" else 30).tolist():
        token = stage.open(principal, at, length=HOUR)
        count = int(stage.rng.integers(3, 9))
        pace = np.cumsum(stage.rng.lognormal(np.log(0.3), 0.7, count) * SECOND).astype(np.int64)
        stage.act(token, at + SECOND // 10 + pace, Action.READ, stage.rng.choice(own, count))
    return principal, own
