"""The most that others had: nobody is excused by what they did themselves."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.rate.trawl import Most
from pipeline.core.clock import DAY_US

ANA, BEN, EVA = (np.array([key], dtype=np.uint64) for key in (2**63 + 1, 7, 8))


def test_only_others_count() -> None:
    """Of three the two largest are remembered; each is held to the largest but its own."""
    most, everybody = Most(), np.concatenate([ANA, BEN, EVA])
    assert most.of_others(everybody, 0).tolist() == [0, 0, 0]
    most.learn(everybody, np.array([3.0, 2.0, 1.0]), 0)
    assert most.of_others(everybody, 0).tolist() == [2, 3, 3]
    most.learn(EVA, np.array([5.0]), 0)
    assert most.of_others(everybody, 0).tolist() == [5, 5, 3]


def test_the_same_one_again_is_one() -> None:
    """Whoever does more and more is not two people; less later takes nothing back."""
    most = Most()
    for had in (1.0, 2.0, 4.0, 3.0):
        most.learn(ANA, np.array([had]), 0)
    assert most.of_others(ANA, 0).tolist() == [0]
    assert most.of_others(BEN, 0).tolist() == [4]


def test_it_halves_in_a_month_and_goes_on_from_a_checkpoint() -> None:
    """Thirty days on it counts half, from a snapshot as well; one of nothing is nothing."""
    most = Most()
    most.learn(ANA, np.array([4.0]), 0)
    again = Most()
    again.restore(most.snapshot())
    assert again.of_others(BEN, 30 * DAY_US)[0] == pytest.approx(2)
    again.restore(Most().snapshot())
    assert again.of_others(BEN, 30 * DAY_US).tolist() == [0]
