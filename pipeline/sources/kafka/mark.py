"""How a partition is known again: by its cluster, its topic's id, and the records last read of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import SourceError

if TYPE_CHECKING:
    from pipeline.core.model import Position

Digests = Sequence[tuple[int, bytes]]  # offset, SHA-256 of the value


@dataclass(frozen=True, slots=True)
class Mark:
    """State of a position. `tail_sha256` is over the records of [tail_first, tail_end), uncommitted ones left out."""

    cluster: str = ""
    topic_id: str = ""
    leader_epoch: int = -1
    tail_first: int = 0
    tail_end: int = 0
    tail_sha256: str = ""

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


def seal(records: Digests) -> str:
    """One digest over the offsets and values of records."""
    whole = hashlib.sha256()
    for offset, digest in records:
        whole.update(offset.to_bytes(8, "big") + digest)
    return whole.hexdigest()


def earlier(positions: Mapping[tuple[str, str], Position], identity: Identity) -> Position | None:
    """The furthest position of an earlier life of the same stream."""
    others = [p for (stream, name), p in positions.items() if stream == identity.stream and name != identity.partition]
    return max(others, key=lambda position: position.offset, default=None)
