"""The small frozen values that travel beside the frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Frames = Mapping[str, pl.DataFrame]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a stream is to be read from next.

    `partition` names what the offset counts in: a file's identity, a topic partition. `state` holds what the source
    needs to recognise it again (inode, size, head hash; topic id, leader epoch) and must survive JSON.
    """

    stream: str
    partition: str
    offset: int
    state: Mapping[str, Any] = field(default_factory=dict)


Owned = Mapping[tuple[str, str], tuple[Position, str]]  # by stream and partition, with the worker that moved it last


@dataclass(frozen=True, slots=True)
class Oversize:
    """A record past the size cap: what is kept of it is in the batch, this says what it was."""

    record: int  # row of the batch
    size: int  # bytes, all of it
    sha256: bytes  # of all of it


@dataclass(frozen=True, slots=True)
class Lost:
    """Positions that a fault concerns, first and last included; `note` says what is known of them.

    `resume` is the offset at which reading goes on behind it, where that is not where it stood.
    """

    first: int
    last: int
    count: int
    note: str
    resume: int | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What one listener has to tell of itself: counts since the process started, and how it stands now."""

    connections: int  # open now
    accepted: int
    refused: int  # hung up on at once, and datagrams of strangers
    received_bytes: int
    dropped: int  # datagrams
    spool_bytes: int  # on disk and not committed
    full: bool


@dataclass(frozen=True, slots=True)
class Handover:
    """Partitions that leave this process and that come to it, each as (stream, partition).

    `lost` is true when the ones that leave were taken away: another process may have them already.
    """

    gone: Sequence[tuple[str, str]]
    come: Sequence[tuple[str, str]]
    lost: bool = False


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Consecutive records of one file or partition: the RAW frame. One without records only tells of a fault.

    Record `i` is `data[starts[i]:ends[i]]`, without its line end. `positions[i]` is its byte offset in the
    (decompressed) file, or its Kafka offset. `after[i]` is the offset to resume from when records up to and
    including `i` are done.
    """

    stream: str
    file: str
    partition: str
    data: Bytes
    starts: Ints
    ends: Ints
    positions: Ints
    after: Ints
    ingest_ns: int
    state: Mapping[str, Any] = field(default_factory=dict)
    oversize: Sequence[Oversize] = ()
    final: bool = False  # nothing follows in this file for now and the reader will not wait: decode what is there
    fault: str = ""  # what the source noticed just before this batch: truncated, recreated, gap … ("" = nothing)
    lost: Lost | None = None  # which positions that fault concerns, where the source knows
    refused: Mapping[int, str] = field(default_factory=dict)  # records that no decoder is to see, each with its reason
    alone: bool = False  # no entry goes on from one record to the next: these may come from different senders

    def __len__(self) -> int:
        return len(self.starts)

    def record(self, index: int) -> bytes:
        """The bytes of one record. For the exception path and for tests, not for every event."""
        return self.data[self.starts[index] : self.ends[index]].tobytes()


