"""Many child or orphan tokens at once, used after their parent is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import HOUR, MINUTE, SECOND

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage


class Level(NamedTuple):
    """How many, within how many minutes, and whether they are orphans."""

    tokens: int
    minutes: int
    orphans: bool


LEVELS = {
    "easy": Level(50, 5, True),
    "medium": Level(20, 20, True),
    "hard": Level(6, 60, True),
    "near": Level(3, 120, False),
}


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """The parent revokes itself; its children read on."""
    level = LEVELS[stage.difficulty]
    length = level.minutes * MINUTE
    start = stage.moment(length + 2 * HOUR, hours=(8, 20))
    build = stage.someone(Role.CI)
    parent = stage.token(build, start, length)
    place = stage.held(parent)
    own = stage.own(build)
    action = Action.TOKEN_ORPHAN if level.orphans else Action.TOKEN_CREATE
    for at in stage.spread(start, length, level.tokens).tolist():
        child = stage.mint("token", at, stage.estate.policies[build], ttl=3600, place=place, parent=parent)
        stage.act(parent, at, action, stage.itself, issued=child)
        later = start + length + int(stage.rng.uniform(10, 6000) * SECOND)
        stage.act(child, later, Action.READ, int(stage.rng.choice(own)))
    stage.act(parent, start + length + stage.soon(1), Action.REVOKE, stage.itself)
    return build, own
