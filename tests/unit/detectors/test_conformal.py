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
    """A level comes true as often as it says, within a factor of two, where the law itself is off by up to 60.

    Beyond what was counted, of a tail thinner than the law's, it comes true more seldom than that.
    """
    shares = realised(taught(scale), scale)
    assert all(0.5 <= share <= 2.0 for share in shares[: 3 if scale >= 1 else 2])
    assert all(share <= 4.0 for share in shares[:5])


def test_what_never_came_is_worth_what_the_law_says_however_long_it_did_not() -> None:
    """A million ordinary counts say nothing of a tail that none of them came to, and neither do ten odd ones."""
    conformal = Conformal()
    for hour in range(500):
        conformal.learn(KEYS, np.zeros(len(KEYS)), hour * HOUR)
    asked = np.array([1.0, 4.0, 7.0, 30.0])
    assert conformal.worth(KEYS[:4], asked, 500 * HOUR).tolist() == asked.tolist()
    for hour in range(500, 510):
        conformal.learn(KEYS, np.where(np.arange(len(KEYS)) == 3, 9.0, 0.0), hour * HOUR)
    assert conformal.worth(KEYS[:4], asked, 510 * HOUR).tolist() == asked.tolist()


@pytest.mark.parametrize("times", [30, 60])
def test_more_than_the_last_edge_is_the_heaviest_tail_there_may_be(times: int) -> None:
    """Forty and more beyond it: the next is as rare as these were, and hardly rarer where it is larger still."""
    conformal = Conformal()
    for hour in range(times):
        odd = np.where(np.arange(len(KEYS)) < 1 + hour % 2, 20.0, 0.0)
        conformal.learn(KEYS, odd, hour * HOUR)
    worth = conformal.worth(KEYS[:2], np.array([20.0, 30.0]), times * HOUR)
    assert 3.0 < worth[0] < 4.5
    assert worth[0] < worth[1] < worth[0] + 1.2


def test_after_a_leap_of_the_clock_and_back_it_forgets_as_before() -> None:
    """An hour dated twenty years ahead costs what was learned, and nothing after that."""
    conformal, month = taught(1.8, 10), 30 * 24 * HOUR
    conformal.learn(KEYS, np.zeros(len(KEYS)), 240 * month)
    conformal.learn(KEYS, np.zeros(len(KEYS)), 10 * HOUR)
    for later in (month, 2 * month):
        conformal.learn(KEYS[:1], np.zeros(1), 10 * HOUR + later)
    assert conformal.snapshot("rate")["rate.tails"]["value"].sum() == pytest.approx(len(KEYS) / 2, rel=0.01)


def test_of_a_large_window_it_is_not_always_the_same_keys_that_count() -> None:
    """Every other name of the heavier kind of two: over many windows half of what is learned is theirs."""
    conformal, keys = Conformal(), np.full(2 * SAMPLE, 7, np.uint64)
    heavy = np.where(np.arange(len(keys)) % 2 == 0, 3.0, 0.0)
    for hour in range(64):
        conformal.learn(keys, heavy, hour * HOUR)
    tails = conformal.snapshot("rate")["rate.tails"]
    odd, all_ = tails.filter(column=30)["value"].sum(), tails["value"].sum()
    assert 0.02 < odd / all_ < 0.08  # of 4,096 of one cause 208 count: in about every other window


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
    assert conformal.snapshot("rate")["rate.checked"]["n"].to_list() == [SAMPLE, *[0] * len(LEVELS)]


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
    others = np.full(500, 9, np.uint64)
    for _ in range(20):
        conformal.learn(others, np.where(np.arange(500) < 3, 1.0, 0.0), 10 * HOUR)
    theirs = conformal.worth(others[:1], np.array([2.0]), 10 * HOUR)
    assert conformal.worth(few, np.full(5, 4.0), 10 * HOUR).tolist() == [4.0] * 5
    assert theirs[0] > 2.0
    assert conformal.worth(KEYS[:1], np.array([4.0]), 10 * HOUR).tolist() == kept.tolist()
    again = Conformal()
    again.restore("rate", conformal.snapshot("rate"))
    assert len(again.snapshot("rate")["rate.tails"]["key"].unique()) == 2
    assert again.worth(KEYS[:1], np.array([4.0]), 10 * HOUR).tolist() == kept.tolist()
    assert again.worth(others[:1], np.array([2.0]), 10 * HOUR).tolist() == theirs.tolist()
