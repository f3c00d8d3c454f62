"""The source: what was received and lies in the spools, a stream for each listener."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from pipeline.core.errors import SourceError
from pipeline.core.model import Heard

if TYPE_CHECKING:
    from pipeline.core.clock import Clock
    from pipeline.core.model import Position, RawBatch
    from pipeline.sources.listen.feed import Feed
    from pipeline.sources.listen.listener import Listener
    from pipeline.sources.listen.receiver import Receiver

_NEVER: Final = -(1 << 62)


class Listen:
    """Listeners side by side. It is never exhausted: a run that listens ends when it is stopped."""

    exhausted = False

    def __init__(self, receiver: Receiver, feeds: Mapping[str, Feed], clock: Clock) -> None:
        self._receiver, self._clock = receiver, clock
        self._feeds = dict(feeds)
        self._listeners: dict[str, Listener] = {one.address.name: one for one in receiver.listeners}

    def poll(self, limit: int | None, timeout: float, progress: Mapping[str, int]) -> RawBatch | None:
        """See ports.Source."""
        taken = self._poll(limit, timeout, progress, 1)
        return taken[0] if taken else None

    def poll_all(self, limit: int | None, timeout: float, progress: Mapping[str, int]) -> Sequence[RawBatch] | None:
        """See ports.BroadSource. With what is the last of one stream for now come others'."""
        return self._poll(limit, timeout, progress, len(self._feeds)) or None

    def _poll(self, limit: int | None, timeout: float, progress: Mapping[str, int], most: int) -> list[RawBatch]:
        deadline = time.monotonic() + timeout
        while True:
            if self._receiver.failure is not None:
                raise self._receiver.failure
            self._receiver.news.clear()
            if taken := self._take(limit, progress, most):
                return taken
            if (rest := deadline - time.monotonic()) <= 0:
                return []
            self._receiver.news.wait(rest)

    def _take(self, limit: int | None, progress: Mapping[str, int], most: int) -> list[RawBatch]:
        """Batches of the streams that are furthest behind. What is handed out is on the disk: a commit may not know
        more than the spool will after a power cut.
        """
        order = sorted(self._feeds.values(), key=lambda feed: (progress.get(feed.stream, _NEVER), feed.stream))
        taken: list[RawBatch] = []
        try:
            for feed in filter(lambda feed: feed.has_news, order):
                left = None if limit is None else limit - sum(map(len, taken))
                if left is not None and left <= 0:
                    break
                taken.append(feed.take(left, self._clock()))
                self._listeners[feed.stream].spool.sync()
                if feed.behind or len(taken) == most:
                    break
        except OSError as error:
            raise SourceError(f"the spool cannot be read or written: {error.strerror}") from error
        return taken

    def rewind(self, batch: RawBatch, consumed: int) -> None:
        """See ports.Source."""
        self._feeds[batch.stream].rewind(batch, consumed)

    def streams(self) -> Mapping[str, bool]:
        """See ports.Source."""
        return {name: not feed.behind for name, feed in self._feeds.items()}

    def heard(self) -> Mapping[str, Heard]:
        """See ports.Hearing."""
        return {
            name: Heard(
                connections=len(one.connections), accepted=one.counts.accepted, refused=one.counts.refused,
                received_bytes=one.counts.received, dropped=one.dropped.total, spool_bytes=one.spool.waiting,
                full=one.full,
            )
            for name, one in self._listeners.items()
        }  # fmt: skip

    def commit(self, positions: Sequence[Position]) -> None:
        """What is committed may leave the disk."""
        for position in positions:
            listener = self._listeners.get(position.stream)
            if listener is not None and position.partition == listener.spool.identity:
                listener.spool.committed(position.offset)
                if listener.full:
                    self._receiver.wake()

    def close(self) -> None:
        """Take in what has come, for the next run, and hang up."""
        self._receiver.close()
