"""How much of the test time a harmless happening has its hands on: what alerts there would be without it, too.

What lasts (summer time, a region moved) touches half of the estate for weeks. How many alerts are told of those
principals says nothing by itself; how many more than of as many others in as long a time does.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.core.clock import HOUR_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.evaluate.twins import Happening

NONE: Final = "none"
BEFORE_US, AFTER_US = HOUR_US, 2 * HOUR_US  # an alert so long before and after a happening is still about it


def rarity(happenings: Sequence[Happening]) -> list[str]:
    """Their names, the rarest first: where several touch somebody at the same time, it is the first that counts."""
    often = Counter(h.name for h in happenings)
    return sorted(often, key=lambda name: (often[name], name))


def touched(happenings: Sequence[Happening], begin_us: int, end_us: int, principals: int) -> dict[str, float]:
    """Principal-days from `begin_us` to `end_us` by the name of what happened to a principal in the hour, or NONE."""
    names = rarity(happenings)
    ranks = {name: rank for rank, name in enumerate(names)}
    rows = {who: row for row, who in enumerate(sorted(set().union(*(h.parties for h in happenings))))}
    hours = max(0, (end_us - begin_us) // HOUR_US)
    first = np.full((len(rows), hours), len(names), np.int16)
    for one in happenings:
        low = max(0, (one.begin_us - begin_us) // HOUR_US)
        high = (one.end_us + AFTER_US + BEFORE_US - begin_us) // HOUR_US + 1
        if high > low:
            here = np.array([rows[who] for who in one.parties], np.intp)
            first[here, low:high] = np.minimum(first[here, low:high], ranks[one.name])
    counts = np.bincount(first.ravel(), minlength=len(names) + 1) / 24
    days = dict(zip(names, counts.tolist(), strict=False))
    return {name: spent for name, spent in days.items() if spent} | {
        NONE: max(0.0, principals * hours / 24 - sum(days.values()))
    }
