"""Where partitions that came are to be read from, as the line has said, until the pump acts on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.core.model import Position
    from pipeline.sources.kafka.partition import Partition


class Places:
    """A partition that has left and come back is another one: what was said of the first holds no more for it, since
    others may have read on from there in between.
    """

    def __init__(self) -> None:
        self._said: dict[Any, tuple[Partition, Mapping[tuple[str, str], Position]]] = {}

    def say(self, positions: Mapping[tuple[str, str], Position], come: Mapping[Any, Partition]) -> None:
        """Read these, as they came, from `positions`."""
        self._said |= {tp: (partition, positions) for tp, partition in come.items()}

    def due(
        self, partitions: Mapping[Any, Partition]
    ) -> dict[Any, tuple[Partition, Mapping[tuple[str, str], Position]]]:
        """What holds for those that are here now; the rest is forgotten."""
        self._said = {tp: said for tp, said in self._said.items() if partitions.get(tp) is said[0]}
        return dict(self._said)

    def begun(self, tp: Any, partition: Partition) -> None:
        """It is read from there."""
        if tp in self._said and self._said[tp][0] is partition:
            del self._said[tp]
