"""Somebody makes certificates that no role would give: with an authority's own key, or past the limits of a role."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import HOUR, MINUTE

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage


class Level(NamedTuple):
    """What is asked for, how often, and by whom. Without a name: of roles of other teams."""

    action: Action
    times: int
    by: Role
    name: str = ""


LEVELS = {
    "easy": Level(Action.CA_EXPORT, 1, Role.ADMIN, "root"),
    "medium": Level(Action.CA_EXPORT, 1, Role.ADMIN, "intermediate"),
    "hard": Level(Action.SIGN_VERBATIM, 2, Role.ADMIN),
    "near": Level(Action.ISSUE, 1, Role.HUMAN),
}


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """The names asked for are hashed in the log: what is seen is which way they were asked for."""
    level = LEVELS[stage.difficulty]
    start = stage.moment(HOUR, hours=(8, 19))
    principal = stage.someone(level.by)
    team = int(stage.estate.principals["team"][principal])
    others = [f"{name}-tls" for index, name in enumerate(stage.estate.teams) if index != team]
    names = [level.name] if level.name else stage.rng.choice(others, min(level.times, len(others)), replace=False)
    what = np.array([stage.estate.intern("pki/", str(name)) for name in names])
    stage.act(stage.token(principal, start, HOUR), stage.spread(start, 20 * MINUTE, len(what)), level.action, what)
    return principal, what
