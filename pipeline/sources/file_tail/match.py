"""Which of the files there are is which of the files known: by inode and beginning, else by content."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.sources.file_tail.look import Look, MovedError
from pipeline.sources.file_tail.rotation import PACKED
from pipeline.sources.identity import Mark, digest


class Item(Protocol):
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
class Remembered:
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


@dataclass(frozen=True, slots=True)
class Match:
    """A known file found again: `same` by its inode, else by what it holds."""

    item: Item
    look: Look
    same: bool
    spent: bool = False  # a compressed file with nothing past the offset


def take_looks(paths: Sequence[str], items: Sequence[Item], note: Callable[..., None]) -> list[Look]:
    """A look at each path. Of a file that changed since, the beginning is read, so that trouble shows here."""
    unchanged = {(item.mark.dev, item.mark.inode, item.mark.size, item.mark.mtime_ns) for item in items}
    looks = []
    for path in paths:
        try:
            look = Look(path)
            status = look.status
            known = (status.dev, status.inode, status.size, status.mtime_ns) in unchanged
            if not known and (foreign := look.foreign):
                note(path, "unreadable", f"{path} is compressed with {foreign}", pending=False)
            else:
                looks.append(look)
        except (MovedError, FileNotFoundError):
            continue  # it changed its name between two looks; whoever misses it asks again
        except OSError as error:
            note(path, "unreadable", f"{path} cannot be read: {error.strerror}", pending=False)
    return looks


def match_all(items: Sequence[Item], looks: Sequence[Look]) -> list[Match]:
    """Files found again, the latest begun first. Raises MovedError, OSError."""
    free = dict.fromkeys(looks)
    by_inode = {(look.status.dev, look.status.inode): look for look in looks}
    matches, missing = [], []
    for item in reversed(items):
        look = by_inode.get((item.mark.dev, item.mark.inode))
        if look is not None and look in free and look.is_same_file(item.mark, item.read_to):
            matches.append(_match(item, look, same=True))
            del free[look]
        else:
            missing.append(item)
    for item in missing:
        look = next((look for look in free if look.holds(item.mark, item.offset)), None)
        if look is not None:
            matches.append(_match(item, look, same=False))
            del free[look]
    return matches


def _match(item: Item, look: Look, *, same: bool) -> Match:
    if same and not isinstance(item, Remembered):
        return Match(item, look, same)
    spent = bool(look.packed) and look.adds_nothing(item.mark, item.offset)
    return Match(item, look, same, spent=spent)


def without_copies(fresh: Sequence[Look], read: Sequence[Look]) -> tuple[set[Look], list[Look]]:
    """New files, and those among them that only repeat another. Raises MovedError, OSError.

    A compressed file is weighed after the plain ones it may be a copy of. Beside the file whose name it has but for the
    ending it is being made of that, however little it holds yet; but what holds more than another is no copy of it.
    """
    paths = {look.path: look for look in [*read, *fresh]}
    same: dict[str, list[Look]] = {}
    for look in read if fresh else ():
        same.setdefault(_first_line(look), []).append(look)
    kept, copies = set(), []
    for look in sorted(fresh, key=lambda look: bool(look.packed)):
        others = same.setdefault(_first_line(look), [])
        origin = paths.get(PACKED.sub("", look.path), look)
        made_of_it = origin is not look and bool(look.packed) and look.begins(origin)
        if made_of_it or any(look.repeats(other) for other in others):
            copies.append(look)
        else:
            kept.add(look)
            others.append(look)
    return kept, copies


def _first_line(look: Look) -> str:
    return digest(look.head.partition(b"\n")[0])
