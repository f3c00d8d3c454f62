"""Somebody finds a planted secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.actions import Action, Outcome
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import MINUTE, SECOND
from pipeline.simulate.scheduled import folder

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage

LEVELS = {"easy": "look and read", "medium": "read", "hard": "metadata", "near": "refused"}


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """By a list and a read, a read alone, a look at the metadata, or a read that is refused."""
    how = LEVELS[stage.difficulty]
    start = stage.moment(10 * MINUTE)
    principal = stage.someone(Role.HUMAN, Role.MACHINE, Role.POD)
    token = stage.token(principal, start, 10 * MINUTE)
    bait = int(stage.rng.choice(stage.estate.canaries))
    if how == "look and read":
        stage.act(token, start, Action.LIST, folder(stage.estate, bait))
    at = start + int(stage.rng.uniform(2, 200) * SECOND)
    action = Action.META if how == "metadata" else Action.READ
    stage.act(token, at, action, bait, outcome=Outcome.DENIED if how == "refused" else Outcome.OK)
    return principal, np.array([bait])
