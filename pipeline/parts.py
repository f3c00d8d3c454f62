"""What the line is made of and what it is handed: the ports of its neighbours, and a batch."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    import polars as pl

    from pipeline import rows
    from pipeline.core.clock import Clock
    from pipeline.core.metrics import Metrics
    from pipeline.core.model import Commit, Decoded, Frames, Position, RawBatch
    from pipeline.core.ports import Detector
    from pipeline.integrity.canaries import Canaries
    from pipeline.integrity.clocks import Clocks
    from pipeline.integrity.continuity import Continuity
    from pipeline.integrity.counters import Counters
    from pipeline.integrity.coverage import Coverage
    from pipeline.integrity.devices import Devices
    from pipeline.integrity.order import Sequencer
    from pipeline.integrity.pairing import Pairing
    from pipeline.ledger.leaf import Leaves
    from pipeline.windows import Windows


class LakePort(Protocol):
    """What the line asks of the store."""

    def write(self, table: str, frame: pl.DataFrame) -> None: ...

    def cut(self, commit: Commit) -> Any: ...

    def commit(self, commit: Commit, *, cut: Any) -> int: ...

    def expired(self) -> list[tuple[int, int]]: ...

    def take_up(self, *, wait: bool) -> None: ...

    def unsealed(self) -> bool: ...


class RecallPort(Protocol):
    """Looks up operations that the lake holds, by the store's request ids and a span of time (µs)."""

    def recall(self, ids: pl.Series, low_us: int, high_us: int) -> pl.DataFrame: ...


class LedgerPort(Protocol):
    """What the line asks of the ledger: leaves for a batch, a head for a commit."""

    @property
    def size(self) -> int: ...

    def add(self, leaves: Leaves) -> Any: ...

    def expire(self, spans: Sequence[tuple[int, int]], *, authority: str) -> int: ...

    def taken(self, position: Position, *, ours: bool) -> None: ...

    def telling(
        self, positions: Sequence[Position], shown: Frames
    ) -> Callable[[Sequence[str], Sequence[str], Sequence[str], Mapping[str, str]], Any]: ...

    def publish(self) -> object: ...


@dataclass(frozen=True, slots=True)
class Taken:
    """One batch as the reader hands it over: raw, decoded, sealed, and which streams may still bring more.

    `recent` are the last event times of the batch's stream (µs): what the reader goes by when it picks a stream.
    `resolved` are the events with who asked, of all batches decoded together, one behind the other.
    """

    raw: RawBatch
    decoded: Decoded
    live: Mapping[str, bool]
    sealed: Future[rows.Sealed]
    recent: Sequence[int]
    resolved: Future[pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Quiet:
    """Nothing came for a moment; every batch handed over before is all there was. `live` as in Taken.

    `at` is when that was so, monotonic seconds.
    """

    live: Mapping[str, bool]
    at: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class Parts:
    """Everything the line is made of; `app` builds it."""

    enricher: Any
    sequencer: Sequencer
    pairing: Pairing
    continuity: Continuity
    clocks: Clocks
    devices: Devices
    canaries: Canaries
    counters: Counters
    coverage: Coverage
    windows: Windows
    detectors: Sequence[Detector]
    baselines: Any
    slis: Any
    router: Any
    lake: LakePort
    ledger: LedgerPort | None
    metrics: Metrics
    clock: Clock
    whole: bool = True  # a stream is a device; if not, it is a partition of a topic, and the topic is the device
