"""What workers passed on, handed out in one order: whose turn it is, and who has to be waited for.

Workers are read side by side: the commit whose streams are furthest behind comes first, and a partition that has more
to bring is waited for. A partition whose worker has died, or that nobody has taken, is waited for `wait_seconds`; a
living worker that has not said yet what it has is waited for as long. Nor is a commit judged before every other living
worker has committed later, or has said later that it has nothing: what came to several partitions at one moment is in
their commits by then.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import polars as pl

from pipeline.core.errors import StoreError
from pipeline.parts import Quiet
from pipeline.reader import RECENT, Reader
from pipeline.reading import REPORT

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Passed, Position

_LOOK_SECONDS: Final = 0.05
_ALIVE_SECONDS: Final = 0.3
_GRACE_SECONDS: Final = 0.3  # a worker that has nothing must still have nothing so long after another's commit
_NEVER: Final = -(1 << 62)


class PassedPort(Protocol):
    """What is asked of the lake."""

    worker: str

    def passed(self) -> list[Passed]: ...

    def passed_streams(self, passed: Passed) -> frozenset[str]: ...

    def passed_rows(self, passed: Passed) -> tuple[pl.DataFrame, pl.DataFrame]: ...

    def states(self, worker: str = "", *parts: str) -> Mapping[str, Frames]: ...

    def workers(self) -> tuple[str, ...]: ...

    def alive(self, worker: str) -> bool: ...

    def epoch(self, worker: str = "") -> int: ...

    def beaten(self, worker: str) -> float: ...

    def passed_at(self, passed: Passed) -> float: ...

    def meta(self, key: str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Judged:
    """One commit of a worker, ready to be judged. `live` and `recent` as in parts.Taken, here for every stream."""

    passed: Passed
    events: pl.DataFrame
    verdicts: pl.DataFrame
    live: Mapping[str, bool]
    recent: Mapping[str, Sequence[int]]


@dataclass(slots=True)
class _Stream:
    """What the newest report says of a stream, and since when (monotonic s) nothing new was heard of it."""

    owner: str = ""
    epoch: int = 0
    ended: bool = False
    final: bool = False
    at: int = _NEVER  # the lake's newest commit when it was written
    since: float = 0.0


class Desk:
    """The workers' commits in the order in which they are to be judged; a Source as far as `app` and `Reader` go."""

    def __init__(self, lake: PassedPort, *, follow: bool, wait_seconds: float) -> None:
        self._lake, self._follow, self._wait_seconds = lake, follow, wait_seconds
        self._unread: list[Passed] = []
        self._taken: set[tuple[int, str]] = set()
        self._names: dict[tuple[int, str], frozenset[str]] = {}  # the streams of each unread commit
        self._streams: dict[str, _Stream] = {}
        self._spoken: dict[str, int] = {}  # the epoch of each worker in which it last said what it has
        self._unspoken: dict[tuple[str, int], float] = {}  # since when a worker is known in that epoch, monotonic s
        self._alive: dict[str, tuple[float, int]] = {}
        self._reading: tuple[float, Sequence[str]] = (-_ALIVE_SECONDS, ())
        self._sequence = ""
        self._last: dict[str, int] = {}  # the number of each worker's newest commit that passed something on
        self._seen: dict[tuple[int, str], tuple[float, float]] = {}  # when it was written, by the disk; seen, monotonic

    def poll(self, limit: int | None, timeout: float, progress: Mapping[str, int]) -> Passed | None:  # noqa: ARG002
        """The next commit, or None when there is none to be taken within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            self._look()
            chosen = self._choose(progress)
            if chosen is not None:
                return self._take(chosen)
            if time.monotonic() >= deadline:
                return None
            time.sleep(_LOOK_SECONDS)

    def streams(self) -> Mapping[str, bool]:
        """Every stream that a worker knows of, and whether it is judged to its end for now."""
        unread = {name for passed in self._unread for name in self._names_of(passed)}
        return {name: name not in unread and self._ended(stream) for name, stream in self._streams.items()}

    @property
    def exhausted(self) -> bool:
        """A run that ends has judged all there is, and no living worker has more to bring."""
        if self._follow:
            return False
        self._look()
        over = all(map(self._ended, self._streams.values())) and all(map(self._heard_of, self._readers()))
        self._look()  # who died meanwhile may have committed before
        return over and not self._unread

    def lag_entries(self) -> Mapping[str, int]:
        """Per worker, the entries that wait here."""
        waiting: dict[str, int] = {}
        for passed in list(self._unread):
            waiting[passed.worker] = waiting.get(passed.worker, 0) + passed.rows
        return waiting

    def commit(self, positions: Sequence[Position]) -> None:
        """What is judged leaves the queue in the line's own commit."""

    def close(self) -> None:
        """The lake is closed by whoever opened it."""

    def _look(self) -> None:
        """See what the workers have committed since. Reports are read first: what they speak of is then there."""
        sequence = self._lake.meta("sequence") or ""
        if sequence == self._sequence:
            return
        self._hear()
        waiting = {(passed.sequence, passed.worker): passed for passed in self._lake.passed()}
        self._last |= {worker: sequence for sequence, worker in waiting}
        self._taken &= waiting.keys()  # what is committed is gone for good
        self._unread = [passed for key, passed in waiting.items() if key not in self._taken]
        self._sequence = sequence

    def _hear(self) -> None:
        now = time.monotonic()
        for worker in self._lake.workers():
            try:
                report = self._lake.states(worker, REPORT).get(REPORT, {}).get("streams")
            except StoreError:  # it commits at this moment; the next look finds what it said
                continue
            if report is not None and len(report):
                self._spoken[worker] = int(report["epoch"][0])
            for name, mine, ended, final, at, epoch in () if report is None else _dated(report).iter_rows():
                known = self._streams.setdefault(name, _Stream(since=now))
                said = _Stream(worker, epoch, ended, final, at, known.since)
                again = (known.owner, known.epoch, known.at) == (worker, epoch, at) and said != known
                if mine and (at > known.at or again):
                    self._streams[name] = _Stream(worker, epoch, ended, final, at, now)
                elif not mine and known.owner == worker:
                    self._streams[name] = _Stream("", at=at, since=now, final=final)

    def _choose(self, progress: Mapping[str, int]) -> Passed | None:
        """The commit whose streams are furthest behind, unless a stream further behind still brings something."""
        heads: dict[str, Passed] = {}
        blocked: set[str] = set()  # streams of older commits of other workers: those come first
        ready: list[Passed] = []
        for passed in self._unread:
            names = self._names_of(passed)
            if passed.worker not in heads and not names & blocked:
                ready.append(passed)
            heads.setdefault(passed.worker, passed)
            blocked |= names
        if not ready:
            return None

        def behind(passed: Passed) -> tuple[int, int]:
            return min((progress.get(n, _NEVER) for n in self._names_of(passed)), default=_NEVER), passed.sequence

        chosen = min(ready, key=behind)
        if not self._settled(chosen):
            return None
        waited_for = (name for name, stream in self._streams.items() if name not in blocked and not self._ended(stream))
        return None if any(progress.get(name, _NEVER) < behind(chosen)[0] for name in waited_for) else chosen

    def _settled(self, passed: Passed) -> bool:
        """Whether every other living worker has told all it had when this was written."""
        key = passed.sequence, passed.worker
        if key not in self._seen:
            self._seen[key] = self._lake.passed_at(passed), time.monotonic()
        written, seen = self._seen[key]
        if time.monotonic() - seen > self._wait_seconds:
            return True
        others = {stream.owner for stream in self._streams.values() if stream.owner} - {passed.worker}
        return all(
            self._last.get(other, 0) > passed.sequence
            or self._lake.beaten(other) >= written + _GRACE_SECONDS
            or not self._living(other)
            for other in others
        )

    def _take(self, passed: Passed) -> Passed:
        key = passed.sequence, passed.worker
        self._taken.add(key)
        self._seen.pop(key, None)
        self._unread.remove(passed)
        for name in self._names.pop(key, frozenset()):
            self._streams.setdefault(name, _Stream()).since = time.monotonic()
        return passed

    def _names_of(self, passed: Passed) -> frozenset[str]:
        key = passed.sequence, passed.worker
        if key not in self._names:
            self._names[key] = self._lake.passed_streams(passed)
        return self._names[key]

    def _ended(self, stream: _Stream) -> bool:
        """Whether a stream of which nothing waits here holds nobody back."""
        if stream.final:
            return True
        living = bool(stream.owner) and self._living(stream.owner) == stream.epoch
        if living and stream.ended:
            return True
        if not (living or self._follow or self._readers()):
            return True
        return time.monotonic() - stream.since > self._wait_seconds

    def _readers(self) -> Sequence[str]:
        """The living workers that read: one of them will take what nobody has."""
        now = time.monotonic()
        if now - self._reading[0] >= _ALIVE_SECONDS:
            names = [worker for worker in self._lake.workers() if worker != self._lake.worker and self._living(worker)]
            self._reading = now, names
        return self._reading[1]

    def _heard_of(self, worker: str) -> bool:
        """Whether a living worker has said what it has, or been waited for: one that reads no topic never says so."""
        living, now = self._living(worker), time.monotonic()
        since = self._unspoken.setdefault((worker, living), now)
        return self._spoken.get(worker) == living or now - since > self._wait_seconds

    def _living(self, worker: str) -> int:
        """The epoch of the living process of that name, 0 where there is none. What an earlier one said is over."""
        now = time.monotonic()
        at, living = self._alive.get(worker, (-_ALIVE_SECONDS, 0))
        if now - at >= _ALIVE_SECONDS:
            living = self._lake.epoch(worker) if self._lake.alive(worker) else 0
            self._alive[worker] = now, living
        return living


