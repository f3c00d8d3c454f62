"""What the group's coordinator says of partitions, kept until the line can act on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final

from pipeline.sources.kafka.client import AsyncConsumerRebalanceListener

_LOOK_SECONDS: Final = 0.02


class Moves(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """Called on the client's own loop. A partition that leaves in order waits for the commit of what was read of it."""

    def __init__(self, sleep: Callable[[float], Awaitable[None]], wait_seconds: float) -> None:
        self._sleep, self._wait_seconds = sleep, wait_seconds
        self._turn = threading.Lock()
        self._gone: set[Any] = set()
        self._come: set[Any] = set()
        self._lost = False
        self._rounds = 0  # moves handed to the line
        self._done = 0  # of these, done with
        self.on_gone: Callable[[Collection[Any]], None] = _nothing
        self.on_come: Callable[[Collection[Any]], None] = _nothing
        self.closing = False

    async def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        """Nothing is read of a new partition before the line has said where."""
        self.on_come(assigned)
        with self._turn:
            self._come |= set(assigned)

    async def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        """In order: the next owner begins when this returns."""
        self._leave(revoked, lost=False)
        deadline = time.monotonic() + self._wait_seconds
        while not self._settled() and not self.closing and time.monotonic() < deadline:
            await self._sleep(_LOOK_SECONDS)

    async def on_partitions_lost(self, lost: Collection[Any]) -> None:
        """Taken away: another may be reading already, and the lake decides whose commit counts."""
        self._leave(lost, lost=True)

    def take(self) -> tuple[set[Any], set[Any], bool] | None:
        """What has moved since the last time, or None."""
        with self._turn:
            if not self._gone and not self._come:
                return None
            moved = self._gone, self._come, self._lost
            self._gone, self._come, self._lost = set(), set(), False
            self._rounds += 1
            return moved

    def done(self) -> None:
        """The line has acted on what it took."""
        with self._turn:
            self._done = self._rounds

    @property
    def waiting(self) -> bool:
        """Whether something moved that the line has not yet acted on."""
        with self._turn:
            return bool(self._gone or self._come) or self._done < self._rounds

    def _leave(self, partitions: Collection[Any], *, lost: bool) -> None:
        self.on_gone(partitions)
        with self._turn:
            self._gone |= set(partitions) - self._come
            self._come -= set(partitions)
            self._lost |= lost

    def _settled(self) -> bool:
        with self._turn:
            return not self._gone and self._done == self._rounds


def _nothing(partitions: Collection[Any]) -> None:
    """Before somebody listens."""
