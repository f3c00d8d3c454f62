"""Cutting records that are not simply one object: torn and glued lines, NUL runs, objects over several lines.

A writer that lost power, a truncated file, two writers, a pretty-printer: whatever the cause, each object is found at
its own first byte, and what lies between is kept as a piece of its own with the reason it was refused.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from pipeline.decoders._exact import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.decoders._format import Formats, Parsed

MAX_PREFIX: Final = 512
_REMAINS: Final = re.compile(rb'[\x00}]|"\s*[:,]|hmac-sha256:[0-9a-f]')
QUICK_MAX: Final = 1 << 20  # longer text is not made into objects only to find its end
_WINDOW: Final = 1 << 14  # how much of it is looked at first
_LONGEST: Final = 16  # no literal or escape is longer: an error so near the end may come of the end
_TRIES: Final = 8

_NULS: Final = re.compile(rb"\x00+")
_BLANK: Final = b" \t\r\n"
BOM: Final = b"\xef\xbb\xbf"
_XML: Final = re.compile(rb"\s*(?:<\?xml|<json:|</|<[A-Za-z][\w:.-]*[\s/>])")
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(")?|[{}\[\],:]|[^\s"{}\[\],:]++', re.DOTALL)
_QUICK: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)
# What holds the entries of a document together: a list, or an object that is little more than a list of them.
BRACKETS: Final = "brackets"
_MEMBER: Final = (
    rb'"[^"\\]*+"\s*+:\s*+(?:"(?:[^"\\]|\\.)*+"|\{[^{}\[\]]*+\}|\[[^{}\[\]]*+\]|null|true|false|-?\d[\d.eE+-]*+)\s*+'
)
_LIST: Final = rb'"(?:Records|records|items|entries|value)"\s*+:\s*+\['
_BEGUN: Final = rb"\{\s*+(?:(?!" + _LIST + rb")" + _MEMBER + rb",\s*+)*+" + _LIST
HEAD: Final = re.compile(_BEGUN)
# After the list there may be other members, such as the token of the next page.
_ENDED: Final = rb"\]\s*+(?:,\s*+" + _MEMBER + rb")*+\}"
END: Final = re.compile(_ENDED)
_RUN: Final = re.compile(rb"(?:" + _BEGUN + rb"|" + _ENDED + rb"|[\[\], \t\r\n])++")
_CLOSED: Final = re.compile(rb"\}[ \t\r\n]*+(?:,[ \t\r\n]*+)?")
_TAIL: Final = re.compile(rb"\s*+(?:(?:,|\](?:\s*+\})?)\s*+)?")
_OPENING: Final = frozenset({b"{", b"["})
_CLOSING: Final = {b"}": 0x7B, b"]": 0x5B}
_BEFORE_VALUE: Final = frozenset({b":", b",", b"["})
_BEFORE_STRING: Final = _BEFORE_VALUE | {b"{"}
_BEFORE_ITEM: Final = frozenset({b"[", b","})


class Piece(NamedTuple):
    """`data[start:end]`, and what came of it: an entry that begins at `body`, or a reason."""

    start: int
    end: int
    body: int
    entry: Parsed | None
    reason: str


def benign_prefix(text: bytes) -> bool:
    """Whether text before `{` may be a prefix or a log header, and not what is left of another entry."""
    return len(text) <= MAX_PREFIX and not _REMAINS.search(text)


def cut_nuls(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """The stretches of `data[start:end]`: first byte, end, and whether it is a run of NULs."""
    at = start
    for match in _NULS.finditer(data, start, end):
        if match.start() > at:
            yield at, match.start(), False
        yield match.start(), match.end(), True
        at = match.end()
    if at < end:
        yield at, end, False


def cut(data: bytes, start: int, end: int, formats: Formats) -> Iterator[Piece]:
    """The pieces of one stretch of text without NULs and line ends that is complete in itself.

    It may be part of a list of entries, where `formats` come in such: brackets that stand alone are a piece with reason
    BRACKETS, a comma belongs to the entry beside it.
    """
    marks, documents = _Marks(data, end, formats), formats.documents
    while True:
        start, end = _trimmed(data, start, end)
        if start == end:
            return
        inside = _brackets_end(data, start, end, formats) if documents else start
        if inside == end:
            yield Piece(start, end, start, None, BRACKETS)
            return
        piece = _first(data, inside, end, marks, formats)
        if inside > start and piece.entry is None:
            yield Piece(start, inside, start, None, BRACKETS)
        elif inside > start:
            piece = piece._replace(start=start)
        if documents and piece.entry is not None:
            piece = piece._replace(end=tail_end(data, piece.end, end))
        yield piece
        start = piece.end


def _brackets_end(data: bytes, start: int, end: int, formats: Formats) -> int:
    """Where what holds entries together ends: before one, or at the end of the stretch; `start` where there is none.

    An entry that has a list of such a name is none of that.
    """
    behind = start + len(BOM) if data.startswith(BOM, start) else start
    run = _CLOSED.fullmatch(data, start, end) or _RUN.match(data, behind, end)
    if run is None or (run.end() < end and data[run.end()] != 0x7B) or formats.hinted.search(data, start, run.end()):
        return start
    return run.end()


def tail_end(data: bytes, start: int, end: int) -> int:
    """Where what closes a list or goes on with it ends, if there is nothing else behind an entry; else `start`."""
    return end if _TAIL.fullmatch(data, start, end) else start


def _trimmed(data: bytes, start: int, end: int) -> tuple[int, int]:
    while start < end and data[start] in _BLANK:
        start += 1
    while end > start and data[end - 1] in _BLANK:
        end -= 1
    return start, end


class _Marks:
    """Whether an entry may begin at or behind a place; looked for once, however many pieces ask."""

    def __init__(self, data: bytes, end: int, formats: Formats) -> None:
        self._places = (match.start() for match in formats.mark.finditer(data, 0, end))
        self._next: int | None = -1

    def behind(self, place: int) -> bool:
        """Whether there is one; places only go up."""
        while self._next is not None and self._next < place:
            self._next = next(self._places, None)
        return self._next is not None


def _first(data: bytes, start: int, end: int, marks: _Marks, formats: Formats) -> Piece:
    """The piece that begins at `start`."""
    if _XML.match(data, start, end):
        return Piece(start, end, start, None, "jsonx")
    brace = data.find(b"{", start, end)
    if brace < 0 or not benign_prefix(_without_bom(data[start:brace])):
        return _headless(data, start, end, formats)
    stop, fault = object_end(data, brace, end)
    if stop is None:
        return _torn(data, start, brace, fault, end, formats)
    try:
        return Piece(start, stop, brace, formats.judge(data[brace:stop]), "")
    except RefusedError as refused:
        reason = str(refused.args[0])
    inside = start < brace and formats.inside.search(data, start, stop)
    if reason == "malformed" or (reason == "unknown_format" and inside):
        return _torn(data, start, brace, _fault_at(data, brace, stop), end, formats, reason=reason)
    goes_on = formats.documents and _brackets_end(data, stop, end, formats) > stop
    if reason == "unknown_format" and not goes_on and not marks.behind(stop):
        stop = end  # a line of some other log
    return Piece(start, stop, brace, None, reason)


def _without_bom(text: bytes) -> bytes:
    return text.removeprefix(BOM)


def _fault_at(data: bytes, start: int, end: int) -> int:
    """The byte at which JSON syntax breaks."""
    try:
        _QUICK.decode(data[start:end].decode("latin-1"))
    except json.JSONDecodeError as error:
        return start + error.pos
    except RecursionError:
        return end
    return end


def _torn(  # noqa: PLR0917
    data: bytes, start: int, brace: int, fault: int, end: int, formats: Formats, *, reason: str = "malformed"
) -> Piece:
    """The unreadable piece at `start`, up to the next entry that is glued to it, if there is one."""
    at = max(brace + 1, fault - 16)
    for match, _ in zip(formats.mark.finditer(data, at, end), range(_TRIES), strict=False):
        if _is_entry_at(data, match.start(), end, formats):
            return Piece(start, match.start(), start, None, "torn")
    cut_off = data[end - 1] != 0x7D and formats.begins(data[brace:end])
    return Piece(start, end, start, None, "torn" if cut_off else reason)


def _is_entry_at(data: bytes, start: int, end: int, formats: Formats) -> bool:
    """Whether an entry, whole or itself cut off, begins here."""
    stop, _ = object_end(data, start, end)
    if stop is None:
        return formats.opening.match(data, start) is not None
    try:
        formats.judge(data[start:stop])
    except RefusedError as refused:
        return refused.args[0] not in {"malformed", "unknown_format", "bad_time"}
    return True


def _headless(data: bytes, start: int, end: int, formats: Formats) -> Piece:
    """A piece without a beginning: the tail of an entry, or no entry at all."""
    if data[start] in b'["-0123456789tfn' and _quick_end(data, start, end) == end:
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(data[start:end])
            return Piece(start, end, start, None, "not_object")
    for match, _ in zip(formats.mark.finditer(data, start, end), range(_TRIES), strict=False):
        if _is_entry_at(data, match.start(), end, formats):
            return Piece(start, match.start(), start, None, _kind(data, start, match.start(), formats))
    return Piece(start, end, start, None, _kind(data, start, end, formats))


def _kind(data: bytes, start: int, end: int, formats: Formats) -> str:
    try:
        data[start:end].decode()
    except UnicodeDecodeError:
        return "bad_utf8"
    return "torn" if formats.inside.search(data, start, end) else "unknown_format"


def object_end(data: bytes, start: int, end: int) -> tuple[int | None, int]:
    """(end of the object that begins at `start`, 0), or (None, the byte where it became clear that it has none)."""
    quick = _quick_end(data, start, end)
    if quick is not None:
        return quick, 0
    scan = Scan()  # slower by far, and knows where it breaks
    stop = scan.feed(data, start, end)
    return (stop, 0) if stop is not None else (None, scan.at)


def _quick_end(data: bytes, start: int, end: int) -> int | None:
    """The end of the JSON value that begins at `start`, if it is not too long to make it into objects.

    What lies behind the value is not looked at, but for a window: a line of many values is not copied for each.
    """
    size = _WINDOW
    while True:
        text = data[start : min(start + size, end)].decode("latin-1")
        try:
            return start + _QUICK.raw_decode(text)[1]
        except json.JSONDecodeError as error:
            broken = error.pos < len(text) - _LONGEST and not error.msg.startswith("Unterminated")
            if broken or start + size >= end or size >= QUICK_MAX:
                return None
        except RecursionError:
            return None
        size = min(8 * size, QUICK_MAX)


class Scan:
    """Follows brackets and strings of one object over several lines; says where it ends or that it cannot."""

    def __init__(self) -> None:
        self.stack = bytearray()
        self.last = b""
        self.broken = False
        self.at = 0

    def feed(self, data: bytes, start: int, end: int) -> int | None:
        """Read one more stretch of text. The end of the object, or None when it does not end here."""
        for match in _TOKEN.finditer(data, start, end):
            self.at = match.start()
            if not self._take(match[0][:1], closed=match[1] is not None):
                self.broken = True
                return None
            self.last = match[0][:1]
            if not self.stack:
                return match.end()
        self.at = end
        return None

    def _take(self, head: bytes, *, closed: bool) -> bool:
        """Whether a token that begins so may stand here, as far as its neighbour and the brackets tell."""
        if head == b'"':
            return closed and self.last in _BEFORE_STRING
        if head in _OPENING:
            may = not self.stack or self.last == b":" or (self.stack[-1:] == b"[" and self.last in _BEFORE_ITEM)
            self.stack += head
            return may
        if head in _CLOSING:
            return bool(self.stack) and self.stack.pop() == _CLOSING[head]
        return head in b",:" or self.last in _BEFORE_VALUE
