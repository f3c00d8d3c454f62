"""Alerts that may still change: found again by what they group by, due when quiet, forgotten in time."""

from __future__ import annotations

from polars.testing import assert_frame_equal

from pipeline.routing.alert import Live
from pipeline.routing.book import Book
from pipeline.routing.config import Config

MINUTE = 60_000_000


def alert(uid: str, at_us: int, who: str = "approle/a") -> Live:
    return Live(
        uid=uid, kind="principal", key=who, group="", anchor_us=at_us, first_us=at_us, last_us=at_us, heard_us=at_us,
        principals=[who],
    )  # fmt: skip


def opened(book: Book, *alerts: Live) -> None:
    for one in alerts:
        book.add(one)
        book.wake(one)


def test_an_incident_finds_its_alert_within_the_window_also_when_it_is_done() -> None:
    """On either side of its beginning; not a day later, and not under another key."""
    config = Config()
    book, one = Book(config), alert("u", config.group_us)
    opened(book, one)
    for done in (False, True):
        if done:
            book.retire(one)
        assert book.find(("principal", "approle/a", ""), 1) is one
        assert book.find(("principal", "approle/a", ""), 2 * config.group_us - 1) is one
        assert book.find(("principal", "approle/a", ""), 2 * config.group_us) is None
        assert book.find(("principal", "approle/b", ""), config.group_us) is None


def test_what_is_quiet_is_due_and_what_is_done_is_forgotten() -> None:
    """An alert that spoke again meanwhile is taken early, and waits on when it is told to."""
    config = Config(quiet_minutes=10)
    book, one = Book(config), alert("u", 0)
    opened(book, one)
    assert book.due(10 * MINUTE - 1) is None
    one.heard_us = 5 * MINUTE
    assert book.due(10 * MINUTE) is one
    assert book.due_us(one) == 15 * MINUTE
    book.wait(one)
    assert book.due(10 * MINUTE) is None
    assert book.due(15 * MINUTE) is one
    book.retire(one)
    assert list(book.open_of("approle/a", but="")) == []
    book.forget(config.group_us - 1)
    assert book.find(("principal", "approle/a", ""), 1) is one
    book.forget(config.group_us)
    assert book.find(("principal", "approle/a", ""), 1) is None
    assert len(book.snapshot()) == 0


def test_too_many_are_told_and_those_done_first_are_forgotten_first() -> None:
    """At most `open_max` open ones before somebody has to close one, and as many done."""
    book = Book(Config(open_max=2))
    opened(book, *(alert(f"u{i}", i) for i in range(3)))
    assert book.crowded()
    for one in ("u0", "u1", "u2"):
        due = book.due()
        assert due is not None
        assert due.uid == one
        book.retire(due)
    book.forget(0)
    assert book.snapshot()["uid"].to_list() == ["u1", "u2"]


def test_a_restored_book_goes_on() -> None:
    """Open and done ones stay what they were."""
    book = Book(Config())
    done, live = alert("done", 0), alert("live", 1, "approle/b")
    opened(book, done, live)
    book.retire(done)
    again = Book(Config())
    again.restore(book.snapshot())
    assert_frame_equal(again.snapshot(), book.snapshot())
    assert [one.uid for one in again.open_of("approle/b", but="")] == ["live"]
    assert list(again.open_of("approle/a", but="")) == []
    first = again.due()
    assert first is not None
    assert first.uid == "live"
    assert again.due() is None


def test_alerts_of_an_earlier_version_are_gone_on_from() -> None:
    """What it did not remember of them is as if nothing had been said of it."""
    book, one = Book(Config()), alert("u", 0)
    one.titles = ["Policy written"]
    opened(book, one)
    again = Book(Config())
    again.restore(book.snapshot().drop("titles", "heard"))
    kept = again.find(("principal", "approle/a", ""), 1)
    assert kept is not None
    assert (kept.titles, kept.heard, kept.principals) == ([], 0, ["approle/a"])
