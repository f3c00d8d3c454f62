"""Which network an address lies in: a configured one by name, else its /24 (IPv4) or /48 (IPv6)."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

_V4: Final = r"^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$"
_MAPPED: Final = r"(?i)^::ffff:(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})$"


class Zones:
    """`networks` maps CIDR to name; where they nest, the smallest counts. Raises ConfigError for a bad CIDR."""

    def __init__(self, networks: Mapping[str, str]) -> None:
        try:
            parsed = [(ipaddress.ip_network(cidr), name) for cidr, name in networks.items()]
        except ValueError as error:
            raise ConfigError(f"enrich.networks: {error}") from None
        parsed.sort(key=lambda pair: pair[0].prefixlen, reverse=True)
        self._v4 = [(net, name) for net, name in parsed if isinstance(net, ipaddress.IPv4Network)]
        self._v6 = [(net, name) for net, name in parsed if isinstance(net, ipaddress.IPv6Network)]

    def of(self, addresses: pl.DataFrame) -> pl.DataFrame:
        """Column `zone` for column `client_ip`; null for what is no address."""
        frame = addresses.select(ip=pl.coalesce(pl.col("client_ip").str.extract(_MAPPED), "client_ip"))
        octets = [pl.col("ip").str.extract(_V4, place).cast(pl.Int64, strict=False) for place in range(1, 5)]
        frame = frame.with_columns(
            number=octets[0] * (1 << 24) + octets[1] * (1 << 16) + octets[2] * (1 << 8) + octets[3],
            proper=pl.all_horizontal(octet <= 255 for octet in octets),
        )
        named = pl.col("ip").str.extract(r"^(\d+\.\d+\.\d+)\.") + ".0/24"
        for network, name in reversed(self._v4):
            inside = pl.col("number").is_between(int(network.network_address), int(network.broadcast_address))
            named = pl.when(inside).then(pl.lit(name)).otherwise(named)
        v4 = frame.select(pl.when(pl.col("proper")).then(named).alias("zone")).to_series()
        return self._with_v6(frame["ip"], v4).to_frame()

    def _with_v6(self, texts: pl.Series, zone: pl.Series) -> pl.Series:
        """The zones of IPv6 addresses filled in; they are few, and only as many as there are distinct ones."""
        places = (zone.is_null() & texts.str.contains(":", literal=True)).fill_null(value=False).arg_true()
        if places.is_empty():
            return zone
        found = pl.Series([self._v6_zone(text) for text in texts[places]], dtype=pl.String)
        return zone.scatter(places, found)

    def _v6_zone(self, text: str) -> str | None:
        try:
            address = ipaddress.IPv6Address(text.partition("%")[0])
        except ValueError:
            return None
        for network, name in self._v6:
            if address in network:
                return name
        return str(ipaddress.IPv6Network((int(address) >> 80 << 80, 48)))
