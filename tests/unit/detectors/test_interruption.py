"""Pauses of a store, minute by minute."""

from __future__ import annotations

from detectors.interruption.minutes import Pause, Store, packed, unpacked

DAY = 24 * 60


def told(minutes: list[tuple[int, int]], store: Store | None = None, per_minute: int = 40) -> list[Pause]:
    """Pauses of a store that answers so often in each of the minutes [from, to)."""
    store = store or Store()
    ended = [store.step(at, per_minute, 1, 1e-6, 2) for low, high in minutes for at in range(low, high)]
    return [pause for pause in ended if pause is not None]


def test_a_pause_is_told_with_what_was_missing_in_it() -> None:
    """Five minutes at forty a minute are two hundred; the log-ins of the ten minutes after it are counted."""
    (pause,) = told([(0, 100), (105, 120)])
    assert (pause.start, pause.end, pause.expected) == (100, 105, 200.0)
    assert (pause.usual, pause.entered) == (10.0, 10)


def test_a_pause_that_is_usual_at_that_hour_is_told_once() -> None:
    """A restart every night is news once; one twice as long is news again, and so is one at another hour."""
    nights = [(0, DAY), (DAY + 5, 2 * DAY), (2 * DAY + 6, 3 * DAY), (3 * DAY + 10, 3 * DAY + 300)]
    assert [pause.start // DAY for pause in told([*nights, (3 * DAY + 305, 3 * DAY + 400)])] == [1, 3, 3]


def test_nothing_is_told_before_an_hour_is_known() -> None:
    """What is usual must be known first."""
    assert told([(0, 59), (70, 120)]) == []
    assert len(told([(0, 60), (70, 120)])) == 1


def test_a_store_that_often_pauses_is_quiet() -> None:
    """Pauses like those of the hour before are how this store is."""
    often = [(at, at + 16) for at in range(0, 20 * 20, 20)]
    assert told([(0, 1), *often], per_minute=400)[1:] == []


def test_what_is_remembered_is_kept_whole() -> None:
    """A pause whose log-ins are still counted is told by whoever goes on from the snapshot."""
    store = Store()
    assert told([(0, 100), (105, 110)], store) == []
    again = unpacked(packed({"vault": store, "new": Store()}))
    assert again == {"vault": store, "new": Store()}
    assert len(told([(110, 120)], again["vault"])) == 1
