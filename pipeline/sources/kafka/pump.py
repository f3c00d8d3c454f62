"""The thread that owns the client: it fetches, seeks, pauses, commits, and keeps the group's heart beating.

It goes on while the line is busy or held up, so that a slow sink never costs the membership in the group.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pipeline.core.errors import KeytrailError, SourceError
from pipeline.sources.kafka.client import (
    FencedInstanceIdError,
    KafkaError,
    KafkaTimeoutError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetAndMetadata,
    OffsetOutOfRangeError,
    TopicPartition,
)
from pipeline.sources.kafka.inner import Inner, connected
from pipeline.sources.kafka.listener import Moves
from pipeline.sources.kafka.mark import Identity, earlier
from pipeline.sources.kafka.pace import Pace
from pipeline.sources.kafka.partition import Bounds, Partition
from pipeline.sources.kafka.places import Places
from pipeline.sources.kafka.records import chunk_of_records
from pipeline.sources.kafka.splitter import batches, works

if TYPE_CHECKING:
    from collections.abc import Collection

    from pipeline.core.model import Position
    from pipeline.sources.kafka.facts import Facts
    from pipeline.sources.kafka.options import Own

_POLL_MS: Final = 100
_RECORDS: Final = 5_000  # of the client's own, where batches are not split
_BACKOFF_SECONDS: Final = 0.2
_SOON_SECONDS: Final = 0.01
_CLOSE_MS: Final = 5_000


class Pump:
    """`partitions` is shared with the source, under `turn`, which is notified of news."""

    def __init__(
        self, config: Own, facts: Facts, topics: Sequence[str], options: Mapping[str, Any], *, follow: bool
    ) -> None:
        self.turn = threading.Condition()
        self.partitions: dict[Any, Partition] = {}
        self.left: dict[Any, Identity] = {}  # of partitions that were here and went
        self.failure: KeytrailError | None = None
        self.troubles: dict[str, int] = {}  # errors that were tried again, by name
        self.roused = 0.0  # when, after a silence, something came; monotonic s
        self._news = 0.0  # when anything came last
        self.ends: dict[Any, int] = {}  # where a run that ends stops, per partition
        self._config, self._facts, self._follow = config, facts, follow
        self._places = Places()
        self._commits: dict[Any, int] = {}
        self._stop = threading.Event()
        self._consumer = connected(options)
        self._inner = Inner(self._consumer)
        self._pace = Pace(self._consumer, self.turn, self.partitions, config.buffer_bytes)
        self._split = config.split_batches and works()
        if self._split:
            self._inner.split_by(batches(config.max_batch_bytes))
        self.moves = Moves(self._inner.sleep, config.handover_seconds)
        self.moves.on_come, self.moves.on_gone = self._come, self._gone
        self._topics = tuple(topics)
        self._thread = threading.Thread(target=self._run, name="keytrail-kafka", daemon=True)

    def start(self) -> None:
        """Learn where a run that ends will end, then join the group. Raises SourceError, with nothing left open."""
        try:
            if not self._follow:
                every = [TopicPartition(t, n) for t, numbers in self._facts.partitions.items() for n in numbers]
                self.ends = self._consumer.end_offsets(every)
            self._consumer.subscribe(list(self._topics), listener=self.moves)
        except KafkaError as error:
            self.close()
            raise SourceError(f"Kafka no longer answers: {type(error).__name__}") from None
        self._thread.start()

    @property
    def every_stream(self) -> tuple[str, ...]:
        """The partitions there were when this process started."""
        return tuple(f"{topic}/{n}" for topic, numbers in self._facts.partitions.items() for n in numbers)

    @property
    def joined(self) -> bool:
        """Whether the group has taken this process in and is at rest."""
        return self._inner.joined

    def place(self, positions: Mapping[tuple[str, str], Position], come: Mapping[Any, Partition]) -> None:
        """Read these partitions, as they were when they came, from where the lake says."""
        with self.turn:
            self._places.say(positions, come)

    def tell(self, offsets: Mapping[Any, int]) -> None:
        """Commit group offsets at the next opportunity; they only show how far this reader is."""
        with self.turn:
            self._commits |= offsets

    def close(self) -> None:
        """Leave the group and end the thread."""
        self.moves.closing = True
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            if self._commits:
                self._consumer.commit(self._offsets(), timeout_ms=_CLOSE_MS)
            self._consumer.close(autocommit=False, timeout_ms=_CLOSE_MS)
        except KafkaError as error:
            self._trouble(error)

    def _run(self) -> None:
        try:
            while not self._stop.is_set() and self.failure is None:
                self._turn_once()
        except Exception as error:  # noqa: BLE001  told to whoever polls: a source that silently stands still is worse
            self._fail(SourceError(f"the Kafka source failed: {type(error).__name__}: {_brief(error)}"))

    def _turn_once(self) -> None:
        """One round, and what the client has to complain of in it."""
        try:
            self._round()
        except NoOffsetForPartitionError:
            self._stop.wait(_SOON_SECONDS)  # a partition that came this very moment has no place yet
        except OffsetOutOfRangeError as error:
            self._again(dict.fromkeys(error.args[0]))
        except LogTruncationError as error:
            self._again({tp: place.offset if place else 0 for tp, place in error.divergent_offsets.items()})
        except FencedInstanceIdError:
            self._fail(SourceError("another process has joined the group under this worker's name"))
        except KafkaError as error:
            if not (getattr(error, "retriable", False) or isinstance(error, KafkaTimeoutError)):
                raise
            self._wait_after(error)

    def _again(self, lost: Mapping[Any, int | None]) -> None:
        try:
            self._lost_places(lost)
        except KafkaError as error:  # the next poll raises the same again, and it is tried again
            self._wait_after(error)

    def _wait_after(self, error: Exception) -> None:
        self._trouble(error)
        self._stop.wait(_BACKOFF_SECONDS)

    def _round(self) -> None:
        self._inner.rejoin()
        self._seek()
        self._pace.hold()
        self._inner.unpark()
        self._report()
        full = self._pace.full and self._inner.calm
        got = self._consumer.poll(timeout_ms=0 if full else _POLL_MS, max_records=1 if self._split else _RECORDS)
        self._take(got)
        if full:
            self._pace.wait_for_room(_POLL_MS / 1000)
        elif not got:
            self._look_around()

    def _take(self, got: Mapping[Any, Sequence[Any]]) -> None:
        now = time.monotonic()
        with self.turn:
            if got and now - self._news > self._config.quiet_seconds:
                self.roused = now
            self._news = now if got else self._news
            for tp, records in got.items():
                partition = self.partitions.get(tp)
                if partition is None or not partition.placed:
                    continue
                for chunk in records if self._split else [chunk_of_records(records)]:
                    if (back := partition.put(chunk)) is not None:
                        self._move(tp, back)
                        break
                partition.last_news = now
                partition.end = self._consumer.highwater(tp) or partition.end
            if got:
                self.turn.notify_all()

    def _seek(self) -> None:
        """Begin where the lake says, as far as the log still allows it."""
        with self.turn:
            places = self._places.due(self.partitions)
        if not places:
            return
        bounds = self._bounds(list(places))
        self._recreated()
        with self.turn:
            for tp, (came, positions) in places.items():
                if self.partitions.get(tp) is not came:
                    continue
                self._places.begun(tp, came)
                partition = self.partitions[tp] = self._partition(tp)
                identity = partition.identity
                here = positions.get((identity.stream, identity.partition))
                partition.end = bounds[tp].end
                self._move(tp, partition.begin(here, earlier(positions, identity), bounds[tp]))
            self.turn.notify_all()

    def _move(self, tp: Any, offset: int) -> None:
        """Read on from `offset`, if the partition is still ours; if not, its leaving is being told already."""
        try:
            self._consumer.seek(tp, offset)
            self._consumer.resume(tp)
        except (ValueError, KeyError) as error:
            self._trouble(error)
            return
        self.partitions[tp].paused = False
        self.partitions[tp].last_news = time.monotonic()

    def _bounds(self, partitions: Sequence[Any]) -> dict[Any, Bounds]:
        starts, ends = self._consumer.beginning_offsets(partitions), self._consumer.end_offsets(partitions)
        return {tp: Bounds(starts[tp], ends[tp]) for tp in partitions}

    def _lost_places(self, lost: Mapping[Any, int | None]) -> None:
        """The broker no longer has what was to be read next: say so, and go on where it can be gone on."""
        mine = [tp for tp in lost if tp in self.partitions]
        if self._recreated() or not mine:
            return
        bounds = self._bounds(mine)
        with self.turn:
            for tp in mine:
                if (partition := self.partitions.get(tp)) is not None:
                    self._move(tp, partition.lost_place(bounds[tp], lost[tp]))
            self.turn.notify_all()

    def _recreated(self) -> bool:
        """Topics that were deleted and made again under our eyes begin anew."""
        found = False
        for topic in self._topics:
            known, now = self._facts.topic_ids[topic], self._inner.topic_id(topic)
            if known and now and known != now:
                self._facts = self._facts.renewed(topic, now)
                self._anew(topic)
                found = True
        return found

    def _anew(self, topic: str) -> None:
        mine = [tp for tp, partition in self.partitions.items() if tp.topic == topic and partition.placed]
        bounds = self._bounds(mine)
        with self.turn:
            for tp in mine:
                if (old := self.partitions.get(tp)) is not None:
                    fresh = self.partitions[tp] = self._partition(tp)
                    self._move(tp, fresh.begin(None, old.reached, bounds[tp]))
            self.turn.notify_all()

    def _look_around(self) -> None:
        """Nothing came: see what was passed over, and whether topics are still the same."""
        self._recreated()
        with self.turn:
            reached = self._inner.reached()
            for tp, partition in self.partitions.items():
                if not partition.placed or tp not in reached:
                    continue
                if (back := partition.passed(reached[tp])) is not None:
                    self._move(tp, back)
            self.turn.notify_all()

    def _report(self) -> None:
        if self._commits:
            self._consumer.commit_async(self._offsets())

    def _offsets(self) -> dict[Any, Any]:
        with self.turn:
            commits, self._commits = self._commits, {}
        mine = self._consumer.assignment()
        return {tp: OffsetAndMetadata(offset, "", -1) for tp, offset in commits.items() if tp in mine}

    def _come(self, come: Collection[Any]) -> None:
        with self.turn:
            for tp in come:
                self._consumer.pause(tp)
                self._consumer.seek(tp, 0)
                self.partitions[tp] = self._partition(tp)

    def _gone(self, gone: Collection[Any]) -> None:
        with self.turn:
            for tp in gone:
                if (partition := self.partitions.pop(tp, None)) is not None:
                    self.left[tp] = partition.identity
                self._commits.pop(tp, None)
            self.turn.notify_all()

    def _partition(self, tp: Any) -> Partition:
        now = self._inner.topic_id(tp.topic)
        facts = self._facts = self._facts.renewed(tp.topic, now) if now else self._facts
        identity = Identity(facts.cluster, facts.topic_ids[tp.topic], tp.topic, tp.partition)
        partition = Partition(identity, facts.policies[tp.topic], self._config.check_records)
        if not self._follow:
            partition.until = self.ends.get(tp, 0)
        return partition

    def _trouble(self, error: Exception) -> None:
        name = type(error).__name__
        self.troubles[name] = self.troubles.get(name, 0) + 1

    def _fail(self, failure: KeytrailError) -> None:
        with self.turn:
            self.failure = failure
            self.turn.notify_all()


def _brief(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else ""
