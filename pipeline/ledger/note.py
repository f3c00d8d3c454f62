"""Signed notes, c2sp.org/signed-note v1.0.0, with Ed25519 keys (type 01) and the cosignatures of witnesses (04, 06)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from pipeline.ledger.errors import LedgerError

ED25519, COSIGNATURE, MLDSA_COSIGNATURE = 0x01, 0x04, 0x06
_PUBLIC_SIZES = {ED25519: 32, COSIGNATURE: 32, MLDSA_COSIGNATURE: 1312}
_SIGNATURE_SIZES = {ED25519: 64, COSIGNATURE: 8 + 64, MLDSA_COSIGNATURE: 8 + 2420}
MAX_SIZE = 1 << 20
MAX_SIGNATURES = 100
_DASH = "\u2014 "


class Signer(Protocol):
    """Whoever holds the key: a file, a KMS, an agent. `sign` is Ed25519 over the message."""

    @property
    def name(self) -> str: ...

    @property
    def public(self) -> bytes: ...

    def sign(self, message: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line."""

    name: str
    key_id: bytes
    data: bytes

    def line(self) -> str:
        """The line as it stands in a note, with its line end."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.data).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A note taken apart, nothing verified: `text` ends with a line end."""

    text: bytes
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """The note as it is written."""
        return self.text + b"\n" + "".join(signature.line() for signature in self.signatures).encode()


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key one trusts, under its name."""

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        return key_id(self.name, self.kind, self.public)

    def vkey(self) -> str:
        """The text form: name+keyid+key."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"

    def verify(self, text: bytes, signature: bytes) -> None:
        """Raises LedgerError unless `signature` is this key's over `text`."""
        if len(signature) != _SIGNATURE_SIZES[self.kind]:
            raise LedgerError(f"the signature of {self.name} has {len(signature)} bytes")
        try:
            self._check(text, signature)
        except (InvalidSignature, ValueError) as error:
            raise LedgerError(f"the signature of {self.name} does not hold") from error

    def _check(self, text: bytes, signature: bytes) -> None:
        if self.kind == MLDSA_COSIGNATURE:
            message = _subtree_message(self.name, text, signature[:8])
            MLDSA44PublicKey.from_public_bytes(self.public).verify(signature[8:], message)
        elif self.kind == COSIGNATURE:
            message = cosigned_message(text, int.from_bytes(signature[:8], "big"))
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature[8:], message)
        else:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """SHA-256(name ‖ 0A ‖ kind ‖ public)[:4]."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def verifier_of(signer: Signer) -> Verifier:
    """The public half of a log's key."""
    return Verifier(signer.name, ED25519, signer.public)


def parse_vkey(text: str) -> Verifier:
    """A verifier key from its text. Raises LedgerError."""
    name, _, rest = text.strip().partition("+")
    digits, _, encoded = rest.partition("+")
    material = decode_base64(encoded)
    if not is_name(name) or len(material) < 2:
        raise LedgerError("not a verifier key: it reads name+keyid+base64")
    verifier = Verifier(name, material[0], material[1:])
    if _PUBLIC_SIZES.get(verifier.kind) != len(verifier.public):
        raise LedgerError(f"the verifier key of {name} is of a kind or length that is not supported")
    if digits != verifier.key_id.hex():
        raise LedgerError(f"the key id of {name} does not match its key")
    return verifier


def is_name(name: str) -> bool:
    """Whether a key may be called so."""
    return bool(name) and not any(c == "+" or c.isspace() or ord(c) < 0x20 or 0xD800 <= ord(c) < 0xE000 for c in name)


def decode_base64(text: str) -> bytes:
    """Strict base64: the one encoding of its bytes and nothing else. Raises LedgerError."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise LedgerError("not base64") from error
    if base64.b64encode(data).decode() != text:
        raise LedgerError("base64 is not in canonical form")
    return data


def encode_base64(data: bytes) -> str:
    """The canonical form."""
    return base64.b64encode(data).decode()


def parse(data: bytes) -> Note:
    """A note taken apart. Raises LedgerError for anything that is not one."""
    if len(data) > MAX_SIZE:
        raise LedgerError("a note of more than a megabyte")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LedgerError("a note that is not UTF-8") from error
    if any(c < " " and c != "\n" for c in whole):
        raise LedgerError("a note with control characters")
    text, blank, lines = whole.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise LedgerError("a note without signatures")
    signatures = tuple(parse_signature(line) for line in lines[:-1].split("\n"))
    if len(signatures) > MAX_SIGNATURES:
        raise LedgerError(f"a note with more than {MAX_SIGNATURES} signatures")
    return Note((text + "\n").encode(), signatures)


def parse_signature(line: str) -> Signature:
    """A signature line without its line end. Raises LedgerError."""
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space or not is_name(name):
        raise LedgerError("a malformed signature line")
    data = decode_base64(encoded)
    if len(data) < 5:
        raise LedgerError("a signature that is too short")
    return Signature(name, data[:4], data[4:])


def verify(note: Note, verifiers: Iterable[Verifier]) -> tuple[Verifier, ...]:
    """The given keys that signed, in the note's order, each once.

    Unknown keys are ignored; a known key whose signature does not hold condemns the note. LedgerError if none signed.
    """
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    signed: dict[Verifier, None] = {}
    for signature in note.signatures:
        verifier = known.get((signature.name, signature.key_id))
        if verifier is not None and verifier not in signed:
            verifier.verify(note.text, signature.data)
            signed[verifier] = None
    if not signed:
        raise LedgerError("a note that none of the trusted keys has signed")
    return tuple(signed)


def sign(text: bytes, signers: Iterable[Signer]) -> Note:
    """A note over `text`, which ends with a line end."""
    return Note(
        text,
        tuple(
            Signature(signer.name, key_id(signer.name, ED25519, signer.public), signer.sign(text)) for signer in signers
        ),
    )


def cosign(text: bytes, signer: Signer, seconds: int) -> Signature:
    """A witness's Ed25519 cosignature of a checkpoint's text, c2sp.org/tlog-cosignature."""
    stamped = struct.pack(">Q", seconds) + signer.sign(cosigned_message(text, seconds))
    return Signature(signer.name, key_id(signer.name, COSIGNATURE, signer.public), stamped)


def cosigned_message(text: bytes, seconds: int) -> bytes:
    """What an Ed25519 witness signs."""
    return b"cosignature/v1\ntime %d\n" % seconds + text


def _subtree_message(name: str, text: bytes, stamp: bytes) -> bytes:
    """What an ML-DSA-44 witness signs for a checkpoint: name and origin with a length byte, start 0, end, hash."""
    origin, size, root = [*text.decode().split("\n"), "", "", ""][:3]
    if not (size.isascii() and size.isdigit()):
        raise LedgerError("a cosigned text that is not a checkpoint")
    named, log = name.encode(), origin.encode()
    return b"".join(
        (
            b"subtree/v1\n\x00",
            bytes([len(named)]),
            named,
            stamp,
            bytes([len(log)]),
            log,
            struct.pack(">QQ", 0, int(size)),
            decode_base64(root),
        )
    )
