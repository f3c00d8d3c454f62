"""The line's share of the partitions: where it stands in each, and what it keeps of those that go or are to come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import handover

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import polars as pl

    from pipeline.core.model import Frames, Position
    from pipeline.core.ports import Stateful
    from pipeline.handover import Moved, Place


class Shares:
    """`here` are the positions read up to, `newest` the last event time of each stream (µs).

    `stateful` gives the parts whose memory moves with a partition.
    """

    def __init__(self, positions: Sequence[Position], stateful: Callable[[], Mapping[str, Stateful]]) -> None:
        self.here = {(p.stream, p.partition): p for p in positions}
        self.newest: dict[str, int] = {}
        self._leaving: dict[Place, Position] = {}  # of partitions given up since the last commit
        self._set_aside: dict[Place, Moved] = {}
        self._stateful = stateful

    def positions(self) -> tuple[Position, ...]:
        """Those that the commit which begins now is to move."""
        return (*self.here.values(), *self._leaving.values())

    def committed(self) -> None:
        """That commit has begun: what left with it is no longer moved."""
        self._leaving = {}

    def set_aside(self) -> dict[str, pl.DataFrame]:
        """What whoever comes for a partition is to find, as frames of a commit's states."""
        return handover.packed(self._set_aside)

    def resume(self, states: Mapping[str, Frames]) -> None:
        """Set aside what the last commit had set aside, and what it had in place."""
        self._set_aside = handover.unpacked(states.get("set_aside", {}))
        for place, offset in handover.offsets(states.get("line", {})).items():
            self._put_aside(place, offset)

    def give_up(self, place: Place) -> bool:
        """Set aside what there is of a partition; False where nothing was read of it."""
        position = self.here.pop(place, None)
        if position is None:
            return False
        self._leaving[place] = position
        self._put_aside(place, position.offset)
        return True

    def take_over(self, position: Position, states: Mapping[str, Frames] | None) -> None:
        """Put back what belongs to a partition that comes, if it fits its position. `states` None: it was ours."""
        place = position.stream, position.partition
        mine = self._set_aside.pop(place, None)
        theirs = mine if states is None else handover.find(states, place)
        if theirs is not None and theirs.offset == position.offset:
            self.newest |= handover.put_back(self._stateful(), theirs)
        self.here[place] = position

    def forget(self, others: Iterable[Place]) -> None:
        """Nobody comes for these any more."""
        for place in others:
            self._set_aside.pop(place, None)

    def _put_aside(self, place: Place, offset: int) -> None:
        self._set_aside[place] = handover.take_out(self._stateful(), place[0], offset, self.newest)
        self.newest.pop(place[0], None)