def _dated(report: pl.DataFrame) -> pl.DataFrame:
    """Of an earlier version, that wrote the time instead: older than all that is told by commits."""
    return report if "at" in report.columns else report.with_columns(pl.col("at_ns") + _NEVER).rename({"at_ns": "at"})


def _as_they_are(events: pl.DataFrame) -> pl.DataFrame:
    """What workers pass on says who asked."""
    return events


class DeskReader(Reader):
    """Reads the files of the next commit while the one before is being judged."""

    source: Desk  # type: ignore[assignment]

    def __init__(
        self, desk: Desk, lake: PassedPort, recent: Mapping[str, Sequence[int]], *, timeout: float, patience: float
    ) -> None:
        super().__init__(desk, None, None, timeout, recent, resolve=_as_they_are, patience=patience)  # type: ignore[arg-type]
        self._lake = lake

    def _take(self) -> Sequence[Judged] | Quiet:  # type: ignore[override]
        progress = {stream: min(times) for stream, times in self._recent.items() if times}
        passed = self.source.poll(None, self.timeout, progress)
        if passed is None:
            return Quiet(self._live())
        events, verdicts = self._lake.passed_rows(passed)
        for (stream,), part in events.group_by("source", maintain_order=True):
            self._recall(str(stream), part["time"].tail(RECENT).to_physical().to_list(), len(part))
        heard = {str(name) for name in events["source"].unique()}
        recent = {name: tuple(self._recent[name]) for name in heard}
        return [Judged(passed, events, verdicts, self._live(*heard), recent)]
