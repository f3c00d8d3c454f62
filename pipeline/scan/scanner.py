"""Leaks in a stream of bytes, a block at a time: memory does not grow with the stream, nor with its longest line."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from pipeline.scan import text
from pipeline.scan.anchors import Anchors
from pipeline.scan.keyed import Key
from pipeline.scan.rule import AHEAD, BEHIND, Match, Place, Rule

if TYPE_CHECKING:
    from pipeline.core.model import Ints

_WEAK: Final = 1 << 10  # a weak match is no longer: so far behind its anchor stronger ones are looked for
_WAIT: Final = AHEAD + _WEAK + 64  # bytes that have to follow an anchor before it is judged, unless the stream ends
_BACK: Final = 320  # bytes in front of a weak match in which a stronger rule may have its anchor
_LINE: Final = 4 << 10  # bytes on both sides of a leak in which its line's time and secret are looked for


@dataclass(frozen=True, slots=True)
class Leak:
    """One credential in one line. It holds nothing that the credential could be had from."""

    position: int  # of the line's first byte in the stream
    time: dt.datetime | None
    rule: str
    preview: str
    keyed_hash: str
    secret: str | None
    severity: str


class Scanner:
    """Takes a stream in blocks of any size. What it finds depends on the stream alone, not on how it was cut."""

    def __init__(self, rules: Sequence[Rule], key: Key) -> None:
        self._anchors, self._key = Anchors(rules), key
        self._data = b"\n"  # a stream begins as a line does
        self._base = -1  # where in the stream `_data` begins
        self._line = 0  # where in the stream the line begins that goes on at the start of `_data`
        self._done = 0  # up to where in `_data` anchors have been judged
        self._last: tuple[int, set[tuple[str, str]]] = (-1, set())  # what was told of the newest line with a leak

    def feed(self, block: bytes) -> Iterator[Leak]:
        """What the next block shows."""
        self._data += block
        if len(self._data) - self._done > _WAIT:
            yield from self._judge(len(self._data) - _WAIT)
            self._forget()

    def finish(self) -> Iterator[Leak]:
        """What is left when nothing follows."""
        yield from self._judge(len(self._data))

    def _judge(self, until: int) -> Iterator[Leak]:
        """The leaks whose anchors stand before `until`."""
        places = self._anchors.places(self._data)
        for at in places[np.searchsorted(places, self._done) : np.searchsorted(places, until)].tolist():
            taken: list[Match] = []
            for rule in self._anchors.rules_at(self._data, at):
                for match in rule.look(Place(self._data, at)):
                    if any(_overlap(match, other) for other in taken):
                        continue
                    taken.append(match)
                    if not (rule.weak and self._stronger(match, places)):
                        yield from self._told(rule, match, at)
        self._done = until

    def _stronger(self, match: Match, places: Ints) -> bool:
        """Whether a rule knows the form of what a weak one found by its name."""
        low, high = np.searchsorted(places, [match.start - _BACK, match.end])
        for at in places[low:high].tolist():
            for rule in self._anchors.rules_at(self._data, at):
                if not rule.weak and any(_overlap(match, other) for other in rule.look(Place(self._data, at))):
                    return True
        return False

    def _told(self, rule: Rule, match: Match, at: int) -> Iterator[Leak]:
        data, start = self._data, self._data.rfind(b"\n", 0, match.start) + 1
        position = self._base + start if start else self._line
        keyed = self._key.hash(match.value)
        last, told = self._last
        told = told if position == last else set()
        if (rule.name, keyed) in told or keyed in self._key.known:
            return
        self._last = (position, told | {(rule.name, keyed)})
        low = max(at - BEHIND, 0)
        end = data.find(b"\n", at, at + _LINE)
        begin, end = max(start, at - _LINE), at + _LINE if end < 0 else end
        secret = text.secret_in(data[begin : match.start] + b" " + data[match.end : max(end, match.end)])
        time = text.time_at(data, low, max(start, low), end)
        yield Leak(position, time, rule.name, rule.preview(match.value), keyed, secret, rule.severity)

    def _forget(self) -> None:
        """Keep what rules may still look back at."""
        cut = self._done - BEHIND - _BACK
        if cut > 0:
            line = self._data.rfind(b"\n", 0, cut)
            self._line = self._line if line < 0 else self._base + line + 1
            self._data = self._data[cut:]
            self._base += cut
            self._done -= cut


def _overlap(one: Match, other: Match) -> bool:
    return one.start < other.end and other.start < one.end
