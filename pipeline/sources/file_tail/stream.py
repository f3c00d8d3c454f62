"""The files of one stream, oldest first: which of them is which after a rotation, and what got lost on the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pipeline.sources.fault import Fault
from pipeline.sources.file_tail.look import Look, Status
from pipeline.sources.file_tail.match import Item, Match, Remembered, match_all, take_looks, without_copies
from pipeline.sources.file_tail.pace import Rules
from pipeline.sources.file_tail.tail import Tail
from pipeline.sources.identity import Mark, mark_of, partition_of

if TYPE_CHECKING:
    from pipeline.core.model import Position, RawBatch


_ORPHANS: Final = 2  # files without a name, read to their end, that are still looked at
_PAST: Final = 64  # files lost from sight that are still known
_LOT_BYTES, _LOT_FILES = 256 << 10, 64  # small files of one folder that are read in one go, as they lie on disk


class Stream:
    """One device's log. `refresh` is told which files there are; `ready` says which one to read next."""

    def __init__(self, name: str, rules: Rules, positions: Sequence[Position], report: Callable[[Fault], bool]) -> None:
        self.name = name
        self.tails: list[Tail] = []
        self.copies: list[str] = []
        self._rules = rules
        self._report = report
        self._pending = ""
        self._lots: dict[Tail, tuple[int, int]] = {}  # its place among them, and the number of its lot
        self._over = 0  # so many of the tails, from the first on, are done
        marks = [Remembered(replace(mark_of(p), file_generation=p.partition), p.offset) for p in positions]
        self._remembered = sorted(marks, key=lambda item: item.mark.generation)
        self._past: list[Remembered] = []  # lost from sight
        self._taken = {p.partition for p in positions}
        self._generation = max((item.mark.generation for item in marks), default=0)

    def refresh(self, paths: Sequence[str], wanted: Collection[str], *, sure: bool) -> bool:
        """Match the files there are, oldest first, with the ones known; what is not known is new.

        Of files that are not `wanted` only those are read that are known, or newer than a known one: what was rotated
        away since. False, with nothing changed, when a file is missed that may just be changing its name: to be asked
        again, at last with `sure`. Raises MovedError when files change under the look even so.
        """
        current: list[Item] = [*(self._remembered or self.tails)]
        held = {id(tail) for tail in self.tails if tail.intact()}
        looks = take_looks(paths, current, self.note)
        matches = match_all([*self._past, *current], looks)
        found = {id(match.item) for match in matches}
        orphans = [item for item in current if id(item) not in found and isinstance(item, Tail) and id(item) in held]
        found.update(map(id, orphans))
        missing = [item for item in current if id(item) not in found]
        fresh = self._fresh(looks, matches, wanted)
        if not sure and missing and (fresh or any(isinstance(item, Tail) for item in missing)):
            return False
        kept, copies = without_copies(fresh, [match.look for match in matches])
        self._remembered, self._past = [], [item for item in self._past if id(item) not in found]
        for item in missing:
            self._mourn(item, looks)
        placed = {match.look.path: self._place(match) for match in matches}
        placed |= {look.path: self._begin(look) for look in looks if look in kept}
        kept_open = orphans[-_ORPHANS:]
        for tail in orphans:
            tail.orphan = tail in kept_open or tail.unread > 0
            if not tail.orphan:
                self._mourn(tail, looks)
        self.copies = [look.path for look in copies]
        self.tails = [
            *(tail for tail in orphans if tail.orphan),
            *(placed[look.path] for look in looks if look.path in placed),
        ]
        self._over, self._lots = 0, _lots(self.tails)
        return True

    def _fresh(self, looks: Sequence[Look], matches: Sequence[Match], wanted: Collection[str]) -> list[Look]:
        """Files to begin with: the wanted ones, and with the live file what came between it and a known one."""
        known = {match.look for match in matches}
        first = next((index for index, look in enumerate(looks) if look in known), len(looks))
        after = first if self.name in wanted else len(looks)
        return [look for n, look in enumerate(looks) if look not in known and (look.path in wanted or n > after)]

    @property
    def idle(self) -> bool:
        """Read to its end for now, as far as was last seen."""
        return all(self.tails[index].idle for index in range(self._done(), len(self.tails)))

    def _done(self) -> int:
        """How many are done before the first that is not: there may be hundreds of thousands."""
        while self._over < len(self.tails) and self.tails[self._over].done:
            self._over += 1
        return self._over

    @property
    def midway(self) -> bool:
        """Whether a block was begun and not ended, or some of a lot were read and others not."""
        read = {self._lots[tail][1] for tail in self.tails if not tail.unread and (tail.done or tail.offset)}
        left = {self._lots[tail][1] for tail in self.tails if tail.unread}
        return bool(read & left) or any(tail.midway and tail.unread > 0 for tail in self.tails)

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
        for index in range(self._done(), len(self.tails)):
            tail = self.tails[index]
            if self.has_records(tail):
                return tail
            if tail.unfinished and any(self._grew(later) for later in self.tails[index + 1 :]):
                if not tail.settled:
                    return None  # what follows waits, for the order's sake, until this is sure to have ended
                tail.close_off()
                if self.has_records(tail):
                    return tail
        return None

    def behind(self, tail: Tail) -> Tail | None:
        """The next file with records of the lot of one that was read to its end. Raises MovedError."""
        index, lot = self._lots.get(tail, (len(self.tails), 0))  # it may be gone
        for later in range(index + 1, len(self.tails)):
            if self._lots[self.tails[later]][1] != lot:
                return None
            if self.has_records(self.tails[later]):
                return self.tails[later]
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
            self._over = min(self._over, self._lots[tail][0])
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

    def _place(self, match: Match) -> Tail:
        """The tail that reads on in the file that was found again."""
        item, look = match.item, match.look
        if isinstance(item, Tail):
            if match.same:
                item.rename(look.path)
            else:
                done = item.done and bool(item.mark.packed)
                item.move_to(look, item.offset)
                item.done = done or match.spent
            return item
        tail = Tail(self.name, look, self._rules, item.mark, item.offset)
        tail.done = match.spent
        return tail

    def _mourn(self, item: Item, looks: Sequence[Look]) -> None:
        """Say what may be missing of a file that is nowhere to be found; should it turn up, it is known still."""
        if isinstance(item, Tail):
            item.close()
        if item.mark.file_generation:
            self._past = [*self._past, Remembered(item.mark, item.offset)][-_PAST:]
        if item.mark.size and (self._newest(item) or (item.unread and isinstance(item, Tail))):
            cause, what = self._loss(item, looks)
            self.note(item.mark.path, cause, f"{self.name}: {what} (read to offset {item.offset})")

    def _newest(self, item: Item) -> bool:
        return item.mark.generation == self._generation

    def _loss(self, item: Item, looks: Sequence[Look]) -> tuple[str, str]:
        mark = item.mark
        here = next((look for look in looks if (look.status.dev, look.status.inode) == (mark.dev, mark.inode)), None)
        if here is not None and here.status.size >= item.offset and mark.head_matches(here.head):
            return "altered", "the file was changed before the place it was read to, and is read again"
        if item.unread:
            return "gap", f"{item.unread} bytes were lost before they could be read"
        if here is not None:
            return "truncated", "the file was cut back or overwritten in place"
        return "recreated", "the file was replaced, what it held last may be missing"

    def _begin(self, look: Look) -> Tail:
        self._generation += 1
        return Tail(self.name, look, self._rules, Mark(generation=self._generation), 0)


def _lots(tails: Sequence[Tail]) -> dict[Tail, tuple[int, int]]:
    """Place and lot of each. What is in one lot depends on the files that are there, not on where a run stopped."""
    found: dict[Tail, tuple[int, int]] = {}
    folder, size, count, lot = "", 0, 0, 0
    for index, tail in enumerate(tails):
        size, count = size + tail.status.size, count + 1
        if os.path.dirname(tail.path) != folder or size > _LOT_BYTES or count > _LOT_FILES:
            folder, size, count, lot = os.path.dirname(tail.path), tail.status.size, 1, lot + 1
        found[tail] = index, lot
    return found
