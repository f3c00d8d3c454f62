"""One connection: bytes in, whole lines on, and no more in memory than one read and an unfinished line."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.sources.listen.framing import Chunk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.sources.listen.framing import Framer

READ: Final = 1 << 16
_LEFT_BEHIND: Final = 256  # reads
_RECORDS: Final = 16  # of TLS, at most, before another connection gets its turn
_LATER: Final = (BlockingIOError, InterruptedError, ssl.SSLWantReadError)


class EndedError(Exception):
    """The other side is done, or nothing good can come of it."""


@dataclass(slots=True, eq=False)
class Connection:
    """`since` is when what it owes was begun, a line or a handshake; None when it owes nothing: a device that has
    nothing to say may be silent for days, and loses an entry when it is hung up on.

    `pending` is what the spool had no room for; nothing is read before it is written.
    """

    sock: socket.socket
    framer: Framer
    begun: float
    since: float | None = None
    useful: bool = False  # it has sent a line
    pending: Chunk | None = None
    shaking: bool = False  # TLS: hands are not shaken yet
    wants_write: bool = False  # TLS has something to say before it can go on
    more: bool = False  # bytes are here that no selector sees
    watched: bool = False  # the selector has it

    @property
    def held(self) -> int:
        """Bytes in memory of a line that has no end yet."""
        return self.framer.rest.held

    def receive(self) -> bytes:
        """What has come; b"" when there is nothing for now. Raises EndedError."""
        self.wants_write = self.more = False
        try:
            if isinstance(self.sock, ssl.SSLSocket):
                return self._receive_tls(self.sock)
            got = self.sock.recv(READ)
        except _LATER:
            return b""
        except OSError:
            raise EndedError from None
        if not got:
            raise EndedError
        return got

    def _receive_tls(self, sock: ssl.SSLSocket) -> bytes:
        taken = bytearray()
        try:
            if self.shaking:
                sock.do_handshake()
                self.shaking, self.since = False, None
            for _ in range(_RECORDS):
                got = sock.recv(READ)
                if not got:
                    self._end(taken)
                    return bytes(taken)
                taken += got
            self.more = sock.pending() > 0
        except ssl.SSLWantWriteError:
            self.wants_write = True
        except _LATER:
            pass
        except OSError:  # a broken handshake, a certificate, a record that was tampered with
            self._end(taken)
        return bytes(taken)

    def _end(self, taken: bytearray) -> None:
        """What was read before the end counts; the next read meets the end again."""
        if not taken:
            raise EndedError
        self.more = True

    def feed(self, data: bytes, now: float) -> Chunk:
        """The lines that end in `data`."""
        chunk = self.framer.feed(data)
        self.useful |= bool(chunk.data)
        if not self.framer.rest.size:
            self.since = None
        elif chunk.data or self.since is None:
            self.since = now
        return chunk

    def leave(self, until: float) -> Iterator[Chunk]:
        """What it leaves behind when the run ends, in order; of who sends on and on, no more than a kernel holds,
        and nothing that comes after `until` (s, steady)."""
        if self.pending is not None:
            yield self.pending
        if self.closed:
            return
        with suppress(EndedError):
            for _ in range(_LEFT_BEHIND):
                if time.monotonic() > until or not (data := self.receive()):
                    break
                yield self.framer.feed(data)
        yield self.framer.end()

    def close(self) -> None:
        """Hang up; over TLS with a word, as far as it can be said at once."""
        if isinstance(self.sock, ssl.SSLSocket) and not self.shaking:
            with suppress(OSError, ValueError):
                self.sock.unwrap()
        self.sock.close()

    @property
    def closed(self) -> bool:
        return self.sock.fileno() < 0
