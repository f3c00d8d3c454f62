"""A syslog receiver over TLS that takes octet-counted RFC 5424 messages and nothing else."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import socket
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# RFC 5424 §6, for messages with one structured data element.
_MESSAGE = re.compile(
    rb"<(?P<pri>\d{1,3})>1 (?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}Z|-) (?P<host>[!-~]{1,255}) "
    rb"(?P<app>[!-~]{1,48}) (?P<proc>[!-~]{1,128}) (?P<msgid>[!-~]{1,32}) "
    rb"\[(?P<sdid>[!-<>-\[^-~]{1,32})(?P<params>(?: [!#-<>-\[^-~]{1,32}=\"(?:[^\"\\\]]|\\[\"\\\]])*\")*)\]"
    rb"(?: (?P<msg>.*))?",
    re.DOTALL,
)
_PARAM = re.compile(rb" ([^=]+)=\"((?:[^\"\\\]]|\\[\"\\\]])*)\"")


@dataclass(frozen=True)
class Parsed:
    """One message."""

    priority: int
    host: str
    msgid: str
    sdid: str
    params: dict[str, str]
    body: bytes


def unframe(data: bytes) -> tuple[list[bytes], bytes]:
    """The whole messages at the head of `data`, and what is left. Raises ValueError when it is no frame."""
    messages = []
    while data:
        length, blank, _ = data[:10].partition(b" ")
        if not blank and len(data) < 10:
            break
        if not length.isdigit() or length.startswith(b"0"):
            raise ValueError(f"not a frame: {data[:20]!r}")
        start = len(length) + 1
        if len(data) < start + int(length):
            break
        messages.append(data[start : start + int(length)])
        data = data[start + int(length) :]
    return messages, data


def parse(message: bytes) -> Parsed:
    """Raises ValueError when it breaks the grammar."""
    match = _MESSAGE.fullmatch(message)
    if not match or int(match["pri"]) > 191:
        raise ValueError(f"not RFC 5424: {message[:200]!r}")
    params = {k.decode(): re.sub(rb"\\([\"\\\]])", rb"\1", v).decode() for k, v in _PARAM.findall(match["params"])}
    body = (match["msg"] or b"").removeprefix(b"\xef\xbb\xbf")
    body.decode()
    return Parsed(
        int(match["pri"]), match["host"].decode(), match["msgid"].decode(), match["sdid"].decode(), params, body
    )


def certificate(folder: Path, *names: str) -> Path:
    """A self-signed certificate with its key, valid for loopback; its file serves as the authority too."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
    now = dt.datetime.now(dt.UTC)
    san: list[x509.GeneralName] = [x509.DNSName(n) for n in names] or [
        x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    ]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(san), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "receiver.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


class SyslogTls:
    """`parsed` is what came in whole. `cut_after` hangs up, once, when a connection has brought that many messages."""

    def __init__(self, pem: Path, *, cut_after: int = 0) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pem)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.parsed: list[Parsed] = []
        self.broken: list[str] = []
        self.connections = 0
        self.cut_after = cut_after
        self.refuse = 0  # connections to hang up on at once
        self._changed = threading.Condition()

    def wait_for(self, count: int, seconds: float = 10.0) -> bool:
        """Whether `count` messages have come in, waiting for them."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.parsed) >= count or bool(self.broken), seconds)

    def hang_up(self) -> None:
        """Close every connection there is."""
        for sock in self._open:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            if self.refuse:
                self.refuse -= 1
                plain.close()
                continue
            self.connections += 1
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        try:
            with self._context.wrap_socket(plain, server_side=True) as sock:
                self._open.append(sock)
                self._read(sock)
        except (OSError, ssl.SSLError):
            return
        except ValueError as error:
            with self._changed:
                self.broken.append(str(error))
                self._changed.notify_all()

    def _read(self, sock: ssl.SSLSocket) -> None:
        left, taken = b"", 0
        while data := sock.recv(65536):
            messages, left = unframe(left + data)
            for message in messages:
                with self._changed:
                    self.parsed.append(parse(message))
                    self._changed.notify_all()
                taken += 1
                if self.cut_after and taken >= self.cut_after:
                    self.cut_after = 0
                    return

    def __enter__(self) -> Self:
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self.hang_up()
