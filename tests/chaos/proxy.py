"""A network that is slow, or that swallows everything, between a client and a real server."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

_LOOK_SECONDS = 0.05


class Proxy:
    """Passes bytes on from `port` to a port of this machine.

    `delay` seconds go by before each piece is passed on. While `cut`, nothing is: connections stay open and are silent,
    as when a cable is pulled, and what was sent meanwhile arrives when it heals.
    """

    def __init__(self, target: int, port: int) -> None:
        self.delay = 0.0
        self.cut = False
        self.passed = 0  # bytes
        self._target = target
        self._open: set[socket.socket] = set()
        self._turn = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def hang_up(self) -> None:
        """Close every connection."""
        with self._turn:
            ends, self._open = self._open, set()
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        """End it."""
        self._server.close()
        self.hang_up()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            with self._turn:
                self._open |= {client, server}
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):  # either end has hung up
            while data := source.recv(1 << 16):
                time.sleep(self.delay)
                while self.cut:
                    time.sleep(_LOOK_SECONDS)
                sink.sendall(data)
                self.passed += len(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def proxy(target: int, port: int) -> Iterator[Proxy]:
    """A proxy for the time of a with-block."""
    made = Proxy(target, port)
    try:
        yield made
    finally:
        made.close()
