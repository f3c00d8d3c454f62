"""One digest object: what it says, and whether CloudTrail signed it for the place where it lies.

RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017) over

    digestEndTime LF bucket/object LF hex(SHA-256(inflated digest)) LF (previousDigestSignature or "null")

The signature is the object's metadata `signature`, in hexadecimal (AWS CloudTrail user guide, "Custom implementations
of CloudTrail log file integrity validation"). Checks come in the order of the vendor's own validator, so that a digest
with several faults has the same first one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from pipeline.integrity.cloudtrail.causes import Fault
from pipeline.integrity.cloudtrail.inflate import MAX_DIGEST, Inflated, inflate
from pipeline.integrity.cloudtrail.names import HOUR, SIDECAR, DigestName, micros

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.integrity.cloudtrail.keys import KeyRing

ALGORITHM: Final = "SHA256withRSA"
_SIGNED_WITHIN: Final = 2 * HOUR  # of a digest's end
_LONGEST: Final = 24 * HOUR
_MAX_SIDECAR: Final = 1 << 16
_PADDING: Final = PKCS1v15()
_HASH: Final = SHA256()
_BAD_JSON: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


class Listed(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """A log as a digest lists it; `hash_value` is hex(SHA-256(inflated log))."""

    s3_bucket: str
    s3_object: str
    hash_value: str
    hash_algorithm: str | None = None
    oldest_event_time: str | None = None
    newest_event_time: str | None = None


class _Said(msgspec.Struct, rename="camel"):
    """The parts of a digest that are checked; those without a default must be there."""

    digest_public_key_fingerprint: str
    digest_s3_bucket: str
    digest_s3_object: str
    previous_digest_signature: str | None
    digest_end_time: str
    digest_start_time: str
    previous_digest_s3_bucket: str | None = None
    previous_digest_s3_object: str | None = None
    previous_digest_hash_value: str | None = None
    digest_signature_algorithm: str | None = None
    log_files: list[Listed] | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """The digest before, as a digest names it."""

    bucket: str
    key: str
    sha256: str
    signature: str


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest after its check. `sound`: CloudTrail signed these contents for this place; then the rest is proven.

    Of one that is not, `end` is what its name says, and `start` an hour before.
    """

    key: str
    start: int
    end: int
    sound: bool
    faults: tuple[Fault, ...] = ()
    bucket: str = ""
    sha256: str = ""  # "" when it could not be inflated
    signature: str = ""
    previous: Link | None = None
    logs: tuple[Listed, ...] = field(default=(), repr=False)


_decode_said = msgspec.json.Decoder(_Said).decode
_decode_metadata = msgspec.json.Decoder(dict[str, object]).decode


def check(root: Path, name: DigestName, ring: KeyRing) -> Digest:
    """Reads and checks the digest at `root/name.key`. Never raises on content."""
    path = root / name.key
    held = inflate(path, MAX_DIGEST)
    if isinstance(held, Fault):
        return _unsound(name, held)
    metadata = _metadata(path.with_name(path.name + SIDECAR))
    said = _said(held, metadata, name)
    signature = _text(metadata, "signature")
    found = said if isinstance(said, Fault) else _refused(said, held, metadata, name, ring)
    if isinstance(found, Fault) or isinstance(said, Fault):
        assert isinstance(found, Fault)  # noqa: S101  what is refused has a fault
        return _unsound(name, found, held.sha256.hex())
    start, end = found
    return Digest(
        name.key, start, end, True, tuple(_blemishes(said, held, metadata)), said.digest_s3_bucket, held.sha256.hex(),
        signature.lower(), _link(said), tuple(said.log_files or ()),
    )  # fmt: skip


def _unsound(name: DigestName, fault: Fault, sha256: str = "") -> Digest:
    return Digest(name.key, name.end - HOUR, name.end, False, (fault,), sha256=sha256)


def _metadata(path: Path) -> dict[str, object] | Fault:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_SIDECAR + 1)
        return _decode_metadata(data)
    except FileNotFoundError:
        return Fault("metadata_missing")
    except OSError as error:
        return Fault("unreadable", f"its metadata: {type(error).__name__}")
    except _BAD_JSON:
        return Fault("signature_missing", "its metadata cannot be read")


def _text(metadata: dict[str, object] | Fault, name: str) -> str:
    value = None if isinstance(metadata, Fault) else metadata.get(name)
    return value if isinstance(value, str) else ""


def _said(held: Inflated, metadata: dict[str, object] | Fault, name: DigestName) -> _Said | Fault:
    """What the digest says, once it has a form and a signature to hold against it."""
    try:
        said = _decode_said(held.data)
    except _BAD_JSON as error:
        return Fault("invalid_format", str(error)[:120])
    if isinstance(metadata, Fault):
        return metadata
    if not _text(metadata, "signature"):
        return Fault("signature_missing")
    if name.chain.backfill and micros(_text(metadata, "backfill-generation-timestamp")) is None:
        return Fault("invalid_format", "a backfilled digest without backfill-generation-timestamp")
    return said


def _refused(
    said: _Said, held: Inflated, metadata: dict[str, object] | Fault, name: DigestName, ring: KeyRing
) -> Fault | tuple[int, int]:
    """Why the digest is not sound; else its start and end."""
    start, end = micros(said.digest_start_time), micros(said.digest_end_time)
    if said.digest_s3_object != name.key:
        return Fault("moved", f"made for {said.digest_s3_bucket[:64]}/{said.digest_s3_object[:300]}")
    if start is None or end is None or not end - _LONGEST <= start < end or abs(end - name.end) > HOUR:
        return Fault("invalid_format", "its start and end are no hour that ends when its name says")
    made = micros(_text(metadata, "backfill-generation-timestamp")) if name.chain.backfill else None
    span = (start, end + _SIGNED_WITHIN) if made is None else (made - HOUR, made + HOUR)
    key = ring.find(name.chain.region, said.digest_public_key_fingerprint, span)
    if isinstance(key, Fault):
        return key
    try:
        key.verify(bytes.fromhex(_text(metadata, "signature")), _to_sign(said, held), _PADDING, _HASH)
    except (InvalidSignature, ValueError):
        return Fault("signature_failed")
    return start, end


def _to_sign(said: _Said, held: Inflated) -> bytes:
    place = f"{said.digest_s3_bucket}/{said.digest_s3_object}"
    previous = "null" if said.previous_digest_signature is None else said.previous_digest_signature
    return f"{said.digest_end_time}\n{place}\n{held.sha256.hex()}\n{previous}".encode("utf-8", "surrogatepass")


def _blemishes(said: _Said, held: Inflated, metadata: dict[str, object] | Fault) -> list[Fault]:
    """Faults beside a good signature: of the object and of its metadata, which the signature does not cover."""
    faults = []
    if held.trailing is not None:
        faults.append(Fault("trailing_data", f"the stream ends before byte {held.trailing}", held.trailing))
    named = _text(metadata, "signature-algorithm")
    if named != ALGORITHM or said.digest_signature_algorithm not in (None, ALGORITHM):
        faults.append(Fault("signature_algorithm", f"{named[:40] or 'none'} instead of {ALGORITHM}"))
    return faults


def _link(said: _Said) -> Link | None:
    if said.previous_digest_s3_object is None or said.previous_digest_s3_bucket is None:
        return None
    return Link(
        said.previous_digest_s3_bucket,
        said.previous_digest_s3_object,
        (said.previous_digest_hash_value or "").lower(),
        (said.previous_digest_signature or "").lower(),
    )
