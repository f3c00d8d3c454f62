"""Where partitions are read from: what was said of one that has left since holds no more."""

from __future__ import annotations

from pipeline.core.model import Position
from pipeline.sources.kafka.mark import Identity
from pipeline.sources.kafka.partition import PROVEN, Partition
from pipeline.sources.kafka.places import Places

NOWHERE: dict[tuple[str, str], Position] = {}
READ = {("audit/3", "cluster/topic-id/3"): Position("audit/3", "cluster/topic-id/3", 60)}


def came() -> Partition:
    return Partition(Identity("cluster", "topic-id", "audit", 3), PROVEN, 64)


def test_what_came_is_due_until_it_is_begun() -> None:
    """Once, and from where the line said last."""
    places, partition = Places(), came()
    places.say(NOWHERE, {3: partition})
    places.say(READ, {3: partition})
    assert places.due({3: partition}) == {3: (partition, READ)}
    places.begun(3, partition)
    assert places.due({3: partition}) == {}


def test_what_left_before_it_was_said_is_not_read_from_there_when_it_comes_back() -> None:
    """The line was slow; another worker has read on from nothing to 60 in the meantime."""
    places, first, again = Places(), came(), came()
    places.say(NOWHERE, {3: first})  # it has left already
    assert places.due({}) == {}
    assert places.due({3: again}) == {}
    places.say(NOWHERE, {3: first})  # it has left and come back already
    assert places.due({3: again}) == {}
    places.say(READ, {3: again})
    assert places.due({3: again}) == {3: (again, READ)}


def test_what_begins_late_does_not_end_what_was_said_of_the_next() -> None:
    """The pump was asking the broker while the partition left and came back."""
    places, first, again = Places(), came(), came()
    places.say(NOWHERE, {3: first})
    assert places.due({3: first})
    places.say(READ, {3: again})
    places.begun(3, first)
    assert places.due({3: again}) == {3: (again, READ)}
