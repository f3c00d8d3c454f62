"""A TLS connection that syslog frames are written to. Nobody answers: see the README for what that means."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence

from pipeline.core.errors import ConfigError, DeliveryError
from pipeline.core.model import Message
from pipeline.sinks._http import tls_context


class TlsSyslog:
    """Writes a batch, then looks whether the receiver hung up. A batch that failed anywhere is sent again whole."""

    def __init__(
        self,
        place: tuple[str, int],
        wire: Callable[[Message], bytes],
        *,
        ca_file: str,
        cert_file: str,
        seconds: float,
    ) -> None:
        self._place, self._wire, self._seconds = place, wire, seconds
        self._context = tls_context(ca_file)
        if cert_file:
            try:
                self._context.load_cert_chain(cert_file)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(f"cannot read the certificate in {cert_file}: {type(error).__name__}") from None
        self._socket: ssl.SSLSocket | None = None
        self.sent = self.connections = 0

    def send(self, messages: Sequence[Message]) -> Mapping[str, str]:
        """Hand every frame to the connection. Raises DeliveryError when it is or was cut."""
        if not messages:
            return {}
        data = b"".join(map(self._wire, messages))
        try:
            if self._socket is None or self._hung_up(self._socket):
                self._connect()
            if self._socket is not None:
                self._socket.sendall(data)
                if self._hung_up(self._socket):
                    raise ConnectionResetError
        except (OSError, ssl.SSLError) as error:
            self.close()
            raise DeliveryError(f"the syslog receiver took no batch: {type(error).__name__}") from None
        self.sent += len(messages)
        return {}

    def close(self) -> None:
        """Say goodbye (close_notify), so that a receiver that is there reads what is under way."""
        if self._socket is not None:
            with contextlib.suppress(OSError, ssl.SSLError):  # the other end may be gone already
                self._socket.settimeout(1.0)
                self._socket.unwrap()
            self._socket.close()
            self._socket = None

    def _connect(self) -> None:
        self.close()
        plain = socket.create_connection(self._place, timeout=self._seconds)
        try:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._socket = self._context.wrap_socket(plain, server_hostname=self._place[0])
        except BaseException:
            plain.close()
            raise
        self.connections += 1

    def _hung_up(self, sock: ssl.SSLSocket) -> bool:
        """Whether the receiver closed. It never has anything to say, so anything readable but TLS upkeep is an end."""
        sock.setblocking(False)
        try:
            return not sock.recv(1)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        finally:
            sock.settimeout(self._seconds)
