"""Reads, decodes and hashes ahead of the line: while one batch is being judged, the next is already being parsed.

Which stream is read next depends on what has been decoded, not on how fast anything ran: order is the same every time.
"""

from __future__ import annotations

import gc
import queue
import sys
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from pipeline.core.model import Handover
from pipeline.core.ports import BroadSource
from pipeline.parts import Quiet, Taken
from pipeline.refused import with_refused
from pipeline.rows import seal

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from pipeline.core.model import Decoded, RawBatch
    from pipeline.core.ports import Decoder, Source

APART_US = 3_600_000_000  # a stream this far behind the others may have another clock, which is not waited for
APART_EVENTS = 64  # if so many of its events in a row are; fewer, and it only comes after the others
WITHIN_SECONDS = 3600.0  # one that would have caught up in this time at its pace has the same clock
SWITCH_SECONDS = 0.0005  # threads that mostly wait for native code must not wait 5 ms for the interpreter as well
GATHERED_BYTES = 12 << 20  # who brings so much at once has more: it is taken without a pause
RECENT = 8  # events whose oldest time stands for a stream's progress: one clock gone wrong does not move it


@dataclass(slots=True)
class _Behind:
    """A stream far behind the others: for so many events in a row, and how far it was from the present when.

    A clock that is off keeps its distance; a device that is caught up comes nearer.
    """

    distance_us: float  # of its time from that of the steady clock: only differences mean anything
    at: float  # on the steady clock, s
    events: int = 0
    slow: bool = False  # it came no nearer since, or would take longer than WITHIN_SECONDS


