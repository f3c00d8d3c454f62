"""The sync operator starts from nothing: it lists and reads everything it may see, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.actions import Action
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import HOUR, SECOND

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """A new pod of the operator, at any hour."""
    estate = stage.estate
    start = stage.moment(HOUR)
    principal = stage.someone(Role.SYNC)
    prod = int(estate.principals["cluster"][principal]) == 0
    what = np.array([i for i in estate.secrets.tolist() if (estate.object_env[i] == 0) == prod])
    folders = np.array([o for o in sorted(estate.children) if (estate.object_env[o] == 0) == prod][:50])
    token = stage.open(principal, start, length=24 * HOUR)
    pace = np.cumsum(stage.rng.lognormal(np.log(0.05), 0.6, len(folders) + len(what)) * SECOND).astype(np.int64)
    stage.act(token, start + SECOND + pace[: len(folders)], Action.LIST, folders)
    stage.act(token, start + SECOND + pace[len(folders) :], Action.READ, what)
    return principal, what
