"""What a p-value is worth, learned from how often it came true."""

from __future__ import annotations

import numpy as np
import pytest

from detectors import _conformal
from detectors._conformal import LEVELS, SAMPLE, Conformal

HOUR = 3_600_000_000
KEYS = np.full(2_000, 7, np.uint64)


def taught(scale: float, windows: int = 150, seed: int = 1) -> Conformal:
    """One that has seen surprises `scale` times those of a law that holds: at 2, each decade is worth half of one."""
    rng, conformal = np.random.default_rng(seed), Conformal()
    for hour in range(windows):
        conformal.learn(KEYS, -np.log10(rng.random(len(KEYS))) * scale, hour * HOUR)
    return conformal


def realised(conformal: Conformal, scale: float) -> list[float]:
    """How often each of LEVELS comes true among surprises it has not seen, over its nominal share."""
    fresh = -np.log10(np.random.default_rng(2).random(1_000_000)) * scale
    worth = conformal.worth(np.full(len(fresh), 7, np.uint64), fresh, 0)
    return [float(np.mean(worth >= -np.log10(level)) / level) for level in LEVELS]


def test_what_nobody_has_seen_is_worth_what_the_law_says() -> None:
    """No history, no correction."""
    surprises = np.array([0.0, 0.5, 2.0, 7.0, 30.0])
    np.testing.assert_allclose(Conformal().worth(KEYS[:5], surprises, 0), surprises, atol=1e-9)


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.4, 1.8])
def test_a_law_that_is_wrong_in_the_tail_is_put_right(scale: float) -> None:
    """A level comes true as often as it says, within a factor of two, where the law itself is off by up to 60."""
    assert all(0.5 <= share <= 2.0 for share in realised(taught(scale), scale))


def test_the_tail_goes_on_where_nothing_was_seen() -> None:
    """Among 300,000 surprises none is worth more than 1e-6 by counting; by the tail's law one in 1e9 is told apart."""
    conformal = taught(1.5)
    worth = conformal.worth(KEYS[:3], np.array([6.0, 9.0, 13.5]), 0)
    assert np.all(np.diff(worth) > 0)
    np.testing.assert_allclose(worth, [4.0, 6.0, 9.0], rtol=0.25)


def test_one_hour_in_which_everybody_is_odd_changes_little() -> None:
    """A failover makes half the fleet odd at once; that is one cause, not a thousand."""
    conformal = taught(1.0)
    before = conformal.worth(KEYS[:1], np.array([5.0]), 0)[0]
    conformal.learn(KEYS, np.full(len(KEYS), 6.0), 150 * HOUR)
    assert before - conformal.worth(KEYS[:1], np.array([5.0]), 150 * HOUR)[0] < 1.7


def test_kinds_do_not_share_their_tails() -> None:
    """What people do says nothing of what jobs do."""
    conformal = taught(1.8)
    other = np.ones(1, np.uint64)
    assert conformal.worth(other, np.array([4.0]), 0)[0] == pytest.approx(4.0)
    assert conformal.worth(KEYS[:1], np.array([4.0]), 0)[0] < 3.0


def test_it_goes_on_from_a_snapshot() -> None:
    """The same worth, and the same count of what came true."""
    conformal, other = taught(1.4, 20), Conformal()
    other.restore("rate", conformal.snapshot("rate"))
    surprises = np.linspace(0, 12, 50)
    kinds = KEYS[:50]
    np.testing.assert_array_equal(other.worth(kinds, surprises, 0), conformal.worth(kinds, surprises, 0))
    assert other.snapshot("rate")["rate.checked"].equals(conformal.snapshot("rate")["rate.checked"])
    assert conformal.snapshot("rate")["rate.checked"]["n"][0] == 20 * len(KEYS)


def test_of_many_keys_some_are_learned_from() -> None:
    """All of a small window; of a large one a bounded share."""
    conformal = Conformal()
    conformal.learn(np.full(100 * SAMPLE, 7, np.uint64), np.zeros(100 * SAMPLE), 0)
    assert conformal.snapshot("rate")["rate.checked"]["n"].to_list() == [SAMPLE, 0, 0, 0]


def test_what_has_no_kind_is_believed_and_not_learned() -> None:
    """Kind 0: newcomers, who are judged by a law of their own."""
    conformal = taught(1.8, 10)
    nobody = np.zeros(3, np.uint64)
    conformal.learn(nobody, np.array([9.0, 9.0, 9.0]), 0)
    assert conformal.worth(nobody, np.array([1.0, 4.0, 9.0]), 0).tolist() == [1.0, 4.0, 9.0]
    assert conformal.snapshot("rate")["rate.checked"]["n"][0] == 10 * len(KEYS)


def test_of_too_many_kinds_the_one_that_showed_least_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded; what is forgotten is believed by its law again, and the others keep what they showed."""
    monkeypatch.setattr(_conformal, "_KINDS", 2)
    conformal = taught(1.8, 10)
    few = np.full(5, 8, np.uint64)
    conformal.learn(few, np.full(5, 3.0), 10 * HOUR)
    kept = conformal.worth(KEYS[:1], np.array([4.0]), 10 * HOUR)
    conformal.learn(np.full(50, 9, np.uint64), np.zeros(50), 10 * HOUR)
    assert conformal.worth(few, np.full(5, 4.0), 10 * HOUR).tolist() == [4.0] * 5
    assert conformal.worth(np.full(1, 9, np.uint64), np.array([4.0]), 10 * HOUR)[0] != 4.0
    assert conformal.worth(KEYS[:1], np.array([4.0]), 10 * HOUR).tolist() == kept.tolist()
    assert len(conformal.snapshot("rate")["rate.tails"]["key"].unique()) == 2
