"""A wrapping token is opened by somebody else on its way; the one who waits for it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.simulate.actions import Action, Outcome
from pipeline.simulate.estate import Role
from pipeline.simulate.rows import rows
from pipeline.simulate.scenario import MINUTE, SECOND

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage


class Level(NamedTuple):
    """From outside or from a person's desk, after a look at it, and whether the rightful one then fails."""

    outside: bool
    looks: bool
    fails: bool


LEVELS = {
    "easy": Level(True, True, True),
    "medium": Level(False, True, True),
    "hard": Level(False, False, True),
    "near": Level(False, False, False),
}


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """A build wraps a secret for a machine. To blame: the wrapping token, since nobody else is named."""
    level = LEVELS[stage.difficulty]
    start = stage.moment(5 * MINUTE, hours=(8, 20))
    build, machine, person = stage.someone(Role.CI), stage.someone(Role.MACHINE), stage.someone(Role.HUMAN)
    parent = stage.token(build, start, 5 * MINUTE)
    what = int(stage.rng.choice(stage.own(build)))
    ip = stage.outside() if level.outside else stage.address(person)
    agent = int(stage.estate.principals["agent"][machine])
    wrapping = stage.mint("wrapping", start, ("response-wrapping",), ttl=120, place=(ip, agent), parent=parent)
    stage.act(parent, start, Action.WRAP_READ, what, issued=wrapping)
    nobody = int(stage.estate.of_role(Role.NOBODY)[0])
    at = start + int(stage.rng.uniform(2, 20) * SECOND)
    bare = {"principal": nobody, "object": stage.system()}
    if level.looks:
        stage.parts.append(rows(1, t=at, action=Action.WRAP_LOOKUP, issued=wrapping, ip=ip, agent=agent, **bare))
    stage.act(wrapping, at + stage.soon(2), Action.UNWRAP, stage.system())
    if level.fails:
        late = {"outcome": Outcome.NO_TOKEN, "t": at + int(stage.rng.uniform(10, 60) * SECOND)}
        stage.parts.append(rows(1, action=Action.UNWRAP, ip=stage.address(machine), agent=agent, **late, **bare))
    return stage.estate.names.index("wrapping"), np.array([what])
