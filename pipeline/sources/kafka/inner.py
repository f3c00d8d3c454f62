"""What this source reaches for inside the client (3.0.12): there is no other way to see it, or to mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.core.errors import SourceError
from pipeline.sources.kafka.client import Fetcher, KafkaConsumer, KafkaError
from pipeline.sources.kafka.facts import topic_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

# ruff: noqa: SLF001


def connected(options: Mapping[str, Any]) -> Any:
    """A client that has reached its broker. Raises SourceError, also where it is not the client this knows."""
    try:
        consumer = KafkaConsumer(**options)
    except KafkaError as error:
        raise SourceError(f"Kafka does not answer: {type(error).__name__}") from None
    if not isinstance(consumer._fetcher, Fetcher):
        raise SourceError("this version of kafka-python is not one that can be read with")
    return consumer


class Inner:
    """The inside of one client. Called by the thread that owns it."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def split_by(self, batches: type[Any]) -> None:
        """Let `batches` take the place of what hands out single records. See splitter."""
        self._consumer._fetcher.PartitionRecords = batches

    @property
    def sleep(self) -> Callable[[float], Awaitable[None]]:
        """The sleep of the client's own loop."""
        pause: Callable[[float], Awaitable[None]] = self._consumer._net.sleep
        return pause

    @property
    def joined(self) -> bool:
        """Whether the group has taken this process in and is at rest."""
        return self._consumer._coordinator.generation_if_stable() is not None

    @property
    def calm(self) -> bool:
        """Whether the group wants nothing of this process: if it does, the client needs its time."""
        return self.joined and not self._consumer._coordinator.need_rejoin()

    def topic_id(self, topic: str) -> str:
        """As the newest metadata has it; "" where there is none."""
        return topic_id(self._consumer._cluster.topic_id(topic))

    def reached(self) -> dict[Any, int]:
        """Per partition how far the client is; `position()` would ask the network."""
        known = self._consumer._subscription.assignment
        return {tp: state.position.offset for tp, state in list(known.items()) if state.position is not None}

    def rejoin(self) -> None:
        """Finish a rejoin whose reason has gone while it was under way.

        The client forgets it otherwise, and with it its heartbeat: the group would drop us after a while.
        """
        group = self._consumer._coordinator
        if group.rebalance_in_progress() and not group.need_rejoin():
            group.request_rejoin()

    def unpark(self) -> None:
        """Let what was put by for a paused partition come back once the partition goes on; nothing stands in its way.

        The client brings it back only while it holds nothing else, and takes what is used up, or of a partition that is
        paused, for something: it then hands nothing out, fetches nothing, and sleeps.
        """
        fetcher = self._consumer._fetcher
        current = fetcher._next_partition_records
        if current and self._consumer._subscription.is_paused(current.topic_partition):
            fetcher._paused_partition_records[current.topic_partition] = current
        elif current:
            return
        fetcher._next_partition_records = None
