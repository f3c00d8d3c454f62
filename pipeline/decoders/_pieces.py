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
    from collections.abc import Callable, Iterator

    from pipeline.decoders._format import Parsed

    Judge = Callable[[bytes], Parsed]

MAX_RECORDS: Final = 10_000  # of an object over several lines
MAX_BYTES: Final = 4 << 20
MAX_PREFIX: Final = 512
QUICK_MAX: Final = 1 << 20  # longer text is not made into objects only to find its end
_WINDOW: Final = 1 << 14  # how much of it is looked at first
_LONGEST: Final = 16  # no literal or escape is longer: an error so near the end may come of the end
_TRIES: Final = 8

_NULS: Final = re.compile(rb"\x00+")
_BLANK: Final = b" \t\r\n"
_FIRST: Final = (
    b"time", b"type", b"auth", b"request", b"response", b"error", b"forwarded", b"eventVersion", b"awsRegion",
)  # fmt: skip
_MARK: Final = re.compile(rb'\{\s*"(?:' + b"|".join(_FIRST) + rb')"')
_HEADS: Final = tuple(b'{"%s":' % name for name in _FIRST)
# What only the inside of an audit entry looks like.
_INSIDE: Final = re.compile(
    rb'hmac-sha256:[0-9a-f]|"(?:request|auth|client_token|remote_address|mount_type)":|"type":"re'
    rb'|"(?:eventSource|userIdentity|requestParameters)"\s*:'
)
_XML: Final = re.compile(rb"\s*(?:<\?xml|<json:|</|<[A-Za-z][\w:.-]*[\s/>])")
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(")?|[{}\[\],:]|[^\s"{}\[\],:]++', re.DOTALL)
_QUICK: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)
# What holds the entries of a document together: a list, or an object that is little more than a list of them.
BRACKETS: Final = "brackets"
_BEGUN: Final = rb'\{\s*(?:"\w+"\s*:\s*(?:"[^"\\]*+"|\{\s*\}|null|-?\d+)\s*,\s*)*+"(?:Records|records|items)"\s*:\s*\['
HEAD: Final = re.compile(_BEGUN)
_RUN: Final = re.compile(rb"(?:" + _BEGUN + rb"|\]\s*\}|[\[\],]|\s)++")
_CLOSED: Final = re.compile(rb"\}\s*,?\s*")
_TAIL: Final = re.compile(rb"\s*(?:,|\](?:\s*\})?)?\s*")
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
    return len(text) <= MAX_PREFIX and not re.search(rb'[\x00}]|"\s*[:,]', text) and not _INSIDE.search(text)


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


def cut(data: bytes, start: int, end: int, judge: Judge, *, documents: bool = False) -> Iterator[Piece]:
    """The pieces of one stretch of text without NULs and line ends that is complete in itself.

    With `documents` it may be part of a list of entries: brackets that stand alone are a piece with reason BRACKETS, a
    comma belongs to the entry beside it.
    """
    marks = _Marks(data, end)
    while True:
        start, end = _trimmed(data, start, end)
        if start == end:
            return
        inside = _brackets_end(data, start, end) if documents else start
        if inside == end:
            yield Piece(start, end, start, None, BRACKETS)
            return
        piece = _first(data, inside, end, marks, judge, documents=documents)
        if inside > start and piece.entry is None:
            yield Piece(start, inside, start, None, BRACKETS)
        elif inside > start:
            piece = piece._replace(start=start)
        if documents and piece.entry is not None and (tail := tail_end(data[piece.end : end])):
            piece = piece._replace(end=piece.end + tail)
        yield piece
        start = piece.end


def _brackets_end(data: bytes, start: int, end: int) -> int:
    """Where what holds entries together ends: before one, or at the end of the stretch; `start` where there is none."""
    run = _CLOSED.fullmatch(data, start, end) or _RUN.match(data, start, end)
    return run.end() if run is not None and (run.end() == end or data[run.end()] == 0x7B) else start


def tail_end(rest: bytes) -> int:
    """The length of what closes a document or goes on with it, if that is all there is behind an entry; else 0."""
    return len(rest) if _TAIL.fullmatch(rest) else 0


