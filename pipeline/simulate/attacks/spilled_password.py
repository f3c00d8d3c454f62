"""A database is set up with an address that does not work, and the error repeats the password in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.simulate.actions import Action, Outcome
from pipeline.simulate.estate import Role
from pipeline.simulate.rows import rows
from pipeline.simulate.scenario import MINUTE

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage


class Level(NamedTuple):
    """How often it is tried, and how plainly the error says it (`spills.FORMS`, from 1 on)."""

    tries: int
    form: int


LEVELS = {"easy": Level(5, 1), "medium": Level(1, 1), "hard": Level(2, 2), "near": Level(1, 3)}


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """No attacker is needed: whoever reads logs has the password from then on."""
    level = LEVELS[stage.difficulty]
    start = stage.moment(30 * MINUTE, hours=(8, 19))
    operator = stage.someone(Role.ADMIN)
    token = stage.token(operator, start, 30 * MINUTE)
    ip, agent = stage.held(token)
    what = stage.estate.intern("database/", f"{stage.rng.choice(stage.estate.teams)}-main")
    stage.parts.append(
        rows(
            level.tries, t=stage.spread(start, 20 * MINUTE, level.tries), action=Action.DATABASE,
            outcome=Outcome.FAILED, principal=operator, session=token, object=what, version=level.form, ip=ip,
            agent=agent,
        )
    )  # fmt: skip
    return operator, np.array([what])
