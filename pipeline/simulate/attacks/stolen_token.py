"""A stolen token or AppRole is used from elsewhere, for what its owner reads anyway, about once an hour."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.simulate import network
from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import HOUR, SECOND

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage


class Level(NamedTuple):
    """From where, and whether with another client."""

    place: str
    own_client: bool


LEVELS = {
    "easy": Level("outside", False),
    "medium": Level("rack", True),
    "hard": Level("vpn", True),
    "near": Level("same", True),
}
HOURS = 8


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """Half of the time the token itself was taken, half of the time the secret id: then there is a log-in first."""
    level = LEVELS[stage.difficulty]
    start = stage.moment(HOURS * HOUR)
    principal = stage.someone(Role.MACHINE)
    ip = _from(stage, level.place, principal)
    agent = int(stage.estate.principals["agent"][principal]) if level.own_client else stage.agent("ci")
    taken = stage.rng.random() < 0.5
    token = (
        stage.token(principal, start, HOURS * HOUR)
        if taken
        else stage.open(principal, start - stage.soon(3), ip, agent)
    )
    loot = stage.own(principal)[:3]
    when = start + (np.arange(HOURS) * HOUR) + (stage.rng.random(HOURS) * 0.6 * HOUR).astype(np.int64)
    for at in when.tolist():
        pace = np.cumsum(stage.rng.lognormal(np.log(0.4), 0.6, len(loot)) * SECOND).astype(np.int64)
        stage.act(token, at + pace, Action.READ, loot, ip=ip, agent=agent)
    return principal, loot


def _from(stage: Stage, place: str, principal: int) -> int:
    zone = int(stage.estate.principals["zone"][principal])
    if place == "outside":
        return stage.outside()
    if place == "rack":
        zone = network.MACHINES + ((len(stage.estate.teams) * 4 + int(stage.rng.integers(4, 40))) << 8)
    elif place == "vpn":
        zone = network.VPN + (int(stage.rng.integers(0, 4)) << 8)
    return int(network.hosts(stage.rng, np.array([zone]))[0])
