"""Tails of the negative binomial, the law of a count whose rate is itself uncertain.

Mid-p values are used: an ordinary p-value of a discrete law is too large, and mid-p values combine validly
(Rubin-Delanchy, Heard, Lawson, JASA 2019). A count X has mean `mean` and size `size` (variance mean + mean²/size).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import betainc  # type: ignore[import-untyped]

Floats = npt.NDArray[np.float64]

TINY: Final = 1e-300  # below this a probability says nothing more
_HALF_SCORE: Final = 6.0  # a surprise of 1e-6 scores one half


def upper(count: Floats, mean: Floats, size: Floats) -> Floats:
    """P(X > count) + P(X = count)/2, row by row; at least TINY."""
    share = mean / (size + mean)
    reached = np.where(count >= 1, betainc(np.maximum(count, 1), size, share), 1.0)
    passed = betainc(count + 1, size, share)
    tail: Floats = np.maximum((reached + passed) / 2, TINY)
    return tail


def upper_where(asked: npt.NDArray[np.bool_], count: Floats, mean: Floats, size: Floats) -> Floats:
    """`upper` for the rows asked about, 1 for the others: most counts are too ordinary to be worth an integral."""
    p = np.ones(len(count))
    p[asked] = upper(count[asked], mean[asked], size[asked])
    return p


def lower(count: Floats, mean: Floats, size: Floats) -> Floats:
    """P(X < count) + P(X = count)/2, row by row; at least TINY."""
    rest = size / (size + mean)
    below = np.where(count >= 1, betainc(size, np.maximum(count, 1), rest), 0.0)
    upto = betainc(size, count + 1, rest)
    tail: Floats = np.maximum((below + upto) / 2, TINY)
    return tail


def quantile(share: float, mean: float, size: float) -> int:
    """The smallest count that is not exceeded with probability `share`."""
    low, high = -1, 1
    while betainc(size, high + 1, size / (size + mean)) < share:
        high *= 2
    while high - low > 1:
        middle = (low + high) // 2
        if betainc(size, middle + 1, size / (size + mean)) < share:
            low = middle
        else:
            high = middle
    return high


def surprise(p: Floats) -> Floats:
    """-log10 of a probability."""
    return -np.log10(np.maximum(p, TINY))


def score(surprise_: float) -> float:
    """A surprise as a score in [0, 1): 1e-6 is one half, and no two different surprises tie."""
    return max(0.0, surprise_) / (max(0.0, surprise_) + _HALF_SCORE)
