"""The time that is asked about, and how far the record reaches."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.commands import parse_since
from pipeline.core.errors import ConfigError, NoInputError

if TYPE_CHECKING:
    from pipeline.store import Ask

_ENDS: Final = "SELECT min(time) AS begins, max(time) AS ends FROM operations"
_MOMENT: Final = dt.timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Period:
    """[start, end) is asked about; the record's first and last operation are of `begins` and `ends`."""

    start: dt.datetime
    end: dt.datetime
    begins: dt.datetime
    ends: dt.datetime

    @property
    def until(self) -> dt.datetime:
        """The last moment of the period that the record knows of."""
        return min(self.end - _MOMENT, self.ends)


def period(ask: Ask, span: tuple[str | None, str | None]) -> Period:
    """`--from` and `--to`; open ends reach to the record's own. Raises ConfigError, and NoInputError for no record."""
    now = dt.datetime.now(dt.UTC)
    start, end = (parse_since(option, text, now) if text else None for option, text in zip(_OPTIONS, span, strict=True))
    if start and end and start >= end:
        raise ConfigError("--from is not before --to")
    (found,) = ask(_ENDS)
    if found["begins"] is None:
        raise NoInputError("there is not one operation in the lake yet")
    begins, ends = found["begins"].astimezone(dt.UTC), found["ends"].astimezone(dt.UTC)
    chosen = Period(start or begins, end or ends + _MOMENT, begins, ends)
    if chosen.start > ends or chosen.end <= begins:
        raise NoInputError(f"the record reaches from {told(begins)} to {told(ends)}: nothing of it is in that period")
    return chosen


_OPTIONS: Final = ("--from", "--to")


def told(moment: dt.datetime) -> str:
    """A time for people, to the minute, in UTC."""
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M}"


def number(count: int, what: str) -> str:
    """A count of things, in words: 1 hour, 2 hours."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def length(seconds: float) -> str:
    """A span for people, in its two largest units."""
    left = int(seconds)
    counts = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        counts.append((count, unit))
    first = next((at for at, (count, _) in enumerate(counts) if count), len(counts) - 1)
    shown = [f"{count} {unit}" for count, unit in counts[first : first + 2] if count]
    return " ".join(shown) or "0 s"
