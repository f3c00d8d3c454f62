"""Alerts by syslog over TLS: RFC 5424 messages in RFC 5425 frames, with OCSF or CEF as the body."""

from __future__ import annotations

import re
import socket
from typing import Final, Literal

import msgspec

from pipeline.core.model import Message
from pipeline.core.ports import Sink
from pipeline.sinks.syslog.client import TlsSyslog
from pipeline.sinks.syslog.message import frame

_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[sinks.NAME]` table of kind `syslog`. `facility` 13 is "log audit"; `max_bytes` bounds one message."""

    address: str
    tls_ca: str = ""
    tls_cert: str = ""  # with its key in the same file, where the receiver wants to know who sends
    body: Literal["ocsf", "cef"] = "ocsf"
    hostname: str = ""
    facility: int = 13
    max_bytes: int = 8192
    timeout_seconds: float = 15

    def __post_init__(self) -> None:
        match = _ADDRESS.fullmatch(self.address)
        if not match or not 0 < int(match[2]) < 65536:
            raise ValueError("address is host:port")
        if not 0 <= self.facility <= 23:
            raise ValueError("facility is 0 to 23")
        if self.max_bytes < 2048 or self.timeout_seconds <= 0:
            raise ValueError("max_bytes must be at least 2048 and timeout_seconds above 0")

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.address.rpartition(":")
        return host.strip("[]"), int(port)


def wire(message: Message, config: Config) -> bytes:
    """The octet-counted frame of one message."""
    hostname = config.hostname or socket.gethostname()
    return frame(message, body=config.body, hostname=hostname, facility=config.facility, max_bytes=config.max_bytes)


def create(config: Config) -> Sink:
    """The sink. Nothing is connected before the first `send`. Raises ConfigError when a certificate cannot be read."""
    return TlsSyslog(
        config.place,
        lambda message: wire(message, config),
        ca_file=config.tls_ca,
        cert_file=config.tls_cert,
        seconds=config.timeout_seconds,
    )
