"""How much of each partition goes into one batch, so that all of them come equally far in event time.

What lies further ahead than the others waits for them, in memory and in every commit's states.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LEAST: Final = 64  # this part of a batch is the smallest share: less is not worth the calls


class Share:
    """Shares `size` bytes out, by how much event time the bytes of each stream brought last."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._reached: dict[str, int] = {}  # event time, µs
        self._taken: dict[str, int] = {}  # bytes since then
        self._weight: dict[str, float] = {}  # bytes a µs

    def took(self, stream: str, size: int) -> None:
        """So many bytes of a stream were handed out."""
        self._taken[stream] = self._taken.get(stream, 0) + size

    def learn(self, progress: Mapping[str, int]) -> None:
        """The event time (µs) that each stream has reached with all that was handed out."""
        for stream, reached in progress.items():
            gain, size = reached - self._reached.get(stream, reached), self._taken.pop(stream, 0)
            if gain > 0 and size:
                self._weight[stream] = size / gain
            self._reached[stream] = reached

    def sizes(self, streams: Sequence[str]) -> dict[str, int]:
        """Bytes to take of each stream, given the furthest behind first. The others may be left out, it is not."""
        known = [stream for stream in streams if stream in self._weight]
        equal = max(self._size // len(streams), 1)
        sizes = dict.fromkeys(streams, equal)
        if known:
            sizes |= self._level(known, equal * len(known))
        least = self._size // _LEAST
        return {name: max(size, least, 1) for name, size in sizes.items() if size or name == streams[0]}

    def _level(self, streams: Sequence[str], size: int) -> dict[str, int]:
        """Shares of `size` that bring all streams behind some moment up to it; 0 for those ahead of it."""
        order = sorted(streams, key=lambda stream: self._reached[stream])
        start, moment = self._reached[order[0]], 0.0
        weights = ahead = 0.0
        for number, stream in enumerate(order, start=1):
            weights += self._weight[stream]
            ahead += self._weight[stream] * (self._reached[stream] - start)
            moment = (size + ahead) / weights
            if number == len(order) or start + moment <= self._reached[order[number]]:
                break
        return {name: max(int(self._weight[name] * (start + moment - self._reached[name])), 0) for name in order}
