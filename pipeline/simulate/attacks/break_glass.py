"""The break-glass role without an incident, longer than anybody allows, or beyond what the incident is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import HOUR

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage


class Level(NamedTuple):
    """Reads, hours, teams, and at which hours of day."""

    reads: int
    hours: float
    teams: int
    between: tuple[float, float]


LEVELS = {
    "easy": Level(20, 6, 3, (0, 5)),
    "medium": Level(10, 4, 2, (18, 24)),
    "hard": Level(4, 5, 1, (9, 18)),
    "near": Level(2, 0.4, 1, (9, 18)),
}


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """From a person's desk, with a person's client."""
    level = LEVELS[stage.difficulty]
    length = int(level.hours * HOUR)
    start = stage.moment(length, hours=level.between)
    principal = stage.someone(Role.BREAK_GLASS)
    desk = stage.address(stage.someone(Role.HUMAN, Role.ADMIN))
    token = stage.open(principal, start, desk, length=max(length, HOUR))
    teams = stage.rng.choice(len(stage.estate.teams), min(level.teams, len(stage.estate.teams)), replace=False)
    pool = [i for i in stage.estate.secrets.tolist() if stage.estate.object_team[i] in teams]
    loot = stage.rng.choice(pool, min(level.reads, len(pool)), replace=False)
    stage.act(token, stage.spread(start + stage.soon(5), length, len(loot)), Action.READ, loot)
    return principal, loot
