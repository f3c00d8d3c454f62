"""Where to listen, as it is given: `tcp://127.0.0.1:9090`, `unix:///run/keytrail.sock`, `syslog+tls://:6514`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from pipeline.core.errors import ConfigError

SCHEMES: Final = ("tcp", "udp", "unix", "syslog+tcp", "syslog+udp", "syslog+tls")
LOOPBACK: Final = "127.0.0.1"
PATH_MAX: Final = 107  # bytes of a unix socket's path, as the kernel has it
_PLACE: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<four>[0-9.]+|localhost)?):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Address:
    """One place to listen. `name` is how its stream is called, in this run and in every later one."""

    name: str
    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def syslog(self) -> bool:
        return self.scheme.startswith("syslog+")

    @property
    def tls(self) -> bool:
        return self.scheme == "syslog+tls"

    @property
    def datagrams(self) -> bool:
        return self.scheme in {"udp", "syslog+udp"}

    @property
    def public(self) -> bool:
        """Whether others than this machine can reach it."""
        return not self.path and not ipaddress.ip_address(self.host).is_loopback


def addresses(texts: tuple[str, ...], *, public: bool) -> tuple[Address, ...]:
    """What is given, each once. Raises ConfigError, also for a public one where none was asked for."""
    found = {address.name: address for address in map(address_of, texts)}
    if len(found) < len(texts):
        raise ConfigError("--listen: one address is given twice")
    for address in found.values():
        if address.public and not public:
            raise ConfigError(
                f"--listen {address.name}: who can reach it can add entries to the record; "
                "set [sources.listen] public = true to listen beyond this machine"
            )
    return tuple(found.values())


def address_of(text: str) -> Address:
    """One address. Without a host it is loopback. Raises ConfigError."""
    try:
        parts = urlsplit(text)
    except ValueError:
        raise _refused(text) from None
    if parts.scheme not in SCHEMES or parts.query or parts.fragment:
        raise _refused(text)
    if parts.scheme == "unix":
        size = len(parts.path.encode("utf-8", "replace"))
        if parts.netloc or not parts.path.startswith("/") or not parts.path.isprintable() or size > PATH_MAX:
            raise ConfigError(f"--listen {text!a}: unix:///PATH, an absolute path of at most {PATH_MAX} bytes in UTF-8")
        return Address(f"unix://{parts.path}", parts.scheme, path=parts.path)
    match = _PLACE.fullmatch(parts.netloc)
    if match is None or parts.path or not 0 < int(match["port"]) < 1 << 16:
        raise _refused(text)
    host = match["six"] or match["four"] or LOOPBACK
    try:
        host = str(ipaddress.ip_address(LOOPBACK if host == "localhost" else host))
    except ValueError:
        raise _refused(text) from None
    shown = f"[{host}]" if match["six"] else host
    return Address(f"{parts.scheme}://{shown}:{int(match['port'])}", parts.scheme, host, int(match["port"]))


def _refused(text: str) -> ConfigError:
    return ConfigError(
        f"--listen {text!a}: {'|'.join(SCHEMES)}, as in tcp://127.0.0.1:9090 (an address of this machine, a port from "
        "1 to 65535) or unix:///run/keytrail.sock"
    )
