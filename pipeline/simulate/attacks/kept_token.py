"""A token of the usual life is renewed and renewed, long after its role's tokens have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import HOUR, SECOND

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage


class Level(NamedTuple):
    """How long it is kept, and whether it was made to be renewed for ever."""

    hours: int
    periodic: bool


LEVELS = {
    "easy": Level(96, True),
    "medium": Level(96, False),
    "hard": Level(24, False),
    "near": Level(6, False),
}


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """Made by a build's token; renewed when two thirds of its time are over; read with every few hours."""
    level = LEVELS[stage.difficulty]
    start = stage.moment(level.hours * HOUR, hours=(8, 20))
    build = stage.someone(Role.CI)
    ttl = int(stage.estate.principals["ttl"][build])
    parent = stage.token(build, start, HOUR)
    place = stage.held(parent)
    kept = stage.mint("token", start, stage.estate.policies[build], ttl=ttl, place=place, parent=parent)
    made = Action.TOKEN_PERIODIC if level.periodic else Action.TOKEN_CREATE
    stage.act(parent, start, made, stage.itself, issued=kept)
    until = min(start + level.hours * HOUR, stage.high)
    pauses = stage.rng.uniform(0.55, 0.7, 2 + level.hours * 7200 // ttl) * ttl * SECOND
    when = start + np.cumsum(pauses).astype(np.int64)
    stage.act(kept, when[when < until], Action.RENEW, stage.itself)
    own = stage.own(build)
    reads = start + np.cumsum(stage.rng.uniform(2, 6, 1 + level.hours // 2) * HOUR).astype(np.int64)
    reads = reads[reads < until]
    stage.act(kept, reads, Action.READ, stage.rng.choice(own, len(reads)))
    return build, own