class Reader:
    """Yields batches in order; `Quiet` when a source had nothing new for a while.

    A stream that is read to its end may still bring what belongs before the others' newest entries: it counts as live
    until it has been silent for `patience` seconds, or its clock is another one altogether: it is far behind the others
    and comes no nearer, or too slowly to be there within the hour. `resolve` says who asked in DECODED rows, each row
    by itself. With `leaves`, batches come with what the ledger is to hold of them. What trickles in is taken every
    `gather` seconds. `steady` gives seconds.
    """

    def __init__(
        self, source: Source, decoder: Decoder, limit: int | None, timeout: float, recent: Mapping[str, Sequence[int]],
        *, resolve: Callable[[pl.DataFrame], pl.DataFrame], patience: float = 0.0, leaves: bool = True,
        gather: float = 0.0, steady: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.source, self.decoder, self.limit, self.timeout = source, decoder, limit, timeout
        self.patience, self._gather, self._steady = patience, gather, steady
        self._resolve = resolve
        self._heard: dict[str, float] = {}  # when each stream was last heard of
        self._behind: dict[str, _Behind] = {}
        self._recent = {stream: deque(times, maxlen=RECENT) for stream, times in recent.items()}
        self._leaves = leaves
        self._aside = ThreadPoolExecutor(1, "keytrail-aside")  # what needs no order, while the next is parsed
        self._queue: queue.Queue[Sequence[Taken] | Handover | Quiet | BaseException] = queue.Queue(maxsize=1)
        self._stop = threading.Event()

    def batches(self) -> Generator[Sequence[Taken] | Handover | Quiet, None, None]:
        """Every batch, with those decoded together, until the source is exhausted or `stop` is called.

        Raises what the source raised.
        """
        sys.setswitchinterval(SWITCH_SECONDS)
        gc.freeze()  # what has been imported is there to stay and need not be looked through again and again
        thread = threading.Thread(target=self._run, name="keytrail-reader", daemon=True)
        thread.start()
        try:
            while True:
                item = self._queue.get()
                if isinstance(item, _End):
                    return
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self.stop()
            while thread.is_alive():
                self._drain()
                thread.join(0.05)
            self._aside.shutdown(cancel_futures=True)

    def stop(self) -> None:
        """Take nothing more; what was handed out is still the caller's to finish."""
        self._stop.set()

    def _drain(self) -> None:
        try:
            while True:
                self._queue.get_nowait()
        except queue.Empty:
            return

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                begun = time.monotonic()
                item = self._take()
                if isinstance(item, Quiet) and self.source.exhausted:
                    break
                self._put(item)
                if self._gather and self._trickles(item):
                    self._stop.wait(begun + self._gather - time.monotonic())
        except BaseException as error:  # noqa: BLE001  handed to the line's thread, which raises it
            self._put(error)
            return
        self._put(_End())

    def _put(self, item: Sequence[Taken] | Handover | Quiet | BaseException) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.2)
            except queue.Full:
                continue
            return

    @staticmethod
    def _trickles(item: Sequence[Taken] | Handover | Quiet) -> bool:
        """Whether so little came that more is to gather before it is taken: a batch costs much, whatever is in it."""
        return isinstance(item, list) and sum(len(one.raw.data) for one in item) < GATHERED_BYTES

    def _take(self) -> Sequence[Taken] | Handover | Quiet:
        """Batches of different streams, decoded together: one decode costs much, however little is in it."""
        raws = self._poll()
        if raws is None:
            return Quiet(self._live())
        if isinstance(raws, Handover):
            return raws
        decoded = [with_refused(raw, found) for raw, found in zip(raws, self.decoder.decode_all(raws), strict=True)]
        for raw, found in zip(raws, decoded, strict=True):
            if found.consumed < len(raw):
                self.source.rewind(raw, found.consumed)
        sealed = [self._aside.submit(seal, *one, leaves=self._leaves) for one in zip(raws, decoded, strict=True)]
        resolved = self._aside.submit(self._resolve, pl.concat([found.events for found in decoded]))
        recent = [self._remember(*one) for one in zip(raws, decoded, strict=True)]
        streams = [raw.stream for raw in raws]
        live = self._live(*streams)
        to_come = [dict.fromkeys(streams[at:], True) for at in range(1, len(raws) + 1)]  # behind each, in this list
        lives = [live | more for more in to_come]
        return [Taken(*one, resolved) for one in zip(raws, decoded, lives, sealed, recent, strict=True)]

    def _poll(self) -> Sequence[RawBatch] | Handover | None:
        progress = {stream: min(times) for stream, times in self._recent.items() if times}
        if isinstance(self.source, BroadSource):
            return self.source.poll_all(self.limit, self.timeout, progress)
        raw = self.source.poll(self.limit, self.timeout, progress)
        return raw if raw is None or isinstance(raw, Handover) else [raw]

    def _live(self, *heard: str) -> dict[str, bool]:
        now = self._steady()
        self._heard |= dict.fromkeys(heard, now)
        return {
            stream: not ended or (now - self._heard.setdefault(stream, now) < self.patience and not self._apart(stream))
            for stream, ended in self.source.streams().items()
        }

    def _apart(self, stream: str) -> bool:
        """Whether it goes by another clock than the others."""
        behind = self._behind.get(stream)
        return behind is not None and behind.slow and behind.events >= APART_EVENTS

    def _remember(self, raw: RawBatch, decoded: Decoded) -> tuple[int, ...]:
        return self._recall(
            raw.stream, decoded.events["time"].tail(RECENT).to_physical().to_list(), len(decoded.events)
        )

    def _recall(self, stream: str, times: Sequence[int], count: int) -> tuple[int, ...]:
        recent = self._recent.setdefault(stream, deque(maxlen=RECENT))
        recent.extend(times)
        newest = max((min(times) for times in self._recent.values() if times), default=0)
        lag_us = newest - min(recent, default=newest)
        if lag_us < APART_US:
            self._behind.pop(stream, None)
        else:
            self._fell_behind(stream, lag_us, min(recent), count)
        return tuple(recent)

    def _fell_behind(self, stream: str, lag_us: int, reached_us: int, count: int) -> None:
        """Note how far a stream is, and whether it is catching up."""
        now = self._steady()
        distance_us = now * 1e6 - reached_us
        known = self._behind.setdefault(stream, _Behind(distance_us, now))
        known.events += count
        spent = now - known.at
        nearing = known.distance_us - distance_us >= lag_us * max(spent, self.patience) / WITHIN_SECONDS
        if nearing or spent >= self.patience:
            known.distance_us, known.at, known.slow = distance_us, now, not nearing


class _End(BaseException):
    """Not raised: marks the end of the queue."""
