"""A token that lives far longer than its role's tokens do, kept alive and used now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import DAY, HOUR

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage

LEVELS = {"easy": 365 * 24, "medium": 32 * 24, "hard": 7 * 24, "near": 12}  # hours to live; builds ask for one


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """Made by a build's token, then read with and renewed for up to three days."""
    ttl = LEVELS[stage.difficulty] * 3600
    start = stage.moment(DAY, hours=(8, 20))
    build = stage.someone(Role.CI)
    parent = stage.token(build, start, HOUR)
    place = stage.held(parent)
    child = stage.mint("token", start, stage.estate.policies[build], ttl=ttl, place=place, parent=parent)
    stage.act(parent, start, Action.TOKEN_CREATE, stage.itself, issued=child)
    until = min(start + 3 * DAY, stage.high)
    when = start + np.cumsum(stage.rng.uniform(3, 9, 24) * HOUR).astype(np.int64)
    when = when[when < until]
    own = stage.own(build)
    stage.act(child, when, Action.READ, stage.rng.choice(own, len(when)))
    stage.act(child, when[::3] + stage.soon(1), Action.RENEW, stage.itself)
    return build, own
