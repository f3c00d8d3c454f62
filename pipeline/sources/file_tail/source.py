"""The source: many streams read side by side, a block of one at a time, small first blocks of several at once."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from pipeline.core.errors import NoInputError, SourceError
from pipeline.sources.fault import Fault
from pipeline.sources.file_tail.discover import Found, discover, neighbours, nothing
from pipeline.sources.file_tail.look import MovedError
from pipeline.sources.file_tail.pace import Rules
from pipeline.sources.file_tail.rotation import group
from pipeline.sources.file_tail.stream import Stream
from pipeline.sources.file_tail.tail import Tail

if TYPE_CHECKING:
    from pipeline.core.clock import Clock
    from pipeline.core.model import Position, RawBatch
    from pipeline.sources.file_tail import Config

_MEMORY: Final = 256 << 20
_SMALLEST, _LARGEST = 1 << 20, 32 << 20
_LOOKS: Final = 6  # at most, while files are changing their names
_PATIENCE: Final = 50  # times as many at the start, where every stream must be known
_PAUSE: Final = 0.0025  # seconds after the first of them, doubled each time
_OPEN_FILES: Final = 256
_TOGETHER: Final = 4 << 20  # bytes of records; what is decoded together is no more than this and a block
_SIDE_BY_SIDE: Final = 64  # files at most: each keeps a buffer until the next poll
_ATTEMPTS: Final = 5  # looks within one poll while files move about


def block_size(files: int) -> int:
    """Bytes of one file that are read before another stream gets its turn."""
    return min(max(_MEMORY // max(files, 1), _SMALLEST), _LARGEST)


class FileTail:
    """Files and folders. Not safe for use by several threads."""

    def __init__(
        self, config: Config, paths: Sequence[str], positions: Mapping[tuple[str, str], Position], clock: Clock,
        *, follow: bool,
    ) -> None:  # fmt: skip
        self.skipped: list[str] = []  # met and left out: no logs by their names, or copies of what is read
        self.faults: list[Fault] = []
        self.waits_for = ""  # of one that follows and has not met a log when it began: what it looked for
        self._config, self._paths, self._follow, self._clock = config, tuple(paths), follow, clock
        self._positions: dict[str, list[Position]] = {}
        for (stream, _), position in positions.items():
            self._positions.setdefault(stream, []).append(position)
        self._streams: dict[str, Stream] = {}
        self._active: dict[str, Stream] = {}  # of a run that ends: not read to their end yet, by name
        self._current: tuple[Stream, Tail] | None = None
        self._ended: tuple[Stream, Tail] | None = None  # read to its end just now: the rest of its lot comes next
        self._last: list[Tail] = []
        self._open: dict[Tail, None] = {}  # least recently used first
        self._scanned = self._scan_cost = 0.0
        self._begin()

    def poll(self, limit: int | None, timeout: float, progress: Mapping[str, int]) -> RawBatch | None:
        """See ports.Source. A batch ends with its block at the latest, and only there another stream may follow."""
        deadline = time.monotonic() + timeout
        self._put_down()
        while True:
            chosen = self._choose(progress)
            if chosen is not None:
                return self._take(*chosen, limit)
            rest = deadline - time.monotonic()
            if not self._follow or rest <= 0:
                return None
            time.sleep(min(rest, self._config.poll_seconds))

    def poll_all(self, limit: int | None, timeout: float, progress: Mapping[str, int]) -> Sequence[RawBatch] | None:
        """See ports.BroadSource. With a small file come those that follow it, of the only stream or of its lot, and
        with the first block of a stream those of others that nothing is known of either, while they are small. With a
        limit those of one stream come, in the same order, as long as there is an event in each block.
        """
        first = self.poll(limit, timeout, progress)
        if first is None or limit is not None:
            return None if first is None else [first]
        taken = [first]
        while self._current is None and sum(len(one.data) for one in taken) < _TOGETHER and len(taken) < _SIDE_BY_SIDE:
            streams = {one.stream for one in taken}
            chosen = self._of_lot() or self._following(taken[-1]) or self._another(progress, streams)
            if chosen is None:
                break
            taken.append(self._take(*chosen, limit))
        return taken

    def rewind(self, batch: RawBatch, consumed: int) -> None:
        """See ports.Source. A block that had come to its end stays ended: what is given back joins the next one."""
        stream = self._streams[batch.stream]
        tail = stream.rewind(batch, consumed)
        if tail is not None and not tail.block_done:
            self._current = (stream, tail)
        self._active[batch.stream] = stream

    def streams(self) -> Mapping[str, bool]:
        """See ports.Source."""
        return {name: stream.idle for name, stream in self._streams.items()}

    @property
    def exhausted(self) -> bool:
        """See ports.Source."""
        return not self._follow and all(stream.idle for stream in self._active.values())

    def lag_bytes(self) -> Mapping[str, int]:
        """Per stream, the bytes known to be there and not delivered; a compressed file counts as it lies on disk."""
        return {name: sum(tail.unread for tail in stream.tails) for name, stream in self._streams.items()}

    def commit(self, positions: Sequence[Position]) -> None:
        """Files need not be told."""

    def close(self) -> None:
        """Close every file."""
        for stream in self._streams.values():
            for tail in stream.tails:
                tail.close()

    def _begin(self) -> None:
        found = self._first_look()
        self._rules = Rules(
            block=self._config.block_bytes or block_size(len(found.files)), cap=self._config.max_record_bytes,
            follow=self._follow, settle_seconds=self._config.settle_seconds,
        )  # fmt: skip
        for _ in range(_PATIENCE):
            if self._arrange(found):
                break
            found = self._discover()
        else:
            raise SourceError("files change faster than they can be looked at")
        self._active = dict(sorted(self._streams.items()))
        self._midway = {name for name, stream in self._streams.items() if stream.midway}

    def _first_look(self) -> Found:
        """What there is to begin with; asked a few times, since a log may be without a name while it is rotated."""
        for look in range(_LOOKS):
            found = discover(self._paths, self._config.exclude, self._positions)
            if found.files or any(path in self._positions for path in found.explicit):
                return found
            time.sleep(_PAUSE * 2**look)
        self.waits_for = nothing(self._paths, found)
        if not self._follow or found.unreadable:
            raise NoInputError(self.waits_for)
        return found

    def _scan(self) -> None:
        """Look again: what was rotated, what is new."""
        begun = time.monotonic()
        self._arrange(self._discover())
        self._scanned = time.monotonic()
        self._scan_cost = self._scanned - begun

    def _arrange(self, found: Found) -> bool:
        """Tell each stream which files there are, and look anew while files are just changing their names.

        False when some stream could not be told even so: it stays as it was.
        """
        before: object = None
        for look in range(_LOOKS):
            groups = self._groups(found)
            sure = look >= 2 and (groups, found.files) == before  # what is missed now is not just on its way
            told = [self._refresh(name, paths, found, sure=sure) for name, paths in groups.items()]
            if all(told):
                break
            before = (groups, found.files)
            time.sleep(_PAUSE * 2**look)
            found = self._discover()
        for path, reason in found.unreadable.items():
            self._report(Fault(path, path, "unreadable", f"{path}: {reason}"))
        copies = (path for stream in self._streams.values() for path in stream.copies)
        self.skipped = sorted({*found.skipped, *copies})
        if self._follow:
            self._hold_live()
        return all(told)

    def _groups(self, found: Found) -> dict[str, list[str]]:
        """Stream name -> the paths there are of it, those of known streams even when there are none."""
        folders = {os.path.dirname(path): path for path in found.explicit}
        beside = {name for path in folders.values() for name in neighbours(path)}
        known = {*self._positions, *self._streams}
        groups: dict[str, list[str]] = {name: [] for name in [*self._streams, *known.intersection(found.explicit)]}
        groups |= group(sorted(beside | found.files.keys()), known)
        live = {*self._streams, *known.intersection(found.explicit)}
        return {name: paths for name, paths in groups.items() if name in live or found.files.keys() & set(paths)}

    def _refresh(self, name: str, members: Sequence[str], found: Found, *, sure: bool) -> bool:
        wanted = {path for path in members if path in found.files} | ({name} & set(found.explicit))
        try:
            return self._stream(name).refresh(members, wanted, sure=sure)
        except (MovedError, OSError):
            return False

    def _discover(self) -> Found:
        """What there is now; a path that was there at the start may be gone."""
        return discover(self._paths, self._config.exclude, self._paths)

    def _stream(self, name: str) -> Stream:
        if name not in self._streams:
            self._streams[name] = Stream(name, self._rules, self._positions.get(name, ()), self._report)
        return self._streams[name]

    def _report(self, fault: Fault) -> bool:
        """Note it; false when it was known."""
        if fault in self.faults:
            return False
        self.faults.append(fault)
        return True

    def _put_down(self) -> None:
        """What was given back is known by now: let go of the buffer when its block is over."""
        for tail in self._last:
            if self._current is None or self._current[1] is not tail:
                tail.set_aside()
        self._last = []

    def _choose(self, progress: Mapping[str, int]) -> tuple[Stream, Tail] | None:
        for _ in range(_ATTEMPTS):
            try:
                if self._current is not None and self._current[0].has_records(self._current[1]):
                    return self._current
                self._current = None
                if self._follow:
                    self._watch()
                elif (chosen := self._of_lot()) is not None:
                    return chosen
                return self._next(progress, ())
            except MovedError:
                self._current = None
                self._scan()
        return None

    def _of_lot(self) -> tuple[Stream, Tail] | None:
        """The next file of the lot whose last one was just read to its end."""
        if self._follow or self._ended is None or not self._ended[1].done:
            return None
        stream, tail = self._ended
        try:
            following = stream.behind(tail)
        except MovedError:
            return None
        return None if following is None else (stream, following)

    def _following(self, batch: RawBatch) -> tuple[Stream, Tail] | None:
        """The next file of the stream, when this batch ended one and there is no other stream that might come next."""
        if self._follow or not batch.final or self._active.keys() != {batch.stream}:
            return None
        stream = self._streams[batch.stream]
        try:
            tail = stream.ready()
        except MovedError:
            return None
        return None if tail is None else (stream, tail)

    def _another(self, progress: Mapping[str, int], taken: Collection[str]) -> tuple[Stream, Tail] | None:
        """A stream for the same poll that would be the next whatever is in those taken.

        Files are not looked for anew before it is known what was given back of these.
        """
        if self._midway or progress.keys() & taken:
            return None
        try:
            return self._next(progress, {*taken, *progress})
        except MovedError:
            return None

    def _next(self, progress: Mapping[str, int], without: Collection[str]) -> tuple[Stream, Tail] | None:
        if self._follow:
            known = {name: stream for name, stream in sorted(self._streams.items()) if stream.grew()}
        else:
            known = self._active
        waiting = {name: stream for name, stream in known.items() if name not in without}
        while waiting:
            name = self._furthest_behind(waiting, progress)
            self._midway.discard(name)
            tail = waiting[name].ready()
            if tail is not None:
                return waiting[name], tail
            del waiting[name], known[name]
        return None

    def _furthest_behind(self, waiting: Mapping[str, Stream], progress: Mapping[str, int]) -> str:
        """By progress, then name; but a block that an earlier run broke off is read to its end first."""
        broken_off = sorted(self._midway & waiting.keys())
        names = broken_off or waiting
        unknown = next((name for name in names if name not in progress), None)
        return unknown if unknown is not None else min(names, key=lambda name: (progress[name], name))

    def _take(self, stream: Stream, tail: Tail, limit: int | None) -> RawBatch:
        batch = stream.take(tail, limit, self._clock())
        self._current = None if tail.block_done or tail.done else (stream, tail)
        self._ended = (stream, tail) if tail.done else None
        self._last.append(tail)
        self._keep(tail)
        return batch

    def _watch(self) -> None:
        """Look again now and then for new files, and at once when a live file is not the one it was."""
        waited = time.monotonic() - self._scanned
        if waited < max(self._config.poll_seconds, 10 * self._scan_cost):
            return
        if waited > self._config.rescan_seconds or any(stream.replaced() for stream in self._streams.values()):
            self._scan()

    def _hold_live(self) -> None:
        for stream in self._streams.values():
            if stream.tails and not stream.tails[-1].done:
                try:
                    stream.tails[-1].hold()
                except (MovedError, OSError):
                    continue  # reading it comes to the same place, and tells
                self._keep(stream.tails[-1])

    def _keep(self, tail: Tail) -> None:
        """Bound the number of open files; one that has lost its name must stay open."""
        self._open.pop(tail, None)
        if tail.is_open:
            self._open[tail] = None
        for other in [*self._open][: max(len(self._open) - _OPEN_FILES, 0)]:
            del self._open[other]
            if not other.orphan:
                other.close()
