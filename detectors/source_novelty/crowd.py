"""Who goes the same way at the same time: a gateway's new address, a deployment. Nobody among them is odd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from detectors._memory import unique
from detectors._runs import packed, unpacked

if TYPE_CHECKING:
    from detectors._usual import Bools, Floats
    from pipeline.core.coded import Numbers

_ODD: Final = 3.0  # surprise of those who are not seen to go about day by day


def crowded(who: Numbers, zone: Numbers, surprise: Floats, movers: int) -> Bools:
    """Which of them are in a network to which `movers` odd ones came. `who` and `zone` are numbers of People."""
    odd = surprise >= _ODD
    pairs = unique(packed(zone[odd], who[odd]))
    zones, count = np.unique(unpacked(pairs)[0], return_counts=True)
    found: Bools = odd & np.isin(zone, zones[count >= movers])
    return found
