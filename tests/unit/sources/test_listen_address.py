"""Where to listen: what is understood, what is refused with a reason, and that nothing is public by accident."""

from __future__ import annotations

import msgspec
import pytest

from pipeline.core.errors import ConfigError
from pipeline.sources.listen import Config, spool_name
from pipeline.sources.listen.address import addresses


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("tcp://127.0.0.1:9090", "tcp://127.0.0.1:9090"),
        ("tcp://:9090", "tcp://127.0.0.1:9090"),
        ("tcp://localhost:9090", "tcp://127.0.0.1:9090"),
        ("udp://[0:0::1]:9090", "udp://[::1]:9090"),
        ("syslog+tls://127.0.0.1:06514", "syslog+tls://127.0.0.1:6514"),
        ("unix:///run/keytrail/a.sock", "unix:///run/keytrail/a.sock"),
    ],
)
def test_one_place_has_one_name(text: str, name: str) -> None:
    """However an address is spelled, its stream has the same name in every run."""
    assert [one.name for one in addresses((text,), public=False)] == [name]


@pytest.mark.parametrize(
    "text",
    [
        "9090", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:0", "tcp://127.0.0.1:65536", "tcp://1.2.3:9",
        "tcp://[::1:9", "tcp://user@127.0.0.1:9", "tcp://127.0.0.1:9/path", "tcp://127.0.0.1:9?x=1", "http://127.0.0.1:9",
        "tls://127.0.0.1:9", "unix://relative", "unix://", "unix:///" + "x" * 108,
        "unix:///a\0b", "unix:///\udcff", "tcp://\udcff:9", "tcp://vault.example:9",
    ],
)  # fmt: skip
def test_others_are_refused(text: str) -> None:
    """What is no address of this machine is refused, and the message shows what is."""
    with pytest.raises(ConfigError, match=r"--listen .*(tcp://127\.0\.0\.1:9090|unix:///PATH)"):
        addresses((text,), public=True)


@pytest.mark.parametrize("text", ["tcp://0.0.0.0:9090", "udp://[::]:9090", "syslog+tls://10.1.2.3:6514"])
def test_public_ones_are_asked_for(text: str) -> None:
    """An address that others can reach needs a word in the configuration, TLS or not."""
    with pytest.raises(ConfigError, match="public = true"):
        addresses((text,), public=False)
    assert addresses((text,), public=True)[0].public


def test_no_address_twice() -> None:
    """Two spellings of one address are one too many."""
    with pytest.raises(ConfigError, match="twice"):
        addresses(("tcp://:9090", "tcp://localhost:9090"), public=False)


def test_each_address_has_a_folder_of_its_own() -> None:
    """Addresses that look alike do not share a spool, and no name leads out of its folder."""
    names = [spool_name(name) for name in ("unix:///a/b", "unix:///a_b", "unix:///../..", "tcp://127.0.0.1:1")]
    assert len(set(names)) == len(names)
    assert all("/" not in name and not name.startswith(".") for name in names)


@pytest.mark.parametrize(
    "table",
    [
        {"unix_mode": "rw"}, {"spool_bytes": 1 << 20}, {"peers": ["10.0.0.0/33"]}, {"line_seconds": 0},
        {"connections": 0}, {"certificate": "x"},
    ],
)  # fmt: skip
def test_the_table_is_checked(table: dict[str, object]) -> None:
    """What the table cannot mean is refused before anything listens."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(table, Config)
