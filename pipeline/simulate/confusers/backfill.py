"""A job computes the last months again: its usual secrets, many times as often, for some hours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import HOUR

if TYPE_CHECKING:
    import numpy as np

    from pipeline.simulate.stage import Stage


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """One log-in, then reads for three hours."""
    start = stage.moment(3 * HOUR)
    principal = stage.someone(Role.CRON)
    own = stage.own(principal)
    count = 15 if stage.world.scenario.preset == "xs" else 300
    token = stage.open(principal, start, length=4 * HOUR)
    when = stage.spread(start + stage.soon(2), 3 * HOUR, count)
    stage.act(token, when, Action.READ, stage.rng.choice(own, count))
    return principal, own
