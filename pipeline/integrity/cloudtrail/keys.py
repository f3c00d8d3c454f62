"""The public keys a verification trusts, by region and fingerprint, as `aws cloudtrail list-public-keys` prints them.

A value is the base64 of a PKCS#1 RSAPublicKey in DER (RFC 8017 A.1.1). The fingerprint's algorithm is not documented:
it is an opaque name.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from pipeline.core.errors import ConfigError
from pipeline.integrity.cloudtrail.causes import Fault
from pipeline.integrity.cloudtrail.names import micros

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MAX_FILE: Final = 64 << 20
_EVERYWHERE: Final = ""


class _Key(msgspec.Struct, rename="pascal"):
    value: str
    fingerprint: str
    validity_start_time: str | float | None = None
    validity_end_time: str | float | None = None


class _Printed(msgspec.Struct):
    keys: list[_Key] = msgspec.field(name="PublicKeyList")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key; `loaded` is None when its value (`der`) is no RSA key. Validity in microseconds, None where not told."""

    loaded: RSAPublicKey | None
    start: int | None
    end: int | None
    der: bytes = b""

    def like(self, other: PublicKey) -> bool:
        """Whether they are the same key for the same time, as far as both tell."""
        times = ((self.start, other.start), (self.end, other.end))
        return self.der == other.der and all(a == b or None in {a, b} for a, b in times)


@dataclass(frozen=True, slots=True)
class Changed:
    """A key that is not the one known before under its fingerprint in this region ("" for all regions)."""

    region: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Keys per region. `regions` are those that must all appear in the bucket; none when one list serves them all."""

    by_region: Mapping[str, Mapping[str, PublicKey]]
    regions: tuple[str, ...] = field(default=())

    def find(self, region: str, fingerprint: str, span: tuple[int, int]) -> RSAPublicKey | Fault:
        """The key of a digest signed at some time in `span`, or why there is none."""
        keys = self.by_region.get(region, self.by_region.get(_EVERYWHERE, {}))
        key = keys.get(fingerprint)
        if key is None:
            return Fault("key_unknown", f"public key not found in region {region} for fingerprint {fingerprint[:64]}")
        if key.loaded is None:
            return Fault("key_unreadable", f"unable to load the PKCS #1 key with fingerprint {fingerprint[:64]}")
        if (key.start is not None and span[1] < key.start) or (key.end is not None and span[0] > key.end):
            return Fault("key_not_valid", f"the key with fingerprint {fingerprint[:64]} was not valid then")
        return key.loaded

    def after(self, before: KeyRing) -> tuple[KeyRing, list[Changed]]:
        """These keys and those known before, which stand where the two differ; and where they do."""
        changed = [
            Changed(region, name)
            for region, keys in self.by_region.items()
            for name, key in keys.items()
            if (known := before.known(region, name)) is not None and not key.like(known)
        ]
        regions = self.by_region.keys() | before.by_region.keys()
        rings = {
            region: {
                name: key
                for ring in (self, before)
                for place in (_EVERYWHERE, region)
                for name, key in ring.by_region.get(place, {}).items()
            }
            for region in regions
        }
        return KeyRing(rings, tuple(sorted({*self.regions, *before.regions}))), changed

    def known(self, region: str, fingerprint: str) -> PublicKey | None:
        """The key of that name for a region, or for any where either says nothing of regions."""
        rings = self.by_region.values() if region == _EVERYWHERE else (
            self.by_region.get(region, {}), self.by_region.get(_EVERYWHERE, {})
        )  # fmt: skip
        return next((ring[fingerprint] for ring in rings if fingerprint in ring), None)


def told_key(value: bytes, start: int | None, end: int | None) -> PublicKey:
    """A key by its DER and its validity in microseconds."""
    return PublicKey(_load(value), start, end, value)


def load_keys(path: Path) -> KeyRing:
    """The keys in a file: {"REGION": {"PublicKeyList": […]}, …}, or a bare {"PublicKeyList": […]}.

    Raises ConfigError when the file cannot be read or is neither.
    """
    try:
        if path.stat().st_size > _MAX_FILE:
            raise ConfigError(f"{path} is too large for a file of public keys")
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the public keys in {path}: {type(error).__name__}") from None
    return parse_keys(data, str(path))


def parse_keys(data: bytes, name: str = "the keys") -> KeyRing:
    """See `load_keys`."""
    try:
        told = msgspec.json.decode(data)
        if isinstance(told, dict) and "PublicKeyList" in told:
            return KeyRing({_EVERYWHERE: _ring(msgspec.convert(told, _Printed))})
        by_region = {region: _ring(part) for region, part in msgspec.convert(told, dict[str, _Printed]).items()}
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{name}: give what `aws cloudtrail list-public-keys` prints, or an object of it by region ({error})"
        ) from None
    if not by_region:
        raise ConfigError(f"{name}: there is no key in it")
    return KeyRing(by_region, tuple(sorted(by_region)))


def _ring(printed: _Printed) -> dict[str, PublicKey]:
    return {
        key.fingerprint: told_key(_der(key.value), _moment(key.validity_start_time), _moment(key.validity_end_time))
        for key in printed.keys
    }


def _der(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error):
        return b""


def _load(der: bytes) -> RSAPublicKey | None:
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, RSAPublicKey) else None


def _moment(value: str | float | None) -> int | None:
    """The command prints RFC 3339 in its second version, seconds since 1970 in its first."""
    if isinstance(value, str):
        return micros(value)
    return None if value is None or abs(value) > 1e12 else int(value * 1_000_000)
