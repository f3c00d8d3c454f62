"""The plugs: one or two verbs each. `line` and the contract suites know nothing else of a part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import polars as pl

    from pipeline.core.model import (
        Decoded,
        DetectorInfo,
        Frames,
        Handover,
        Heard,
        Ints,
        Message,
        Position,
        RawBatch,
        Window,
    )


@runtime_checkable
class Stateful(Protocol):
    """A part with memory. `restore(snapshot())` on a new instance continues exactly where the old one stood.

    A snapshot is a handful of frames, small and typed; it is taken between batches and must not be changed afterwards.
    """

    def snapshot(self) -> Frames: ...

    def restore(self, frames: Frames) -> None: ...


class Source(Protocol):
    """Delivers raw records with positions. Owns its connections; knows nothing of what the records mean.

    `poll` returns the next batch of one partition, or None when nothing came within `timeout` seconds. It picks the
    partition that is furthest behind by `progress`, the newest event time (µs) known per stream, so that several
    devices are read side by side. It never blocks longer than `timeout` and raises only SourceError.
    `rewind` gives back the tail of the last batch that the decoder could not finish; the next poll of that partition
    starts there and brings more. `exhausted` is true when a source that is not followed has been read to its end.
    `commit` is told what is safe, after it is safe; it only informs.
    """

    def poll(self, limit: int | None, timeout: float, progress: Mapping[str, int]) -> RawBatch | Handover | None: ...

    def rewind(self, batch: RawBatch, consumed: int) -> None: ...

    def streams(self) -> Mapping[str, bool]:
        """Every stream known, and whether it is read to its end for now."""
        ...

    @property
    def exhausted(self) -> bool: ...

    def commit(self, positions: Sequence[Position]) -> None: ...

    def close(self) -> None: ...


@runtime_checkable
class BroadSource(Protocol):
    """A source with more partitions than are worth a batch of their own."""

    def poll_all(
        self, limit: int | None, timeout: float, progress: Mapping[str, int]
    ) -> Sequence[RawBatch] | Handover | None:
        """`poll` for several partitions at once, each of them at most once and together at most `limit` records."""
        ...


class SharedSource(Source, Protocol):
    """A source whose partitions move between processes.

    `poll` tells of a move by a Handover, and gives nothing more until `handed_over`: by then what was read before is
    committed, the state of what leaves is set aside, and what comes goes on from the positions given.
    """

    def handed_over(self, positions: Mapping[tuple[str, str], Position]) -> None: ...


@runtime_checkable
class Lagging(Protocol):
    """A source that knows how many entries there are per stream that it has not handed out."""

    def lag_entries(self) -> Mapping[str, int]: ...


@runtime_checkable
class Hearing(Protocol):
    """A source that others send to."""

    def heard(self) -> Mapping[str, Heard]:
        """What each listener has to tell, by its stream's name."""
        ...


class Decoder(Protocol):
    """Turns raw records into DECODED rows. Never raises on content, holds no state, has no clock.

    A line that is not its format comes back in `rejected` with reason `unknown_format`.
    """

    def decode(self, batch: RawBatch) -> Decoded: ...

    def decode_all(self, batches: Sequence[RawBatch]) -> Sequence[Decoded]:
        """What `decode` makes of each batch by itself, for less than one by one."""
        ...


class Profiles(Protocol):
    """What was usual, asked by key and by place in the week. Answers are frames aligned with the question's rows."""

    def lookup(self, scope: str, keys: pl.DataFrame, at_us: int, columns: Sequence[str] = ...) -> pl.DataFrame:
        """Profile of each row of `keys` (column `principal`, `secret`, or both for scope edge) before `at_us`.

        Columns: known (bool), first_us, last_us (Int64), operations (Int64), expected_per_hour (rate at that hour of
        the week), alpha, beta (Gamma posterior of the hourly rate), days_active, distinct_secrets, distinct_ips; only
        `columns` where they are given, which is cheaper for all that is no rate. Instead of names (String) a column
        of `keys` may hold what `numbers` gave for them (Int64).
        """
        ...

    def numbers(self, scope: str, window: Window) -> Ints:
        """For each text of `coded(window, scope)` what stands for it in `lookup` until a window is learned.

        `scope` is principal or secret. Names need to be looked for only once a window.
        """
        ...


class Detector(Protocol):
    """Looks at a window and says what is odd in it, as FINDING rows; `findings.build` fills what never varies.

    Deterministic, indifferent to the order of rows and to how the stream was cut. Scores before it learns. Silent on
    an empty window. Raising is allowed: the line turns it into a finding about the detector and goes on.
    """

    info: DetectorInfo

    def inspect(self, window: Window) -> pl.DataFrame: ...


class Sink(Protocol):
    """Delivers messages. Idempotent by `event_id`: the receiver can recognise a repeated one.

    `send` returns when every message is safe with the receiver. It raises DeliveryError for the batch; a sink whose
    receiver answers per message returns the event ids refused for good with their reasons.
    """

    def send(self, messages: Sequence[Message]) -> Mapping[str, str]: ...

    def close(self) -> None: ...


class Outbox(Protocol):
    """Messages on disk until each sink has them: one cursor per sink, none waits for another.

    Filled by the commit, never from here. Every verb may be called from any thread and is durable when it returns.
    All raise StoreError.
    """

    def pending(self, sink: str, limit: int, now_ns: int) -> Sequence[Message]:
        """The oldest messages `sink` still has to get, in the order they were committed; none while postponed."""
        ...

    def delivered(self, sink: str, event_ids: Sequence[str]) -> None: ...

    def postpone(self, sink: str, until_ns: int, reason: str) -> None:
        """`sink` gets nothing before `until_ns`."""
        ...

    def dead(self, sink: str, reasons: Mapping[str, str]) -> None:
        """Set aside what `sink` will never take (event id to reason); kept for `replay`, out of the way of the rest."""
        ...

    def replay(self, sink: str) -> int:
        """Make the dead letters of `sink` pending again; how many."""
        ...

    def depth(self, sink: str) -> int:
        """Messages pending for `sink`."""
        ...

    def oldest_ns(self, sink: str) -> int | None:
        """When the oldest pending message of `sink` was committed; None when there is none."""
        ...

    def bytes(self) -> int:
        """Size of everything that is pending; dead letters do not count."""
        ...


class Report(Protocol):
    """A named SQL query with a template: see reports/."""

    name: str
    title: str
