"""Who did what on which days: addresses, and principals, that read several stores together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectors.store_sweep.reads import Stores

_LATELY: Final = 30  # days
_SCHEMA: Final = pl.Schema(
    {
        "stores": pl.String(),  # in order, with spaces between
        "name": pl.String(),
        "first": pl.Int64(),
        "last": pl.Int64(),
        "days": pl.Int64(),
        "told": pl.Int64(),
    }
)


@dataclass(slots=True)
class Days:
    """On how many days, the first and the last of them, and the last on which it was told; numbers since 1970."""

    first: int
    last: int
    days: int = 1
    told: int = -1

    def before(self, day: int) -> int:
        """On how many days before this one."""
        return self.days - (self.last >= day)


class Done:
    """For each set of stores the names that had all of them together; of more than `limit` the latest."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sets: dict[Stores, dict[str, Days]] = {}

    def of(self, name: str, stores: Stores) -> Iterator[tuple[Stores, Days]]:
        """Every set of this name that holds these stores."""
        for some, names in self._sets.items():
            if stores <= some and name in names:
                yield some, names[name]

    def days_before(self, name: str, stores: Stores, day: int) -> int:
        """On how many days before this one it had them, at least."""
        return max((days.before(day) for _, days in self.of(name, stores)), default=0)

    def most_of(self, name: str, day: int) -> tuple[Stores, int] | None:
        """What it had together on most days before this one, and on how many; None for nothing."""
        had = [(days.before(day), len(stores), sorted(stores)) for stores, days in self.of(name, frozenset())]
        days, _, stores = max(had, default=(0, 0, []))
        return (frozenset(stores), days) if days else None

    def learn(self, name: str, stores: Stores, day: int, *, told: bool = False) -> None:
        """It has them on this day."""
        names = self._sets.setdefault(stores, {})
        known = names.get(name)
        if known is None:
            names[name] = Days(day, day)
            if len(names) > self._limit:
                del names[next(iter(names))]
        elif day > known.last:
            known.last, known.days = day, known.days + 1
            names[name] = names.pop(name)
        if told and name in names:
            names[name].told = day

    def others(self, name: str, stores: Stores, day: int, most: int) -> int:
        """How many other names had them before this day and in the last weeks, counted up to `most`."""
        found = {
            other
            for some in self._sets
            if stores <= some
            for other in self._lately(some, day, most + 1)
            if other != name
        }
        return min(len(found), most)

    def _lately(self, stores: Stores, day: int, most: int) -> Iterator[str]:
        for name, days in reversed(self._sets[stores].items()):
            if days.last < day - _LATELY or not most:
                return
            if days.first < day:
                most -= 1
                yield name

    def snapshot(self) -> pl.DataFrame:
        """One row for each set and name, the one that was there longest ago first."""
        known = [(stores, name, days) for stores, names in self._sets.items() for name, days in names.items()]
        words = {stores: " ".join(sorted(stores)) for stores in self._sets}
        columns = {
            "stores": [words[stores] for stores, _, _ in known],
            "name": [name for _, name, _ in known],
            **{part: [getattr(days, part) for _, _, days in known] for part in ("first", "last", "days", "told")},
        }
        return pl.DataFrame(columns, schema=_SCHEMA)

    def restore(self, frame: pl.DataFrame) -> None:
        """Continue from a snapshot."""
        self._sets = {}
        for stores, name, first, last, days, told in frame.select(_SCHEMA.names()).iter_rows():
            self._sets.setdefault(frozenset(stores.split()), {})[name] = Days(first, last, days, told)
