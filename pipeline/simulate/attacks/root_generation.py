"""Key shares are brought together, a root token comes out, and is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.rows import rows
from pipeline.simulate.scenario import MINUTE, SECOND

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage

LEVELS = {"easy": 20, "medium": 6, "hard": 1, "near": 0}  # reads with the root token


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """The shares come without a token, so nobody is named until the root token is used."""
    reads = LEVELS[stage.difficulty]
    start = stage.moment(40 * MINUTE)
    person = stage.someone(Role.ADMIN, Role.HUMAN)
    ip, agent = stage.address(person), int(stage.estate.principals["agent"][person])
    nobody = int(stage.estate.of_role(Role.NOBODY)[0])
    when = start + np.cumsum(stage.rng.uniform(20, 240, 4) * SECOND).astype(np.int64)
    actions = [Action.ROOT_ATTEMPT, *[Action.ROOT_UPDATE] * 3]
    stage.parts.append(rows(4, t=when, action=actions, principal=nobody, object=stage.system(), ip=ip, agent=agent))
    token = stage.mint("root", int(when[-1]), ("root",), ttl=0, place=(ip, agent))
    loot = stage.rng.choice(stage.estate.secrets, reads, replace=False)
    stage.act(token, stage.spread(int(when[-1]) + MINUTE, 20 * MINUTE, reads), Action.READ, loot)
    return stage.estate.names.index("root") if reads else nobody, loot
