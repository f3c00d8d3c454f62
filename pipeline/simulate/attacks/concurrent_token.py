"""One token in two zones at once. Its owner works on; somebody else uses a copy within minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate import network
from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import MINUTE, SECOND

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage

LEVELS = {"easy": (12, "outside"), "medium": (8, "vpn"), "hard": (4, "vpn"), "near": (2, "same")}


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """Owner and thief read in turn, a few minutes apart."""
    uses, place = LEVELS[stage.difficulty]
    length = uses * 8 * MINUTE
    start = stage.moment(length)
    principal = stage.someone(Role.MACHINE)
    token = stage.token(principal, start, length)
    zone = {"vpn": network.VPN + 256 * int(stage.rng.integers(0, 4)), "same": int(stage.held(token)[0]) & ~255}.get(
        place
    )
    ip = stage.outside() if zone is None else int(network.hosts(stage.rng, np.array([zone]))[0])
    own = stage.own(principal)
    theirs = stage.spread(start, length, uses)
    stage.act(
        token,
        theirs - (stage.rng.uniform(20, 400, uses) * SECOND).astype(np.int64),
        Action.READ,
        stage.rng.choice(own, uses),
    )
    stage.act(token, theirs, Action.READ, stage.rng.choice(own, uses), ip=ip)
    return principal, own
