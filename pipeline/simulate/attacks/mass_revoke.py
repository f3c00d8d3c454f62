"""Leases and tokens of others are revoked in bulk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import MINUTE

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage

LEVELS = {"easy": (200, True), "medium": (60, True), "hard": (15, False), "near": (4, False)}  # accessors, a prefix too


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """Accessors of tokens that are alive then; their owners are not modelled as noticing."""
    count, prefix = LEVELS[stage.difficulty]
    start = stage.moment(30 * MINUTE)
    principal = stage.someone(Role.ADMIN)
    token = stage.token(principal, start, 30 * MINUTE)
    table = stage.world.sessions.ordinary
    alive = np.flatnonzero((table["start"] < start) & (table["end"] > start))
    for at, victim in zip(
        stage.spread(start, 20 * MINUTE, count).tolist(), stage.rng.choice(alive, count).tolist(), strict=True
    ):
        stage.act(token, at, Action.REVOKE_ACCESSOR, stage.itself, issued=victim)
    if prefix:
        stage.act(token, start + 20 * MINUTE + stage.soon(60), Action.LEASE_PREFIX, stage.system("database/creds/"))
    return principal, np.zeros(0, np.int64)