def _trimmed(data: bytes, start: int, end: int) -> tuple[int, int]:
    while start < end and data[start] in _BLANK:
        start += 1
    while end > start and data[end - 1] in _BLANK:
        end -= 1
    return start, end


class _Marks:
    """Whether an entry may begin at or behind a place; looked for once, however many pieces ask."""

    def __init__(self, data: bytes, end: int) -> None:
        self._places = (match.start() for match in _MARK.finditer(data, 0, end))
        self._next: int | None = -1

    def behind(self, place: int) -> bool:
        """Whether there is one; places only go up."""
        while self._next is not None and self._next < place:
            self._next = next(self._places, None)
        return self._next is not None


def _first(data: bytes, start: int, end: int, marks: _Marks, judge: Judge, *, documents: bool) -> Piece:
    """The piece that begins at `start`."""
    if _XML.match(data, start, end):
        return Piece(start, end, start, None, "jsonx")
    brace = data.find(b"{", start, end)
    if brace < 0 or not benign_prefix(_without_bom(data[start:brace])):
        return _headless(data, start, end, judge)
    stop, fault = object_end(data, brace, end)
    if stop is None:
        return _torn(data, start, brace, fault, end, judge)
    try:
        return Piece(start, stop, brace, judge(data[brace:stop]), "")
    except RefusedError as refused:
        reason = str(refused.args[0])
    if reason == "malformed" or (reason == "unknown_format" and start < brace and _INSIDE.search(data, start, stop)):
        return _torn(data, start, brace, _fault_at(data, brace, stop), end, judge, reason=reason)
    goes_on = documents and _brackets_end(data, stop, end) > stop
    if reason == "unknown_format" and not goes_on and not marks.behind(stop):
        stop = end  # a line of some other log
    return Piece(start, stop, brace, None, reason)


def _without_bom(text: bytes) -> bytes:
    return text.removeprefix(b"\xef\xbb\xbf")


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
    data: bytes, start: int, brace: int, fault: int, end: int, judge: Judge, *, reason: str = "malformed"
) -> Piece:
    """The unreadable piece at `start`, up to the next entry that is glued to it, if there is one."""
    at = max(brace + 1, fault - 16)
    for match, _ in zip(_MARK.finditer(data, at, end), range(_TRIES), strict=False):
        if _is_entry_at(data, match.start(), end, judge):
            return Piece(start, match.start(), start, None, "torn")
    cut_off = data[end - 1] != 0x7D and _begins_entry(data[brace:end])
    return Piece(start, end, start, None, "torn" if cut_off else reason)


def _begins_entry(text: bytes) -> bool:
    """Whether this is how an audit entry begins, however little of it there is."""
    return _INSIDE.search(text) is not None or any(text.startswith(head) or head.startswith(text) for head in _HEADS)


def _is_entry_at(data: bytes, start: int, end: int, judge: Judge) -> bool:
    """Whether an entry, whole or itself cut off, begins here."""
    stop, _ = object_end(data, start, end)
    if stop is None:
        return bool(re.match(rb'\{"(?:time|auth|eventVersion)":', data[start : start + 16]))
    try:
        judge(data[start:stop])
    except RefusedError as refused:
        return refused.args[0] not in {"malformed", "unknown_format", "bad_time"}
    return True


def _headless(data: bytes, start: int, end: int, judge: Judge) -> Piece:
    """A piece without a beginning: the tail of an entry, or no entry at all."""
    if data[start] in b'["-0123456789tfn' and _quick_end(data, start, end) == end:
        with contextlib.suppress(ValueError, RecursionError):
            json.loads(data[start:end])
            return Piece(start, end, start, None, "not_object")
    for match, _ in zip(_MARK.finditer(data, start, end), range(_TRIES), strict=False):
        if _is_entry_at(data, match.start(), end, judge):
            return Piece(start, match.start(), start, None, _kind(data, start, match.start()))
    return Piece(start, end, start, None, _kind(data, start, end))


def _kind(data: bytes, start: int, end: int) -> str:
    try:
        data[start:end].decode()
    except UnicodeDecodeError:
        return "bad_utf8"
    return "torn" if _INSIDE.search(data, start, end) else "unknown_format"


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
