"""One address: its socket, its spool, the connections to it, and what it has counted."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import ssl
import stat
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.core.errors import ConfigError
from pipeline.sources.listen.framing import Chunk, Lines, Syslog, datagram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.sources.listen.address import Address
    from pipeline.sources.listen.connection import Connection
    from pipeline.sources.listen.dropped import Dropped
    from pipeline.sources.listen.framing import Framer
    from pipeline.sources.listen.spool import Spool

BACKLOG: Final = 128
DATAGRAM_MAX: Final = 1 << 16
_DATAGRAMS: Final = 256  # at a time
_ROOM_FOR_DATAGRAMS: Final = 4 << 20  # in the kernel, as far as it allows
_DROPS: Final = 40  # SO_RXQ_OVFL of Linux: how many the kernel dropped comes with each datagram
_COUNT: Final = struct.Struct("I")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(slots=True)
class Counts:
    """Since the process started."""

    accepted: int = 0
    refused: int = 0
    received: int = 0


@dataclass(slots=True, eq=False)
class Listener:
    """`full` while its spool has no room; then nothing is read from its connections."""

    address: Address
    sock: socket.socket
    spool: Spool
    dropped: Dropped
    cap: int
    tls: ssl.SSLContext | None = None
    peers: Sequence[Network] = ()
    full: bool = False
    connections: dict[Connection, None] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    kernel_dropped: int = 0
    watched: bool = False  # the selector has its socket

    def framer(self) -> Framer:
        """For one connection."""
        return Syslog(self.cap) if self.address.syslog else Lines(self.cap)

    def welcome(self, peer: Any) -> bool:
        """Whether this peer may send."""
        if not self.peers or self.address.path:
            return True
        address = ipaddress.ip_address(peer[0].partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self.peers)

    def datagrams(self) -> tuple[Chunk, int, int]:
        """Those that are there, how many they are, and how many the kernel is known to have dropped before them."""
        count, chunk, known = 0, Chunk(), self.kernel_dropped
        for _ in range(_DATAGRAMS):
            try:
                data, peer = self._datagram()
            except OSError:
                break
            if not self.welcome(peer):
                self.counts.refused += 1
                continue
            self.counts.received += len(data)
            chunk.data += datagram(data, syslog=self.address.syslog).data
            count += 1
            if len(chunk.data) >= DATAGRAM_MAX:
                break
        return chunk, count, (self.kernel_dropped - known) & 0xFFFFFFFF

    def _datagram(self) -> tuple[bytes, Any]:
        """The next one, and from whom; what the kernel dropped before it is noted. Raises OSError."""
        data, aside, _, peer = self.sock.recvmsg(DATAGRAM_MAX, socket.CMSG_SPACE(_COUNT.size))
        for level, kind, value in aside:
            if level == socket.SOL_SOCKET and kind == _DROPS and len(value) >= _COUNT.size:
                self.kernel_dropped = _COUNT.unpack_from(value)[0]
        return data, peer

    def close(self) -> None:
        """Hang up, and give the address back."""
        for connection in self.connections:
            connection.close()
        self.connections.clear()
        self.stop()
        self.spool.close()

    def stop(self) -> None:
        """Take no more connections."""
        given_back(self.address, self.sock)


def bound(address: Address, unix_mode: int) -> socket.socket:
    """A socket that listens there, not blocking. Raises ConfigError for an address that cannot be had."""
    family = socket.AF_UNIX if address.path else socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM if address.datagrams else socket.SOCK_STREAM)
    try:
        if address.path:
            _bind_path(sock, address.path, unix_mode)
        else:
            _bind_port(sock, address)
        if not address.datagrams:
            sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise ConfigError(f"--listen {address.name}: {error.strerror}") from None
    except BaseException:
        sock.close()
        raise
    return sock


def given_back(address: Address, sock: socket.socket) -> None:
    """Close what `bound` gave."""
    if sock.fileno() >= 0 and address.path:
        with contextlib.suppress(OSError):
            os.unlink(address.path)
    sock.close()


def _bind_port(sock: socket.socket, address: Address) -> None:
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if address.datagrams:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM_FOR_DATAGRAMS)
        if sys.platform == "linux":  # where the kernel does not tell, only what is dropped here is known
            sock.setsockopt(socket.SOL_SOCKET, _DROPS, 1)
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address.host, address.port))


def _bind_path(sock: socket.socket, path: str, mode: int) -> None:
    """Take the path, also from a process that died; nobody can connect before its mode is set."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(Path(path).lstat().st_mode):
            raise ConfigError(f"--listen unix://{path}: something else than a socket is there")
        if _answers(path):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        os.unlink(path)
    sock.bind(path)
    Path(path).chmod(mode)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial:
        trial.settimeout(1.0)
        try:
            trial.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            pass  # full, or not ours to ask
        return True


def tls_context(cert: str, key: str, client_ca: str) -> ssl.SSLContext:
    """For `syslog+tls`. Raises ConfigError for files that cannot be used."""
    if not cert:
        raise ConfigError("syslog+tls needs [sources.listen] tls_cert, and tls_key where the key is in another file")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key or None, password=_no_password)
        if client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
    except (OSError, ValueError) as error:
        why = str(error) if isinstance(error, ValueError) else type(error).__name__
        raise ConfigError(f"[sources.listen] tls_cert, tls_key or tls_client_ca cannot be read: {why}") from None
    return context


def _no_password() -> str:
    """Instead of asking at the terminal."""
    raise ValueError("the key is encrypted")
