"""Hours of the last day that a person was there in, whatever a window's length."""

from __future__ import annotations

import polars as pl
import pytest

from detectors.dormancy.rhythm import Present
from detectors.dormancy.unrest import Unrest
from pipeline.core.clock import DAY_US, HOUR_US
from pipeline.core.model import Window
from pipeline.core.schema import INTEGRITY, TIME, WINDOW, conform, empty

START_US = 20_000 * DAY_US
MINUTE_US = HOUR_US // 60


def there(unrest: Unrest, start_us: int, length_us: int, *people: str) -> dict[str, tuple[int, bool]]:
    """A closed window with these people, learned: their hours of the last day, and of whom it is told."""
    rows = [
        {"principal": f"oidc/{who}", "principal_type": "human", "outcome": "success", "n": 1, "operation": "read"}
        for who in sorted(people)
    ]
    time = pl.lit(start_us).cast(TIME)
    frame = conform(pl.DataFrame(rows).with_columns(time=time, last_time=time), WINDOW)
    window = Window(start_us, start_us + length_us, frame, empty(INTEGRITY), None, closed=True)
    present = Present.of(window)
    assert present is not None
    hours = unrest.of(present, window)
    odd = unrest.odd(hours)
    unrest.learn(hours, odd)
    names = [name.removeprefix("oidc/") for name in present.frame["principal"]]
    return {who: (int(count), bool(told)) for who, count, told in zip(names, hours.count, odd, strict=True)}


@pytest.mark.parametrize("minutes", [15, 60, 120, 360])
def test_hours_are_counted_whatever_the_window(minutes: int) -> None:
    """Always there: 24 hours after a day. Half a day on, half off: 12."""
    unrest, length = Unrest(100, 18), minutes * MINUTE_US
    for i in range(3 * DAY_US // length):
        at = START_US + i * length
        half = ["half"] if at % DAY_US < DAY_US // 2 else []
        last = there(unrest, at, length, "always", *half)
    assert last["always"][0] == 24
    assert there(unrest, START_US + 3 * DAY_US, DAY_US // 2, "half")["half"][0] == 12


def test_it_is_told_once_in_four_weeks() -> None:
    """When the eighteenth hour comes; not again while it goes on; once more after a month of rest."""
    unrest = Unrest(100, 18)
    there(unrest, START_US, HOUR_US, "eve", "bob")
    told = []
    for day in (4, 40):
        for hour in range(30):
            if there(unrest, START_US + day * DAY_US + hour * HOUR_US, HOUR_US, "eve")["eve"][1]:
                told.append((day, hour))
    assert told == [(4, 17), (40, 17)]


@pytest.mark.parametrize(("restless", "told"), [(["ida"], True), (["ida", "kim"], False)])
def test_what_two_people_do_while_that_is_learned_is_no_news(restless: list[str], told: bool) -> None:
    """One alone silences nobody, and one who was told does not count."""
    unrest = Unrest(100, 18)
    for hour in range(20):
        there(unrest, START_US + hour * HOUR_US, HOUR_US, *restless)
    for number, who in enumerate(("bob", "eve")):
        at = START_US + (5 + number) * DAY_US
        assert any(there(unrest, at + hour * HOUR_US, HOUR_US, who)[who][1] for hour in range(20)) is told


def test_a_memory_from_before_there_was_this_one() -> None:
    """It begins anew; restored from its own snapshot it goes on."""
    old, new = Unrest(100, 18), Unrest(100, 18)
    new.restore({})
    for hour in range(17):
        there(old, START_US + hour * HOUR_US, HOUR_US, "eve")
    new.restore(old.snapshot())
    assert there(new, START_US + 17 * HOUR_US, HOUR_US, "eve")["eve"][0] == 18
