"""How far ahead a topic is fetched."""

from __future__ import annotations

import threading

from pipeline.sources.kafka.mark import Identity
from pipeline.sources.kafka.pace import Pace
from pipeline.sources.kafka.partition import Bounds, Partition


class Asked:
    """What a consumer was asked to rest from, in place of the client."""

    def __init__(self) -> None:
        self.resting: set[int] = set()
        self.pause, self.resume = self.resting.add, self.resting.discard


def partition(number: int, buffered: int) -> Partition:
    made = Partition(Identity("cluster", "id", "audit", number), "delete", 0)
    made.begin(None, None, Bounds(0, 10))
    made.buffered = buffered
    return made


def test_what_the_line_is_behind_with_rests_until_half_is_taken() -> None:
    """Each for itself, by its share; one that is not placed yet is left alone."""
    asked, parts = Asked(), {n: partition(n, size) for n, size in enumerate((60, 40, 51))}
    parts[3] = Partition(Identity("cluster", "id", "audit", 3), "delete", 0)
    pace = Pace(asked, threading.Condition(), parts, 200)
    pace.hold()
    assert asked.resting == {0, 2}
    parts[0].buffered, parts[2].buffered = 26, 25
    pace.hold()
    assert asked.resting == {0}
    assert not pace.full


def test_who_waits_for_room_goes_on_when_something_is_taken() -> None:
    """Not before, and not long after; where there is room already, at once."""
    turn, parts = threading.Condition(), {n: partition(n, 200) for n in (0, 1)}
    pace = Pace(Asked(), turn, parts, 200)
    pace.hold()
    assert pace.full
    woken = threading.Event()

    def wait() -> None:
        pace.wait_for_room(60)
        woken.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not woken.wait(0.2)
    with turn:
        parts[1].buffered = 50
        turn.notify_all()
    waiting.join(10)
    assert woken.is_set()
    pace.wait_for_room(60)
