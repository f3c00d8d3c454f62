"""The thread that takes in what is sent: every connection and datagram of every listener, into their spools.

One thread and a selector serve thousands of connections. What cannot be written is not read: a full spool stops the
reading of its connections, so that their senders wait, or do what they do when nobody takes their entries.
"""

from __future__ import annotations

import errno
import selectors
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pipeline.core.errors import SourceError
from pipeline.sources.listen.connection import Connection, EndedError
from pipeline.sources.listen.spool import FullError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.sources.listen import Config
    from pipeline.sources.listen.framing import Chunk
    from pipeline.sources.listen.listener import Listener

TURN_SECONDS: Final = 0.2
_LEAVE_SECONDS: Final = 5.0
_ACCEPTED: Final = 64
_OUT_OF_FILES: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Receiver:
    """Runs from `start` to `close`. `news` is set when there are lines to read; `failure` is why it ended early."""

    def __init__(self, listeners: Sequence[Listener], config: Config) -> None:
        self.listeners, self._config = tuple(listeners), config
        self.news = threading.Event()
        self.failure: BaseException | None = None
        self._closing = False
        self._selector = selectors.DefaultSelector()
        self._waker, self._wakened = socket.socketpair()
        self._again: dict[Connection, Listener] = {}  # has bytes that no selector sees
        self._turned = self._synced = 0.0
        self._taken = 0  # bytes since memory was last looked at
        self._thread = threading.Thread(target=self._run, name="keytrail-listen", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._wakened.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._wakened, selectors.EVENT_READ, self._woken)
        for listener in self.listeners:
            self._listen(listener)
        self._thread.start()

    def close(self) -> None:
        """Take in what has come by now, and end; the thread is gone afterwards."""
        self._closing = True
        if self._thread.is_alive():
            self.wake()
            self._thread.join()
        for listener in self.listeners:
            listener.close()
        self._selector.close()
        self._waker.close()
        self._wakened.close()

    def wake(self) -> None:
        """There may be room again, or it is to end."""
        with suppress(OSError):  # it has been told often enough, or is gone
            self._waker.send(b"\0")

    def _woken(self) -> None:
        self._wakened.recv(1 << 12)
        for listener in self.listeners:
            if listener.full and not listener.address.datagrams:
                self._go_on(listener, time.monotonic())

    def _run(self) -> None:
        try:
            while not self._closing:
                for key, _ in self._selector.select(0 if self._again else TURN_SECONDS):
                    key.data()
                for connection, listener in [*self._again.items()]:
                    self._read(listener, connection)
                self._turn(time.monotonic())
            for listener in self.listeners:
                self._leave(listener)
        except OSError as error:
            self.failure = SourceError(f"what is received cannot be kept: {error.strerror}")
            self.failure.__cause__ = error
        except BaseException as error:  # noqa: BLE001  handed to whoever polls, which raises it
            self.failure = error
        self.news.set()

    def _listen(self, listener: Listener) -> None:
        act: Callable[[], object] = lambda: self._accept(listener)  # noqa: E731
        if listener.address.datagrams:
            act = lambda: self._datagrams(listener)  # noqa: E731
        self._selector.register(listener.sock, selectors.EVENT_READ, act)
        listener.watched = True

    def _accept(self, listener: Listener) -> None:
        """New connections, as far as there is room for them; others are hung up on at once."""
        for _ in range(_ACCEPTED):
            try:
                sock, peer = listener.sock.accept()
            except OSError as error:
                if error.errno in _OUT_OF_FILES:
                    self._selector.unregister(listener.sock)  # until the next turn: it would be told again and again
                    listener.watched = False
                return
            if not (listener.welcome(peer) and self._has_place()):
                listener.counts.refused += 1
                sock.close()
                continue
            self._begin(listener, sock)

    def _has_place(self) -> bool:
        """Whether one more may connect. Who was the first to come of those who never sent a line makes room for it."""
        if sum(len(listener.connections) for listener in self.listeners) < self._config.connections:
            return True
        idle = [(c.begun, c, one) for one in self.listeners for c in one.connections if not (c.useful or one.full)]
        if not idle:
            return False
        _, connection, listener = min(idle, key=lambda found: found[0])
        listener.counts.refused += 1
        self._end(listener, connection)
        return connection not in listener.connections

    def _begin(self, listener: Listener, sock: socket.socket) -> None:
        try:
            sock.setblocking(False)
            if not listener.address.path:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if listener.tls is not None:
                sock = listener.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        except OSError:  # gone already
            listener.counts.refused += 1
            sock.close()
            return
        now = time.monotonic()
        connection = Connection(sock, listener.framer(), now)
        if listener.tls is not None:
            connection.shaking, connection.since = True, now
        listener.connections[connection] = None
        listener.counts.accepted += 1
        if not listener.full:
            self._watch(listener, connection)

    def _watch(self, listener: Listener, connection: Connection) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.wants_write else 0)
        act = lambda: self._read(listener, connection)  # noqa: E731
        (self._selector.modify if connection.watched else self._selector.register)(connection.sock, events, act)
        connection.watched = True

    def _unwatch(self, connection: Connection) -> None:
        self._again.pop(connection, None)
        if connection.watched:
            self._selector.unregister(connection.sock)
            connection.watched = False

    def _read(self, listener: Listener, connection: Connection) -> None:
        """One read of one connection, into the spool."""
        if listener.full or connection not in listener.connections:
            return
        wanted = connection.wants_write
        try:
            data = connection.receive()
        except EndedError:
            self._end(listener, connection)
            return
        if wanted != connection.wants_write:
            self._watch(listener, connection)
        if connection.more:
            self._again[connection] = listener
        else:
            self._again.pop(connection, None)
        if data:
            listener.counts.received += len(data)
            self._keep(listener, connection, connection.feed(data, time.monotonic()))
            self._taken += len(data)
            if self._taken > self._config.buffer_bytes // 4:
                self._shorten()

    def _keep(self, listener: Listener, connection: Connection, chunk: Chunk) -> None:
        """Into the spool; where that is full, into `pending`, and nothing more is read."""
        if not chunk.data:
            return
        try:
            listener.spool.append(chunk)
        except FullError:
            connection.pending = chunk
            self._stop(listener)
            return
        self.news.set()

    def _end(self, listener: Listener, connection: Connection) -> None:
        """It ended; what has no end is a line of its own, nobody else's."""
        self._unwatch(connection)
        connection.close()
        rest = connection.framer.end()
        if rest.data:
            self._keep(listener, connection, rest)
        if connection.pending is None:
            del listener.connections[connection]

    def _stop(self, listener: Listener) -> None:
        """Read nothing more from its connections."""
        listener.full = True
        for connection in listener.connections:
            self._unwatch(connection)

    def _go_on(self, listener: Listener, now: float) -> None:
        """Read again, once what was pending could be written. How long that took is held against nobody."""
        for connection in [*listener.connections]:
            if connection.pending is not None:
                try:
                    listener.spool.append(connection.pending)
                except FullError:
                    return
                connection.pending = None
                self.news.set()
        listener.full = False
        for connection in [*listener.connections]:
            if connection.closed:
                del listener.connections[connection]
                continue
            connection.since = None if connection.since is None else now
            self._watch(listener, connection)
            self._again[connection] = listener  # TLS may hold bytes that no selector sees

    def _datagrams(self, listener: Listener) -> bool:
        """Those that are there, written together; without room they are lost, and counted. False when there is none."""
        chunk, count, lost = listener.datagrams()
        listener.full = False
        if chunk.data:
            try:
                listener.spool.append(chunk)
            except FullError:
                listener.full = True
                lost += count
        if lost:
            listener.dropped.add(lost, time.monotonic())
        self.news.set()
        return count > 0

    def _turn(self, now: float) -> None:
        """What is due now and then."""
        if now - self._turned < TURN_SECONDS:
            return
        self._turned = now
        for listener in self.listeners:
            if not listener.watched:
                self._listen(listener)
            if listener.full and listener.address.datagrams:
                listener.full = not listener.spool.has_room()
            elif listener.full:
                self._go_on(listener, now)
            if not listener.full:
                self._hurry(listener, now)
            try:
                listener.spool.tidy()
            except OSError as error:
                if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                    raise
        self._shorten()
        if now - self._synced >= self._config.sync_seconds:
            self._synced = now
            for listener in self.listeners:
                listener.spool.sync()

    def _hurry(self, listener: Listener, now: float) -> None:
        """Hang up on who owes a line for too long, however steadily its bytes drip in."""
        for connection in [*listener.connections]:
            if connection.since is not None and now - connection.since > self._config.line_seconds:
                self._end(listener, connection)

    def _shorten(self) -> None:
        """Hold the memory of unfinished lines to its bound: the longest ones keep only their beginnings."""
        self._taken = 0
        owing = [one for listener in self.listeners for one in listener.connections if one.held]
        held = sum(one.held for one in owing)
        for one in sorted(owing, key=lambda one: one.held, reverse=True):
            if held <= self._config.buffer_bytes:
                return
            before = one.held
            one.framer.rest.shorten()
            held -= before - one.held

    def _leave(self, listener: Listener) -> None:
        """At the end: take in what the kernel holds, since its senders take it for delivered."""
        until = time.monotonic() + _LEAVE_SECONDS
        if listener.address.datagrams:
            while self._datagrams(listener) and time.monotonic() < until:
                pass
        else:
            self._accept(listener)
        listener.stop()
        for connection in [*listener.connections]:
            for chunk in connection.leave(until):
                with suppress(FullError):  # the disk itself is full: nothing more can be done for it
                    listener.spool.append(chunk, beyond=True)
        listener.spool.sync()
