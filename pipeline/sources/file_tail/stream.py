"""The files of one stream, oldest first: which of them is which after a rotation, and what got lost on the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from pipeline.sources.fault import Fault
from pipeline.sources.file_tail.look import Look, MovedError, Status
from pipeline.sources.file_tail.pace import Rules
from pipeline.sources.file_tail.tail import Tail
from pipeline.sources.identity import Mark, digest, mark_of, partition_of

if TYPE_CHECKING:
    from pipeline.core.model import Position, RawBatch


class _Item(Protocol):
    """What is to be found again: a tail, or a position of an earlier run."""

    @property
    def mark(self) -> Mark: ...
    @property
    def offset(self) -> int: ...
    @property
    def read_to(self) -> int: ...
    @property
    def unread(self) -> int: ...


@dataclass(frozen=True, slots=True)
class _Remembered:
    mark: Mark
    offset: int

    @property
    def read_to(self) -> int:
        return self.offset

    @property
    def unread(self) -> int:
        if self.mark.packed:
            return 0 if self.mark.complete else self.mark.size
        return max(self.mark.size - self.offset, 0)


class Stream:
    """One device's log. `refresh` is told which files there are; `ready` says which one to read next."""

    def __init__(self, name: str, rules: Rules, positions: Sequence[Position], report: Callable[[Fault], bool]) -> None:
        self.name = name
        self.tails: list[Tail] = []
        self.copies: list[str] = []
        self._rules = rules
        self._report = report
        self._pending = ""
        marks = [_Remembered(replace(mark_of(p), file_generation=p.partition), p.offset) for p in positions]
        self._remembered = sorted(marks, key=lambda item: item.mark.generation)
        self._taken = {p.partition for p in positions}
        self._generation = max((item.mark.generation for item in marks), default=0)

    def refresh(self, paths: Sequence[str], wanted: Collection[str]) -> None:
        """Match the files there are, oldest first, with the ones known: by inode, else by content; the rest is new.

        Of files that are not `wanted` only those are read that are known, or newer than a known one: what was rotated
        away since.
        """
        looks = self._look(paths)
        items: list[_Item] = [*(self._remembered or self.tails)]
        self._remembered = []
        pairs = _pair(items, looks)
        placed = {look.path: self._place(item, look) for item, look in pairs}
        found = {id(item) for item, _ in pairs}
        orphans = [t for item in items if id(item) not in found and (t := self._gone(item, items, looks))]
        self._begin(looks, placed, wanted)
        self.tails = [*orphans[-2:], *(placed[look.path] for look in looks if look.path in placed)]

    @property
    def idle(self) -> bool:
        """Read to its end for now, as far as was last seen."""
        return all(tail.idle for tail in self.tails)

    def grew(self) -> bool:
        """Whether some file may have records. Raises MovedError."""
        return any(self._grew(tail) for tail in self.tails)

    def replaced(self) -> bool:
        """Whether the live path leads to another file than the newest one known, or no longer to it."""
        newest = self.tails[-1] if self.tails else None
        try:
            status = Status.of(os.stat(self.name))
        except OSError:
            return newest is not None and newest.path == self.name and not newest.orphan
        return newest is None or not newest.status.same_file(status)

    def ready(self) -> Tail | None:
        """The oldest file with records at hand. Raises MovedError when a file is no longer what it was."""
        for index, tail in enumerate(self.tails):
            if self.has_records(tail):
                return tail
            if tail.unfinished and any(self._grew(later) for later in self.tails[index + 1 :]):
                if not tail.settled:
                    return None  # what follows waits, for the order's sake, until this is sure to have ended
                tail.close_off()
                if self.has_records(tail):
                    return tail
        return None

    def take(self, tail: Tail, limit: int | None, ingest_ns: int) -> RawBatch:
        """The next batch of a tail that is ready; the first one after something happened says what."""
        batch = tail.take(limit, self._pending, self._name, ingest_ns)
        self._pending = ""
        self._taken.add(batch.partition)
        return batch

    def rewind(self, batch: RawBatch, consumed: int) -> Tail | None:
        """Give records back to the file they came from; a fault told with none of them consumed is told again."""
        tail = next((t for t in self.tails if t.mark.file_generation == batch.partition), None)
        if tail is not None:
            tail.rewind(batch, consumed)
            if not consumed and batch.fault and not batch.final:
                self._pending = batch.fault
        return tail

    def note(self, file: str, cause: str, message: str, *, pending: bool = True) -> None:
        """Report, and tell with the next batch; a known loss outweighs a possible one."""
        new = self._report(Fault(self.name, file, cause, message))
        if new and pending and (not self._pending or cause == "gap"):
            self._pending = cause

    def _name(self, head: bytes) -> str:
        return partition_of(head, self._taken)

    def _grew(self, tail: Tail) -> bool:
        try:
            return tail.grew()
        except OSError as error:
            self._give_up(tail, error)
            return False

    def has_records(self, tail: Tail) -> bool:
        try:
            ready = tail.grew() and tail.prepare()
        except OSError as error:
            self._give_up(tail, error)
            return False
        if tail.damage:
            self.note(tail.path, tail.damage, f"{tail.path} is damaged: {tail.damage}", pending=not ready)
        return ready

    def _give_up(self, tail: Tail, error: OSError) -> None:
        tail.close()
        tail.done = True  # for this run; the position stays, so the next one tries again
        self.note(tail.path, "unreadable", f"{tail.path} cannot be read: {error.strerror}")

    def _look(self, paths: Sequence[str]) -> list[Look]:
        looks = []
        for path in paths:
            try:
                look = Look(path)
                if foreign := look.foreign:
                    self.note(path, "unreadable", f"{path} is compressed with {foreign}", pending=False)
                else:
                    looks.append(look)
            except MovedError:
                continue  # it went away between two looks; the next one finds it where it is
            except OSError as error:
                self.note(path, "unreadable", f"{path} cannot be read: {error.strerror}", pending=False)
        return looks

    def _place(self, item: _Item, look: Look) -> Tail:
        """The tail that reads on in this file."""
        if isinstance(item, Tail) and look.status.same_file(item.status) and look.packed == item.mark.packed:
            item.rename(look.path)
            return item
        if isinstance(item, Tail):
            tail, offset, done = item, item.offset, item.done and bool(item.mark.packed)
            tail.move_to(look, offset)
        else:
            offset, done = item.offset, False
            tail = Tail(self.name, look, self._rules, item.mark, offset)
            if not look.packed and not look.tail_agrees(item.mark):
                self.note(look.path, "altered", f"{look.path} was changed before offset {offset}, where it was read to")
        tail.done = done or (bool(look.packed) and look.adds_nothing(item.mark, offset))
        return tail

    def _gone(self, item: _Item, items: Sequence[_Item], looks: Sequence[Look]) -> Tail | None:
        """A file no path leads to: read on while it is held open, else say what may be missing."""
        if isinstance(item, Tail):
            if item.intact():
                item.orphan = True
                return item
            item.close()
        newest = item.mark.generation == max(other.mark.generation for other in items)
        if item.mark.size and (newest or (item.unread and isinstance(item, Tail))):
            cause, what = self._loss(item, looks)
            self.note(item.mark.path, cause, f"{self.name}: {what} (read to offset {item.offset})")
        return None

    def _loss(self, item: _Item, looks: Sequence[Look]) -> tuple[str, str]:
        if item.unread:
            return "gap", f"{item.unread} bytes were lost before they could be read"
        if any((look.status.dev, look.status.inode) == (item.mark.dev, item.mark.inode) for look in looks):
            return "truncated", "the file was cut back or overwritten in place"
        return "recreated", "the file was replaced, what it held last may be missing"

    def _begin(self, looks: Sequence[Look], placed: dict[str, Tail], wanted: Collection[str]) -> None:
        """Tails for the files that are new; a compressed file is weighed after the plain one it may be a copy of."""
        known = [index for index, look in enumerate(looks) if look.path in placed]
        after = known[0] if known and self.name in wanted else len(looks)
        fresh = [
            look for index, look in enumerate(looks)
            if look.path not in placed and (look.path in wanted or index > after)
        ]  # fmt: skip
        kept = self._without_copies(fresh, [look for look in looks if look.path in placed])
        for look in looks:
            if look.path in kept:
                self._generation += 1
                placed[look.path] = Tail(self.name, look, self._rules, Mark(generation=self._generation), 0)

    def _without_copies(self, fresh: Sequence[Look], read: Sequence[Look]) -> set[str]:
        if not fresh:
            return set()
        same: dict[str, list[Look]] = {}
        for look in read:
            same.setdefault(_first_line(look), []).append(look)
        kept = set()
        for look in sorted(fresh, key=lambda look: bool(look.packed)):
            others = same.setdefault(_first_line(look), [])
            if any(look.repeats(other) for other in others):
                self.copies.append(look.path)
            else:
                kept.add(look.path)
                others.append(look)
        return kept


def _first_line(look: Look) -> str:
    return digest(look.head.partition(b"\n")[0])


def _pair(items: Sequence[_Item], looks: Sequence[Look]) -> list[tuple[_Item, Look]]:
    """Files found again: first by inode and beginning, then by content alone, the latest begun first."""
    pairs: list[tuple[_Item, Look]] = []
    free = dict.fromkeys(looks)
    by_inode = {(look.status.dev, look.status.inode): look for look in looks}
    missing = []
    for item in reversed(items):
        look = by_inode.get((item.mark.dev, item.mark.inode))
        if look in free and look is not None and look.is_same_file(item.mark, item.read_to):
            pairs.append((item, look))
            del free[look]
        else:
            missing.append(item)
    for item in missing:
        look = next((look for look in free if look.holds(item.mark, item.offset)), None)
        if look is not None:
            pairs.append((item, look))
            del free[look]
    return pairs
