"""What the group says of partitions reaches the line in order, and who leaves in order waits for the line."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any

from pipeline.sources.kafka.listener import Moves


def moves(wait_seconds: float = 5) -> Moves:
    return Moves(asyncio.sleep, wait_seconds)


def run(what: Coroutine[Any, Any, None]) -> None:
    asyncio.run(what)


def test_what_comes_is_told_once() -> None:
    """Partitions that came are told to the line once, and count as under way until it is done with them."""
    some = moves()
    assert some.take() is None
    run(some.on_partitions_assigned({"a", "b"}))
    assert some.waiting
    assert some.take() == (set(), {"a", "b"}, False)
    assert some.take() is None
    assert some.waiting
    some.done()
    assert not some.waiting


def test_who_leaves_waits_for_the_commit() -> None:
    """The broker is told that a partition is free only after the line has acted on it."""
    some, left = moves(), threading.Event()

    def leave() -> None:
        run(some.on_partitions_revoked({"a"}))
        left.set()

    thread = threading.Thread(target=leave)
    thread.start()
    while (moved := some.take()) is None:
        time.sleep(0.01)
    assert moved == ({"a"}, set(), False)
    assert not left.wait(0.2)
    some.done()
    assert left.wait(5)
    thread.join()


def test_waiting_has_an_end() -> None:
    """A line that does not answer, or is being closed, holds the group up for a limited time only."""
    some = moves(wait_seconds=0.1)
    run(some.on_partitions_revoked({"a"}))
    assert some.take() == ({"a"}, set(), False)
    closing = moves(wait_seconds=60)
    closing.closing = True
    run(closing.on_partitions_revoked({"a"}))


def test_what_is_taken_away_does_not_wait() -> None:
    """A partition that is lost may be another's already: it is told as such, at once."""
    some = moves(wait_seconds=60)
    run(some.on_partitions_lost({"a"}))
    assert some.take() == ({"a"}, set(), True)


def test_come_and_gone_before_anybody_looked() -> None:
    """A partition that left before the line heard of it is not told of; one that left and came back is told as both."""
    some = moves(wait_seconds=0)
    run(some.on_partitions_assigned({"a", "b"}))
    run(some.on_partitions_revoked({"a"}))
    assert some.take() == (set(), {"b"}, False)
    run(some.on_partitions_revoked({"b"}))
    run(some.on_partitions_assigned({"b"}))
    assert some.take() == ({"b"}, {"b"}, False)
