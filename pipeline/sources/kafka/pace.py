"""How far ahead of the line is fetched: a partition that it is behind with rests until half of its share is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from pipeline.sources.kafka.partition import Partition


class Pace:
    """Pauses and resumes `partitions` of the consumer; `turn` guards them, and is notified when something is taken."""

    def __init__(
        self, consumer: Any, turn: threading.Condition, partitions: Mapping[Any, Partition], buffer_bytes: int
    ) -> None:
        self._consumer, self._turn, self._partitions, self._bytes = consumer, turn, partitions, buffer_bytes

    def hold(self) -> None:
        """Stop fetching a partition that the line is behind with, and go on with one that it has caught up with."""
        share = self._share
        with self._turn:
            for tp, partition in self._partitions.items():
                if not partition.placed:
                    continue
                if partition.paused and partition.buffered <= share // 2:
                    self._consumer.resume(tp)
                    partition.paused = False
                elif not partition.paused and partition.buffered > share:
                    self._consumer.pause(tp)
                    partition.paused = True

    @property
    def full(self) -> bool:
        """Whether nothing may be fetched. The client would then sleep, whatever is taken meanwhile."""
        with self._turn:
            return bool(self._partitions) and all(partition.paused for partition in self._partitions.values())

    def wait_for_room(self, seconds: float) -> None:
        """Until a partition may go on, or so long."""
        half = self._share // 2
        with self._turn:
            self._turn.wait_for(lambda: any(one.buffered <= half for one in self._partitions.values()), seconds)

    @property
    def _share(self) -> int:
        return max(self._bytes // max(len(self._partitions), 1), 1)
