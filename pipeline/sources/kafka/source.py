"""The source: batches of one partition or of several at a time, from what the pump has fetched."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pipeline.core.model import Handover
from pipeline.sources.kafka.share import Share

if TYPE_CHECKING:
    from pipeline.core.clock import Clock
    from pipeline.core.model import Position, RawBatch
    from pipeline.sources.kafka.options import Own
    from pipeline.sources.kafka.partition import Partition
    from pipeline.sources.kafka.pump import Pump

T = TypeVar("T")

_WITHOUT_PARTITIONS_SECONDS: Final = 10.0  # two rounds of a cooperative rebalance take less


class Kafka:
    """Partitions of topics, as the group gives them. `poll` tells of moves before anything else."""

    def __init__(self, config: Own, pump: Pump, clock: Clock, *, follow: bool) -> None:
        self._config, self._pump, self._clock, self._follow = config, pump, clock, follow
        self._handed: dict[Any, Partition] | None = None  # what came, of the move that the line is being told of
        self._waits: tuple[str, float] = ("", 0.0)  # the partition that is waited for, since when
        self._empty_since = time.monotonic()
        self._share = Share(config.batch_bytes)

    def poll(self, limit: int | None, timeout: float, progress: Mapping[str, int]) -> RawBatch | Handover | None:
        """See ports.Source. A Handover wants `handed_over` once it is acted on."""
        return self._wait(timeout, progress, lambda ready: ready[0].take(limit, self._clock()))

    def poll_all(
        self, limit: int | None, timeout: float, progress: Mapping[str, int]
    ) -> Sequence[RawBatch] | Handover | None:
        """See ports.BroadSource."""
        self._share.learn(progress)
        return self._wait(timeout, progress, lambda ready: self._take_all(ready, limit))

    def _take_all(self, ready: Sequence[Partition], limit: int | None) -> list[RawBatch]:
        sizes = self._share.sizes([partition.identity.stream for partition in ready])
        taken: list[RawBatch] = []
        for partition in ready:
            left = None if limit is None else limit - sum(map(len, taken))
            if (size := sizes.get(partition.identity.stream)) is not None and left != 0:
                taken.append(partition.take(left, self._clock(), size))
                self._share.took(taken[-1].stream, len(taken[-1].data))
        return taken

    def _wait(
        self, timeout: float, progress: Mapping[str, int], take: Callable[[list[Partition]], T]
    ) -> T | Handover | None:
        """What `take` makes of the partitions that have something, the furthest behind first; a move comes before."""
        deadline = time.monotonic() + timeout
        pump = self._pump
        with pump.turn:
            while True:
                if pump.failure is not None:
                    raise pump.failure
                if (moved := self._moved()) is not None:
                    return moved
                if ready := self._ready(progress):
                    taken = take(ready)
                    pump.turn.notify_all()  # there may be room for more
                    return taken
                rest = deadline - time.monotonic()
                if rest <= 0:
                    return None
                pump.turn.wait(min(rest, 0.05))

    def handed_over(self, positions: Mapping[tuple[str, str], Position]) -> None:
        """What the last Handover told is acted on: partitions that came are read from these positions."""
        if self._handed is not None:
            self._pump.place(positions, self._handed)
            self._handed = None
        self._pump.moves.done()

    def rewind(self, batch: RawBatch, consumed: int) -> None:
        """See ports.Source. What is given back of a partition that has left is its next owner's."""
        with self._pump.turn:
            for partition in self._pump.partitions.values():
                if partition.placed and partition.identity.partition == batch.partition:
                    partition.rewind(batch, consumed)

    def streams(self) -> Mapping[str, bool]:
        """See ports.Source. A followed partition counts as ended while it is silent."""
        now = time.monotonic()
        with self._pump.turn:
            return {p.identity.stream: self._silent(p, now) for p in self._pump.partitions.values()}

    @property
    def every_stream(self) -> tuple[str, ...]:
        """The partitions of the topics, whoever of the group has them."""
        return self._pump.every_stream

    @property
    def exhausted(self) -> bool:
        """See ports.Source."""
        if self._follow or self._pump.moves.waiting or not self._pump.joined:
            self._empty_since = time.monotonic()
            return False
        with self._pump.turn:
            partitions = list(self._pump.partitions.values())
            if not partitions:
                return time.monotonic() - self._empty_since > _WITHOUT_PARTITIONS_SECONDS
            return all(partition.ended for partition in partitions)

    def lag_entries(self) -> Mapping[str, int]:
        """Per stream, the offsets known to be there and not handed out."""
        with self._pump.turn:
            return {p.identity.stream: p.lag for p in self._pump.partitions.values() if p.placed}

    def commit(self, positions: Sequence[Position]) -> None:
        """Tell the group how far this reader is. It is never asked for it again."""
        with self._pump.turn:
            places = {p.identity.partition: tp for tp, p in self._pump.partitions.items() if p.placed}
        self._pump.tell({places[p.partition]: p.offset for p in positions if p.partition in places})

    def close(self) -> None:
        """Leave the group."""
        self._pump.close()

    def _moved(self) -> Handover | None:
        if self._handed is not None:
            return None
        moved = self._pump.moves.take()
        if moved is None:
            return None
        gone, come, lost = moved
        partitions, known = self._pump.partitions, self._pump.left
        self._handed = {tp: partitions[tp] for tp in sorted(come) if tp in partitions}
        left = [known[tp] for tp in sorted(gone) if tp in known]
        came = [partition.identity for partition in self._handed.values()]
        return Handover([(i.stream, i.partition) for i in left], [(i.stream, i.partition) for i in came], lost)

    def _ready(self, progress: Mapping[str, int]) -> list[Partition]:
        """The partitions that have something, the furthest behind first. One that is further behind is waited for."""
        if self._handed is not None:
            return []
        now = time.monotonic()
        live = [p for p in self._pump.partitions.values() if p.has_news or not self._silent(p, now)]
        order = sorted(live, key=lambda p: (progress.get(p.identity.stream, -(1 << 62)), p.identity.stream))
        ready = [p for p in order if p.placed and p.has_news]
        if ready and order[0] is not ready[0] and self._worth_waiting(order[0], now):
            return []
        return ready

    def _worth_waiting(self, partition: Partition, now: float) -> bool:
        name = partition.identity.partition
        if self._waits[0] != name:
            self._waits = name, now
        return now - self._waits[1] < self._config.stall_seconds

    def _silent(self, partition: Partition, now: float) -> bool:
        """Whether a partition holds no other back for now.

        What came to several at one moment is fetched one after the other: when one speaks again after a silence of all,
        the others are given as long as it.
        """
        if not self._follow:
            return partition.ended
        quiet = now - max(partition.last_news, self._pump.roused)
        read = partition.read_to >= partition.end  # if not, a transaction is open, or the broker takes its time
        silent = quiet > (self._config.quiet_seconds if read else self._config.stall_seconds)
        return partition.placed and not partition.has_news and silent
