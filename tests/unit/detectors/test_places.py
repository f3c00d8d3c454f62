"""From where somebody comes: what is strange to one is known by its own past, what it is worth by its kind's."""

from __future__ import annotations

import numpy as np
import polars as pl

from detectors.dormancy.places import Places
from detectors.dormancy.rhythm import Present
from pipeline.core.clock import DAY_US, HOUR_US
from pipeline.core.model import Window
from pipeline.core.schema import INTEGRITY, TIME, WINDOW, conform, empty

START_US = 20_000 * DAY_US


def came(hour: int, *visits: tuple[str, str]) -> tuple[Present, Window]:
    """A closed window with people from zones; the log of one whose zone is empty tells no address."""
    usual = {"principal_type": "human", "outcome": "success", "n": 1, "operation": "read"}
    rows = [{**usual, "principal": f"oidc/{who}", "zone": zone or None} for who, zone in sorted(visits)]
    at_us = START_US + hour * HOUR_US
    time = pl.lit(at_us).cast(TIME)
    frame = conform(pl.DataFrame(rows, schema_overrides={"zone": pl.String}), WINDOW)
    window = Window(
        at_us, at_us + HOUR_US, frame.with_columns(time=time, last_time=time), empty(INTEGRITY), None, closed=True
    )
    present = Present.of(window)
    assert present is not None
    return present, window


def learn(places: Places, hour: int, *visits: tuple[str, str], back: bool = False) -> None:
    present, window = came(hour, *visits)
    places.learn(present, np.full(len(present.keys), back), window)


def strange(places: Places, hour: int, *visits: tuple[str, str]) -> list[bool]:
    present, window = came(hour, *visits)
    return [bool(odd) for odd in places.strange(present, window.start_us)]


def test_only_a_network_that_is_none_of_ones_own_is_strange() -> None:
    """Another address of a known network is not, nor one of two at once, nor what a log without addresses says."""
    places = Places(100)
    learn(places, 0, ("ana", "203.0.113.0/24"), ("ben", "198.51.100.0/24"), ("eva", ""))
    assert strange(places, 1, ("ana", "192.0.2.0/24"), ("ben", "198.51.7.0/24")) == [True, False]
    assert strange(places, 1, ("ana", "192.0.2.0/24"), ("ana", "203.0.113.0/24")) == [False]
    assert strange(places, 1, ("ana", ""), ("eva", "192.0.2.0/24"), ("new", "192.0.2.0/24")) == [False, False, False]


def test_who_has_just_come_back_teaches_nothing() -> None:
    """What it does in its first hours may be somebody else's doing: the network stays strange."""
    places = Places(100)
    learn(places, 0, ("ana", "203.0.113.0/24"))
    learn(places, 1, ("ana", "192.0.2.0/24"), back=True)
    assert strange(places, 2, ("ana", "192.0.2.0/24")) == [True]
    learn(places, 2, ("ana", "192.0.2.0/24"))
    assert strange(places, 3, ("ana", "192.0.2.0/24")) == [False]


def test_where_people_move_about_it_is_worth_little() -> None:
    """The weight falls with how often those of a kind come from nowhere they were; from a checkpoint it goes on."""
    still, moving = Places(100), Places(100)
    for hour in range(160):
        learn(still, hour, ("ana", "203.0.113.0/24"))
        learn(moving, hour, ("ana", f"10.{hour % 250}.0.0/24"), (f"ben{hour // 4}", f"172.{hour % 250}.0.0/24"))
    present, window = came(160, ("ana", "192.0.2.0/24"))
    weight = float(still.weight(present.kinds, window.start_us)[0])
    assert weight > 1.3
    assert float(moving.weight(present.kinds, window.start_us)[0]) < weight - 0.5
    again = Places(100)
    again.restore(still.snapshot())
    assert float(again.weight(present.kinds, window.start_us)[0]) == weight
    assert again.strange(present, window.start_us).all()
    again.restore({})
    assert float(again.weight(present.kinds, window.start_us)[0]) == weight
