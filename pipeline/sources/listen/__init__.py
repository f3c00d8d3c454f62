"""Sockets that audit devices and syslog daemons write to: TCP, UDP, unix; syslog, also over TLS. See README.md."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from pipeline.sources.listen.address import Address, addresses
from pipeline.sources.listen.dropped import Dropped
from pipeline.sources.listen.feed import Feed
from pipeline.sources.listen.listener import Listener, bound, given_back, tls_context
from pipeline.sources.listen.receiver import Receiver
from pipeline.sources.listen.source import Listen
from pipeline.sources.listen.spool import Spool

if TYPE_CHECKING:
    from pipeline.core.clock import Clock
    from pipeline.core.model import Position

__all__ = ["Config", "Listen", "create"]

_Seconds = Annotated[float, msgspec.Meta(ge=0)]
_OCTAL = re.compile(r"0?[0-7]{3}")


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table `[sources.listen]`. Every default makes sense, but for `syslog+tls`, which needs a certificate."""

    public: bool = False  # whether addresses that others than this machine can reach are allowed
    peers: tuple[str, ...] = ()  # networks that may send, such as 10.0.0.0/8; none: all that can
    unix_mode: str = "0600"  # of a unix socket: who may write to it
    tls_cert: str = ""  # PEM, with its chain
    tls_key: str = ""  # PEM; empty: in the same file
    tls_client_ca: str = ""  # PEM; with it, senders must have a certificate that leads there
    max_record_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 16 << 20  # longer lines are cut short
    connections: Annotated[int, msgspec.Meta(ge=1, le=65_536)] = 256  # at a time, over all listeners
    line_seconds: Annotated[float, msgspec.Meta(gt=0)] = 30.0  # a line that was begun must have its end by then
    buffer_bytes: Annotated[int, msgspec.Meta(ge=1 << 16)] = 64 << 20  # memory for lines without an end, all together
    folder: str = ""  # of the spools; default: `spool` in the lake
    spool_bytes: Annotated[int, msgspec.Meta(ge=1 << 18)] = 1 << 30  # of one listener on disk; full: nothing is read
    file_bytes: Annotated[int, msgspec.Meta(ge=1 << 10)] = 64 << 20  # of one file of it
    keep_seconds: _Seconds = 3600.0  # how long what is committed stays
    sync_seconds: _Seconds = 1.0  # how long what was received may wait for the disk

    def __post_init__(self) -> None:
        if not _OCTAL.fullmatch(self.unix_mode):
            raise ValueError("unix_mode is octal, such as 0660")
        if self.spool_bytes < max(4 * self.file_bytes, 2 * self.max_record_bytes):
            raise ValueError("spool_bytes must be at least 4 times file_bytes and 2 times max_record_bytes")
        for network in self.peers:
            ipaddress.ip_network(network)


def create(
    config: Config,
    texts: Sequence[str],
    positions: Mapping[tuple[str, str], Position],
    folder: Path,
    *,
    clock: Clock,
) -> Listen:
    """A source that listens at these addresses and reads its spools on from `positions`. They are below `folder`, where
    the config has no other.

    Raises ConfigError for an address that cannot be had, SourceError for a spool that cannot be used.
    """
    asked = addresses(tuple(texts), public=config.public)
    with ExitStack() as undo:
        listeners = [_listener(config, address, Path(config.folder or folder), undo) for address in asked]
        feeds = {one.address.name: _feed(config, one, positions) for one in listeners}
        receiver = Receiver(listeners, config)
        receiver.start()
        undo.pop_all()
    return Listen(receiver, feeds, clock)


def _listener(config: Config, address: Address, folder: Path, undo: ExitStack) -> Listener:
    tls = tls_context(config.tls_cert, config.tls_key, config.tls_client_ca) if address.tls else None
    sock = bound(address, int(config.unix_mode, 8))
    undo.callback(given_back, address, sock)
    spool = Spool(
        folder / spool_name(address.name), file_bytes=config.file_bytes, spool_bytes=config.spool_bytes,
        keep_seconds=config.keep_seconds,
    )  # fmt: skip
    undo.callback(spool.close)
    peers = [ipaddress.ip_network(network) for network in config.peers]
    return Listener(address, sock, spool, Dropped(), config.max_record_bytes, tls, peers)


def _feed(config: Config, listener: Listener, positions: Mapping[tuple[str, str], Position]) -> Feed:
    name = listener.address.name
    known = {partition: position for (stream, partition), position in positions.items() if stream == name}
    mine = known.get(listener.spool.identity)
    return Feed(name, listener.spool, listener.dropped, config.max_record_bytes, mine, before=bool(known) and not mine)


def spool_name(name: str) -> str:
    """A folder's name for an address: readable, and another one for every other address."""
    return f"{re.sub(r'[^A-Za-z0-9.]+', '_', name)[:80]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
