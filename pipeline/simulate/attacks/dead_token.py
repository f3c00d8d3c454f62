"""A client whose token has ended asks to renew it, without a pause, and never logs in anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.simulate.actions import Action, Outcome
from pipeline.simulate.estate import Role
from pipeline.simulate.rows import rows
from pipeline.simulate.scenario import HOUR, MINUTE

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage


class Level(NamedTuple):
    """Tries, and within how long. In the field it was a thousand a second."""

    tries: int
    length: int


LEVELS = {
    "easy": Level(6_000, 10 * MINUTE),
    "medium": Level(2_400, 40 * MINUTE),
    "hard": Level(800, 2 * HOUR),
    "near": Level(60, 4 * HOUR),
}


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """Nobody is named for a token that is not known. To blame: nobody, from the address of the token's last use."""
    level = LEVELS[stage.difficulty]
    start = stage.moment(level.length)
    client = stage.someone(Role.MACHINE, Role.CRON)
    token = _ended(stage, client, start)
    ip, agent = stage.held(token)
    nobody = int(stage.estate.of_role(Role.NOBODY)[0])
    when = stage.spread(start, level.length, level.tries)
    stage.parts.append(
        rows(
            level.tries, t=when, action=Action.RENEW, outcome=Outcome.BAD_TOKEN, principal=nobody, issued=token,
            object=stage.itself, ip=ip, agent=agent,
        )
    )  # fmt: skip
    return nobody, np.zeros(0, np.int64)


def _ended(stage: Stage, client: int, at: int) -> int:
    """The client's last token that had ended by then; one of an hour ago where there is none."""
    table = stage.world.sessions.ordinary
    past = np.flatnonzero((table["principal"] == client) & (table["end"] < at))
    return int(past[-1]) if len(past) else stage.open(client, at - 2 * HOUR, length=HOUR)
