"""Somebody walks the tree: lists, reads that are refused, and guesses at names that are not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.simulate.actions import Action, Outcome
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import HOUR

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage


class Level(NamedTuple):
    """Per hour: lists, refused reads, guesses; and for how many hours."""

    lists: int
    refused: int
    guesses: int
    hours: int


LEVELS = {
    "easy": Level(25, 40, 15, 3),
    "medium": Level(12, 20, 8, 3),
    "hard": Level(5, 8, 3, 3),
    "near": Level(2, 2, 1, 3),
}


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """Folders in tree order, as a walk finds them."""
    level = LEVELS[stage.difficulty]
    start = stage.moment(level.hours * HOUR)
    principal = stage.someone(Role.POD, Role.MACHINE, Role.HUMAN)
    folders = np.array(sorted(stage.estate.children, key=lambda o: stage.estate.object_name[o]))
    seen = []
    for hour in range(level.hours):
        at = start + hour * HOUR
        token = stage.token(principal, at, HOUR)
        where = int(stage.rng.integers(0, max(1, len(folders) - level.lists)))
        walk = folders[where : where + level.lists]
        refused = stage.outcomes(len(walk), 0.5)
        stage.act(token, stage.spread(at, HOUR, len(walk)), Action.LIST, walk, outcome=refused)
        tried = stage.foreign(principal, level.refused, None)
        stage.act(token, stage.spread(at, HOUR, len(tried)), Action.READ, tried, outcome=Outcome.DENIED)
        guessed = stage.rng.choice(stage.estate.missing, level.guesses)
        stage.act(token, stage.spread(at, HOUR, len(guessed)), Action.READ, guessed, outcome=Outcome.NOT_FOUND)
        seen += [walk, tried]
    return principal, np.concatenate(seen)
