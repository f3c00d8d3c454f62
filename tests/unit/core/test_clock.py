"""How often a question that costs something is asked."""

from __future__ import annotations

import itertools

import pytest

from pipeline.core.clock import Spaced

SECOND = 1_000_000_000


class Clock:
    ns = 0

    def __call__(self) -> int:
        return self.ns


@pytest.mark.parametrize(
    ("cost", "longest", "apart"), [(0.0, 5.0, 1.0), (0.2, 5.0, 2.0), (3.0, 5.0, 5.0), (3.0, 60.0, 30.0)]
)
def test_it_takes_a_tenth_of_the_time(cost: float, longest: float, apart: float) -> None:
    """It is due at once, then a second after each answer, or later where that takes long, to a limit."""
    clock, asked = Clock(), []
    spaced = Spaced(clock, longest)
    assert spaced.due
    for _ in range(20_000):
        if spaced.due:
            asked.append(clock.ns)
            with spaced.asking():
                clock.ns += round(cost * SECOND)
        clock.ns += SECOND // 100
    between = [(later - sooner) / SECOND - cost for sooner, later in itertools.pairwise(asked)]
    assert between == pytest.approx([apart] * len(between), abs=0.02)
    assert len(between) > 3


def test_what_raises_is_due_again() -> None:
    """A question that was not answered does not wait."""
    spaced = Spaced(Clock())
    with pytest.raises(ValueError, match="no answer"), spaced.asking():
        raise ValueError("no answer")
    assert spaced.due
