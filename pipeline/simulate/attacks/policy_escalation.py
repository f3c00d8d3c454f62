"""An operator widens a policy, hangs it on a role, logs in as that role and reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import HOUR, MINUTE

if TYPE_CHECKING:
    import numpy as np

    from pipeline.simulate.stage import Stage

LEVELS = {
    "easy": (12, 6 * MINUTE),
    "medium": (6, 10 * MINUTE),
    "hard": (3, 10 * MINUTE),
    "near": (1, 5 * HOUR),
}  # reads, within


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """In working hours, when operators change policies anyway. To blame: the operator."""
    reads, length = LEVELS[stage.difficulty]
    start = stage.moment(length, hours=(9, 17), workday=True)
    operator = stage.someone(Role.ADMIN)
    role = stage.someone(Role.MACHINE)
    name = stage.estate.local[role]
    token = stage.token(operator, start, length)
    first, second, third = stage.spread(start, length // 5, 3).tolist()
    stage.act(token, first, Action.POLICY_WRITE, stage.system(name))
    stage.act(token, second, Action.ROLE_WRITE, stage.estate.intern("auth/approle/", name))
    stage.act(token, third, Action.SECRET_ID, stage.estate.intern("auth/approle/", name))
    ip, agent = stage.held(token)
    taken = stage.open(role, start + length // 4, ip, agent, HOUR)
    loot = stage.foreign(role, reads)
    stage.act(taken, stage.spread(start + length // 4 + stage.soon(3), length * 3 // 4, len(loot)), Action.READ, loot)
    return operator, loot
