"""What comes over a connection, cut into whole lines: ended by LF, or syslog messages in their frames (RFC 6587).

A connection's unfinished line is held in memory up to a cap; of a longer one the beginning stays, size and SHA-256 are
of all of it. So whatever is sent, a connection holds no more than that.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from pipeline.sources.records import KEPT

if TYPE_CHECKING:
    from collections.abc import Callable

_COUNT: Final = re.compile(rb"([1-9][0-9]{0,8}) ")
_COUNTING: Final = re.compile(rb"[1-9][0-9]{0,8}")
_UNDECIDED, _TO_LINE_END = -1, -2
_AROUND: Final = b"\r\n\0"  # what senders put behind a message; it is no part of it


@dataclass(frozen=True, slots=True)
class Long:
    """A line past the cap: where what is kept of it stands in a chunk, and what it was."""

    at: int
    kept: int
    size: int
    sha256: bytes


@dataclass(slots=True)
class Chunk:
    """Whole lines, one behind the other."""

    data: bytearray = field(default_factory=bytearray)
    long: list[Long] = field(default_factory=list)

    def line(self, text: bytes, whole: tuple[int, bytes] | None = None) -> None:
        """Add one; `whole` is size and SHA-256 of a line of which `text` is only the beginning."""
        if whole is not None:
            self.long.append(Long(len(self.data), len(text), *whole))
        self.data += text
        self.data += b"\n"


class Framer(Protocol):
    """One connection's cutting. `end` gives what is left when it ends, as a line of its own."""

    rest: Unfinished

    def feed(self, data: bytes) -> Chunk: ...

    def end(self) -> Chunk: ...


class Unfinished:
    """A line that has no end yet."""

    def __init__(self, cap: int) -> None:
        self._cap, self._kept = cap, min(cap, KEPT)
        self._text = bytearray()
        self._digest: hashlib._Hash | None = None
        self.size = 0  # of all of it

    @property
    def held(self) -> int:
        """Bytes in memory."""
        return len(self._text)

    def add(self, data: bytes | memoryview) -> None:
        """It goes on."""
        self.size += len(data)
        if self._digest is not None:
            self._digest.update(data)
            return
        self._text += data
        if len(self._text) > self._cap:
            self.shorten()

    def shorten(self) -> None:
        """Keep no more than its beginning."""
        if self._digest is None:
            self._digest = hashlib.sha256(self._text)
            del self._text[self._kept :]

    def end(self, chunk: Chunk, clean: Callable[[bytes], bytes] = bytes) -> None:
        """It is whole now, and goes into `chunk`, as `clean` makes it."""
        whole = None if self._digest is None else (self.size, self._digest.digest())
        chunk.line(clean(bytes(self._text)), whole)
        self._text, self._digest, self.size = bytearray(), None, 0


class Lines:
    """Lines ended by LF. A carriage return stays."""

    def __init__(self, cap: int) -> None:
        self.rest = Unfinished(cap)

    def feed(self, data: bytes) -> Chunk:
        """The lines that end in `data`."""
        chunk, begun, last = Chunk(), 0, data.rfind(b"\n")
        if last >= 0 and self.rest.size:
            begun = data.index(b"\n") + 1
            self.rest.add(data[: begun - 1])
            self.rest.end(chunk)
        chunk.data += data[begun : last + 1]
        if last + 1 < len(data):
            self.rest.add(data[last + 1 :])
        return chunk

    def end(self) -> Chunk:
        """What has no end."""
        chunk = Chunk()
        if self.rest.size:
            self.rest.end(chunk)
        return chunk


class Syslog:
    """Syslog over a stream: each message tells its length, or ends with LF, as its first byte says (RFC 6587 3.4).

    A message is one line with its header before it; line ends within it become blanks.
    """

    def __init__(self, cap: int) -> None:
        self.rest = Unfinished(cap)
        self._left = _UNDECIDED  # bytes of the message that are still to come
        self._digits = b""  # of a length that has not come whole

    def feed(self, data: bytes) -> Chunk:
        """The messages that end in `data`."""
        chunk, at = Chunk(), 0
        data, self._digits = self._digits + data, b""
        while at < len(data):
            if self._left == _UNDECIDED:
                at = self._begin(data, at)
            elif self._left == _TO_LINE_END:
                at = self._to_line_end(data, at, chunk)
            else:
                at = self._counted(data, at, chunk)
        return chunk

    def end(self) -> Chunk:
        """What has no end."""
        chunk = Chunk()
        self.rest.add(self._digits)
        self._digits = b""
        if self.rest.size:
            self.rest.end(chunk, one_line)
        self._left = _UNDECIDED
        return chunk

    def _begin(self, data: bytes, at: int) -> int:
        """How the message at `at` ends; where it begins. What stands around messages is passed over."""
        if data[at] in _AROUND:
            return at + 1
        if match := _COUNT.match(data, at):
            self._left = int(match[1])
            return match.end()
        if _COUNTING.fullmatch(data, at):
            self._digits = data[at:]
            return len(data)
        self._left = _TO_LINE_END
        return at

    def _to_line_end(self, data: bytes, at: int, chunk: Chunk) -> int:
        stop = data.find(b"\n", at)
        self.rest.add(data[at : stop if stop >= 0 else len(data)])
        if stop < 0:
            return len(data)
        self._whole(chunk)
        return stop + 1

    def _counted(self, data: bytes, at: int, chunk: Chunk) -> int:
        piece = data[at : at + self._left]
        self.rest.add(piece)
        self._left -= len(piece)
        if not self._left:
            self._whole(chunk)
        return at + len(piece)

    def _whole(self, chunk: Chunk) -> None:
        self._left = _UNDECIDED
        self.rest.end(chunk, one_line)


def one_line(message: bytes) -> bytes:
    """A message as one line. In JSON a line end can only stand where a blank may."""
    return message.rstrip(_AROUND).replace(b"\n", b" ")


def datagram(data: bytes, *, syslog: bool) -> Chunk:
    """One datagram: a syslog message, or lines of which the last need not be ended."""
    chunk = Chunk()
    text = one_line(data) if syslog else data.removesuffix(b"\n")
    if text:
        chunk.line(text)
    return chunk
