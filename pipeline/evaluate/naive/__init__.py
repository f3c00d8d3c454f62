"""What one would do without a suite: the methods that every figure of ours is set beside.

Each scores the days of principals as they go on and keeps the oddest; the allowance decides as it does for the suite.
Each is what a capable team would have after an afternoon: own history, kinds, weekends, and an allow-list that is right
by construction.

- rules: what published rule packs ask, with an exception for what a principal does every day.
- first_seen: new pairs of a principal with secrets, networks, acts and hours, by how rare such news is.
- z_score: counts of the day against those of the principal's own days.
- forest: Isolation Forest over the same days.
- random: any principal, as likely as any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.evaluate.naive.days import Days
from pipeline.evaluate.naive.first_seen import FirstSeen
from pipeline.evaluate.naive.method import Naive
from pipeline.evaluate.naive.rules import Rules
from pipeline.evaluate.naive.statistics import Forest, Random, ZScore
from pipeline.simulate.estate import Role

if TYPE_CHECKING:
    from pipeline.simulate import Plot

__all__ = ("Naive", "methods")

ALLOWED: Final = (Role.CI, Role.CRON, Role.SCANNER, Role.ROTATOR, Role.SYNC, Role.BACKUP)


def methods(plot: Plot, seed: int) -> list[Naive]:
    """All of them, with nothing remembered."""
    estate = plot.world.estate
    roles = estate.principals["role"]
    allowed = frozenset(estate.names[i] for i in np.flatnonzero(np.isin(roles, ALLOWED)).tolist())
    days = Days()
    return [
        Rules("rules", days), Rules("rules_allowed", days, allowed), ZScore("z_score", days),
        FirstSeen("first_seen", days), FirstSeen("first_seen_allowed", days, allowed),
        Forest("forest", days, seed % 2**31), Forest("forest_allowed", days, seed % 2**31, allowed),
        Random("random", days, seed),
    ]  # fmt: skip
