"""Tails of the negative binomial against scipy's own distribution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import nbinom

from detectors import _tails
from detectors._usual import common_mode

COUNTS = np.array([0.0, 1.0, 3.0, 20.0, 400.0])


@pytest.mark.parametrize(("mean", "size"), [(0.1, 0.5), (3.0, 2.0), (120.0, 0.7), (50.0, 1e6)])
def test_mid_p_matches_the_law(mean: float, size: float) -> None:
    """Both tails are P(beyond) + P(there)/2."""
    law = nbinom(size, size / (size + mean))
    means, sizes = np.full(5, mean), np.full(5, size)
    up = np.maximum(law.sf(COUNTS) + law.pmf(COUNTS) / 2, _tails.TINY)
    down = np.maximum(law.cdf(COUNTS) - law.pmf(COUNTS) / 2, _tails.TINY)
    np.testing.assert_allclose(_tails.upper(COUNTS, means, sizes), up, rtol=1e-6, atol=1e-14)
    np.testing.assert_allclose(_tails.lower(COUNTS, means, sizes), down, rtol=1e-6, atol=1e-14)


@pytest.mark.parametrize(("mean", "size"), [(0.1, 0.5), (6.1, 5.0), (1234.0, 0.7)])
@pytest.mark.parametrize("share", [0.5, 0.95, 0.999])
def test_quantile_matches_the_law(mean: float, size: float, share: float) -> None:
    """The count not exceeded with a probability."""
    assert _tails.quantile(share, mean, size) == int(nbinom.ppf(share, size, size / (size + mean)))


def test_only_what_is_asked_is_computed() -> None:
    """Rows not asked about are 1, the others exact."""
    asked = np.array([True, False, False, True, False])
    means, sizes = np.full(5, 3.0), np.full(5, 2.0)
    p = _tails.upper_where(asked, COUNTS, means, sizes)
    assert p[~asked].tolist() == [1.0, 1.0, 1.0]
    assert p[asked].tolist() == _tails.upper(COUNTS, means, sizes)[asked].tolist()


def test_scores_keep_the_order_of_surprises() -> None:
    """A greater surprise has a greater score, and no score reaches 1."""
    scores = [_tails.score(s) for s in (-3.0, 0.0, 6.0, 7.0, 40.0, 300.0)]
    assert scores == sorted(scores)
    assert scores[0] == 0.0
    assert scores[2] == 0.5
    assert scores[-1] < 1.0


def test_impossible_counts_stay_finite() -> None:
    """A count beyond all probability has the least one, not zero and not nan."""
    p = _tails.upper(np.array([1e9]), np.array([1e-3]), np.array([0.5]))
    assert p.tolist() == [_tails.TINY]


def test_a_group_shares_its_median_jump() -> None:
    """Four who jump together excuse each other; three do not, and one among four excuses nobody."""
    groups = np.array([1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3], dtype=np.uint64)
    jumps = np.array([8.0, 10.0, 12.0, 9.0, 8.0, 8.0, 8.0, 90.0, 1.0, 1.1, 0.5])
    shared = common_mode(groups, jumps)
    assert shared[:4].tolist() == [9.5] * 4
    assert shared[4:7].tolist() == [1.0] * 3
    assert np.allclose(shared[7:], 1.05)
