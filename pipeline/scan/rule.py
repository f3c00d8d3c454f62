"""A rule: the form of one kind of credential, and how to look for it where a block of text may hold one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

BEHIND: Final = 8 << 10  # bytes before an anchor that a rule may look at
AHEAD: Final = 16 << 10  # and from it on

Look = Callable[["Place"], Iterable["Match"]]
Check = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an anchor stands. What rules see ends BEHIND bytes before it and AHEAD from it on, so that what they find
    does not depend on how the text was cut into blocks.
    """

    data: bytes = field(repr=False)
    at: int

    @property
    def low(self) -> int:
        return max(self.at - BEHIND, 0)

    @property
    def high(self) -> int:
        return min(self.at + AHEAD, len(self.data))

    def match(self, pattern: re.Pattern[bytes], at: int | None = None) -> re.Match[bytes] | None:
        """The pattern exactly there (default: at the anchor)."""
        start = self.at if at is None else at
        return pattern.match(self.data, start, self.high) if start >= self.low else None

    def before(self, count: int) -> bytes:
        """The bytes in front of the anchor."""
        return self.data[max(self.at - count, self.low) : self.at]

    def around(self, count: int) -> bytes:
        """The bytes on both sides of the anchor, in lower case."""
        return self.data[max(self.at - count, self.low) : min(self.at + count, self.high)].lower()


@dataclass(frozen=True, slots=True)
class Match:
    """A credential at `data[start:end]`. `value` is what is hashed: the same for one secret however it is written. Its
    repr does not show it.
    """

    start: int
    end: int
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of credential.

    `anchors` are ASCII texts of which one stands in every such leak, found whatever their case; `look` is asked at
    each where `gate`, a short expression, matches as well. `public` is how many first characters every credential of
    the kind shares. A `weak` rule goes by what a value is called, and gives way to any rule that knows the value's own
    form.
    """

    name: str
    severity: str
    what: str
    why: str  # it is not noise
    anchors: tuple[str, ...]
    look: Look
    gate: bytes = b""
    public: int = 0
    weak: bool = False

    def preview(self, value: bytes) -> str:
        """At most four characters: those that are no secret, or an eighth of what is."""
        shown = value[: min(4, max(self.public, len(value) // 8))]
        return "".join(chr(byte) if 0x20 < byte < 0x7F else "?" for byte in shown)


def shaped(pattern: bytes, check: Check | None = None, *, back: int = 0) -> Look:
    """Looks for a form that begins `back` bytes before its anchor; the group `v`, or all of it, is the credential."""
    form = re.compile(pattern)
    group = "v" if "v" in form.groupindex else 0

    def look(place: Place) -> Iterator[Match]:
        found = place.match(form, place.at - back)
        if found and (check is None or check(found[group])):
            yield Match(*found.span(group), found[group])

    return look