@dataclass(frozen=True, slots=True)
class Pieces:
    """The records as the decoder framed them: a torn and glued line becomes several, a pretty-printed object one.

    Piece `i` is `data[starts[i]:ends[i]]` of the batch, at `positions[i]`. Every non-blank byte range consumed is in
    exactly one piece, and every piece is either in `events`, in `rejected` or in `brackets`.
    """

    starts: Ints
    ends: Ints
    positions: Ints


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a decoder made of a batch.

    `consumed` counts the records of the batch that are done with; later ones (an object that is not finished yet)
    must be delivered again, with more behind them. `replaced` maps a piece to the text to store instead of its
    bytes, with the values that stood there in clear taken out. `brackets` are pieces that only hold the entries of a
    document together.
    """

    consumed: int
    pieces: Pieces
    events: pl.DataFrame  # schema.DECODED
    rejected: pl.DataFrame  # columns: piece UInt32, reason String
    replaced: Mapping[int, bytes] = field(default_factory=dict)
    brackets: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class DetectorInfo:
    """What a detector is, for lists, reports and the fields that never vary from finding to finding.

    `techniques` are ATT&CK ids of `attack_version`; `measures` are the failure modes and SLIs it serves (F3, M9 …).
    `cadence` says how it is called: "operation" for a rule that judges each operation by itself (any cut of the
    stream, as soon as operations are complete), "window" for statistics over a stretch of event time, "sli" for
    SLI rows as their windows close. Only "window" may ask profiles: in other cuts they know more or less. `early`: of
    the cadence "window", what must have risen (looks.KINDS) for it to be asked about one that is not over yet.
    """

    name: str
    version: str
    title: str
    family: str
    summary: str
    techniques: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    attack_version: str = "18"
    cadence: str = "window"
    early: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """What a detector sees when a stretch of event time is complete, or may become so.

    `operations` are those whose `complete_time` lies in [start, end): whole OPERATION rows for the cadence "operation",
    counted WINDOW rows for the cadence "window" (and for learning). `profiles` answers what was usual *before* this
    window. `closed` is false when a run ends inside the window: upper-tail statistics hold, absence proves nothing,
    and the detector must not learn, since the same window comes again. `memo` is for what several detectors work out
    of the same rows and profiles: the first does, the others find it under its name. `slis` is for the cadence "sli"
    alone: rows of windows that closed, and again those of closed windows that late operations fell into. `looked_us` is
    set in a look at a window that goes on: it holds what was complete before then, and `rises` says what has risen;
    only detectors that go by that (`early`) see it.
    """

    start_us: int
    end_us: int
    operations: pl.DataFrame  # schema.OPERATION or schema.WINDOW
    integrity: pl.DataFrame  # schema.INTEGRITY rows found in it
    profiles: Any  # ports.Profiles
    closed: bool
    slis: pl.DataFrame | None = None  # schema.SLI
    looked_us: int | None = None
    rises: frozenset[str] = frozenset()
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """One state of one alert on its way to one sink: `event_id` is `<alert uid>:<revision>`, the same for ever."""

    event_id: str
    alert_uid: str
    revision: int
    alert: Mapping[str, Any]  # one row of schema.ALERT, times as datetimes


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold: rows of these streams (all when empty) with a time in [from_us, to_us) stay. Microseconds, UTC."""

    hold: str
    streams: tuple[str, ...]
    from_us: int
    to_us: int

    def covers(self, stream: str, first_us: int, last_us: int) -> bool:
        """Whether rows of `stream` from first to last (closed) may be under it."""
        return (not self.streams or stream in self.streams) and first_us < self.to_us and last_us >= self.from_us


@dataclass(frozen=True, slots=True)
class Commit:
    """One step of the lake: with the rows written since the last one, all of it becomes visible, or none.

    `revise` replaces rows of a table by their key; `snapshot` replaces a table whole. `states` is what the stateful
    parts need to go on from `positions`. `ledger` is the head (size, root, checkpoint text) that covers these rows;
    `seal` gives one instead, when it is told which files came and which went since the last one, relative to the lake,
    which of these were found so: neither this commit nor an earlier one of this worker did it; and the SHA-256 that
    files had when they were merged into others.
    """

    positions: Sequence[Position]
    revise: Frames = field(default_factory=dict)
    snapshot: Frames = field(default_factory=dict)
    states: Mapping[str, Frames] = field(default_factory=dict)
    messages: Sequence[Message] = ()
    ledger: Mapping[str, Any] = field(default_factory=dict)
    expired: Sequence[tuple[int, int]] = ()  # spans of leaves that this ledger head tells to have lost their entries
    seal: Callable[[Sequence[str], Sequence[str], Sequence[str], Mapping[str, str]], Mapping[str, Any]] | None = None
    consumed: Sequence[str] = ()  # files that reading workers passed on, and that are judged with this
    holds: Sequence[Hold] = ()  # legal holds that are placed with this
    released: Sequence[str] = ()  # and those that are lifted, by name


@dataclass(frozen=True, slots=True)
class Passed:
    """What one commit of a reading worker passed on: files of EVENT rows, files of INTEGRITY rows."""

    sequence: int
    worker: str
    rows: int
    events: tuple[str, ...]
    verdicts: tuple[str, ...]
