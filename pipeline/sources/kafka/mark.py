"""How a partition is known again: by its cluster, its topic's id, and the records last read of it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.core.errors import SourceError

if TYPE_CHECKING:
    from pipeline.core.model import Position

_DIGITS: Final = 16
Digests = Sequence[tuple[int, bytes]]  # offset, SHA-256 of the value


@dataclass(frozen=True, slots=True)
class Mark:
    """State of a position. `tail` are digests of the records in [tail_first, tail_end), uncommitted ones left out."""

    cluster: str = ""
    topic_id: str = ""
    leader_epoch: int = -1
    tail_first: int = 0
    tail_end: int = 0
    tail: str = ""

    def state(self) -> dict[str, Any]:
        """For RawBatch.state and Position.state."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Identity:
    """One life of one partition."""

    cluster: str
    topic_id: str
    topic: str
    number: int

    @property
    def stream(self) -> str:
        """The name in `source`."""
        return f"{self.topic}/{self.number}"

    @property
    def partition(self) -> str:
        """The key of its position: a topic that was deleted and made again is another one."""
        return f"{self.cluster}/{self.topic_id}/{self.number}"


def mark_of(position: Position) -> Mark:
    """The mark in a position's state. Raises SourceError when the state is of another make."""
    mark = Mark(**{name: position.state[name] for name in Mark.__dataclass_fields__ if name in position.state})
    wrong = [name for name, value in asdict(mark).items() if type(value) is not type(getattr(Mark(), name))]
    if wrong:
        raise SourceError(f"position of {position.stream}: state {', '.join(wrong)} cannot be read")
    return mark


def packed(records: Digests) -> str:
    """Offsets and the beginnings of their digests as one text."""
    return " ".join(f"{offset}:{digest.hex()[:_DIGITS]}" for offset, digest in records)


def changed(mark: Mark, from_offset: int, found: Digests) -> int | None:
    """The first offset, from `from_offset` on, at which `found` is not what the mark remembers; None when all is.

    What was not unpacked when it was read is not known: it may be unpacked now.
    """
    known = [(int(offset), digest) for offset, _, digest in (word.partition(":") for word in mark.tail.split())]
    left = [item for item in known if item[0] >= from_offset]
    right = [(offset, digest.hex()[:_DIGITS]) for offset, digest in found if offset >= from_offset]
    for before, now in itertools.zip_longest(left, right, fillvalue=(mark.tail_end, "")):
        if before[0] != now[0] or (before[1] and before[1] != now[1]):
            return min(before[0], now[0])
    return None


def earlier(positions: Mapping[tuple[str, str], Position], identity: Identity) -> Position | None:
    """The furthest position of an earlier life of the same stream."""
    others = [p for (stream, name), p in positions.items() if stream == identity.stream and name != identity.partition]
    return max(others, key=lambda position: position.offset, default=None)
