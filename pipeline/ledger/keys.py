"""The log's key as a file, private by mode, outside the lake; and the record of what it has signed.

The file holds the text form that golang.org/x/mod/sumdb/note writes: PRIVATE+KEY+name+keyid+base64(01 ‖ seed32).
An unencrypted PEM file with an Ed25519 key works as well. One key may serve several lakes: each lake's log has a name
of its own, `<key name>/<lake id>`, so the statements of one never pass for another's.
"""

from __future__ import annotations

import base64
import os
import secrets
import stat
from pathlib import Path
from typing import Protocol, Self, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pipeline.core.disk import sync_folder
from pipeline.core.errors import ConfigError
from pipeline.ledger import note, policy
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.files import write_durable
from pipeline.ledger.note import Signer

DEFAULT_NAME = "keytrail"
_PREFIX = "PRIVATE+KEY+"


class Key(Signer, Protocol):
    """A signer that can speak for several logs."""

    def renamed(self, name: str) -> Self: ...


K = TypeVar("K", bound=Key)


class FileSigner:
    """An Ed25519 key under a name. Its repr shows the public half only."""

    __slots__ = ("_key", "name", "public")

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        if not note.is_name(name):
            raise ConfigError(f"a log cannot be called {name!r}: no spaces, no plus sign")
        self.name = name
        self.public = key.public_key().public_bytes_raw()
        self._key = key

    def __repr__(self) -> str:
        return f"FileSigner({note.verifier_of(self).vkey()!r})"

    def sign(self, message: bytes) -> bytes:
        """Ed25519, RFC 8032."""
        return self._key.sign(message)

    def renamed(self, name: str) -> FileSigner:
        """The same key for another log."""
        return FileSigner(name, self._key)


def default_key_path() -> Path:
    """`signing.key` in the user's config folder."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "keytrail" / "signing.key"


def signed_folder(key: Path) -> Path | None:
    """Where what a key has signed is remembered: beside it. None where nothing can be written there."""
    folder = key.parent / "signed"
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return folder if os.access(there, os.W_OK) else None


def shown(path: Path) -> str:
    """A path as its user would write it."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def create(path: Path, name: str = DEFAULT_NAME) -> FileSigner:
    """A new key in a new file of mode 0600. Raises ConfigError when the file is there already."""
    key = Ed25519PrivateKey.generate()
    signer = FileSigner(name, key)
    material = base64.b64encode(bytes([note.ED25519]) + key.private_bytes_raw()).decode()
    text = f"{_PREFIX}{name}+{note.verifier_of(signer).key_id.hex()}+{material}\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        place(path, text.encode())
        sync_folder(path.parent)
    except OSError as error:
        raise ConfigError(f"the signing key {path} could not be created: {error.strerror}") from error
    return signer


def place(path: Path, data: bytes) -> None:
    """A new file that is whole as soon as it is there. Raises OSError, FileExistsError where there is one already."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    write_durable(fresh, data, mode=0o600, exclusive=True)
    try:
        os.link(fresh, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        write_durable(path, data, mode=0o600, exclusive=True)
    finally:
        fresh.unlink()


def load(path: Path) -> FileSigner:
    """The key in `path`. Raises ConfigError; no message ever shows what the file holds."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"the signing key {path} could not be read: {error.strerror}") from error
    if mode & 0o077:
        raise ConfigError(f"the signing key {path} has mode {mode:04o}: others can read it; chmod 600 it")
    try:
        return _decode_pem(data) if data.startswith(b"-----BEGIN") else _decode_text(data.decode("ascii"))
    except (LedgerError, ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigError(f"{path} holds no Ed25519 signing key") from None


def load_or_create(path: Path) -> FileSigner:
    """The key in `path`, made on first use, by one of those who come for it at once."""
    if path.exists():
        return load(path)
    try:
        return create(path)
    except ConfigError as error:
        if isinstance(error.__cause__, FileExistsError):
            return load(path)
        raise


def for_lake(path: Path, lake_dir: Path, *, origin: str | None = None, folder: str = "ledger") -> FileSigner:
    """The key in `path` under the name of the lake's log, new lakes getting a name of their own.

    Raises ConfigError for a key inside the lake, which would roll back and leak with it, and for a lake whose log
    has another key.
    """
    if path.resolve().is_relative_to(lake_dir.resolve()):
        raise ConfigError(f"the signing key {path} must not lie in the lake it signs for")
    return named_for(load_or_create(path), lake_dir, str(path), origin=origin, folder=folder)


def named_for(key: K, lake_dir: Path, shown: str, *, origin: str | None = None, folder: str = "ledger") -> K:
    """A key under the name of the lake's log, as `for_lake`; `shown` is what an error calls it."""
    known = policy.read(lake_dir / folder / "policy")
    if known is None or not known.logs:
        return key.renamed(origin or f"{key.name}/{secrets.token_hex(8)}")
    for verifier in known.logs:
        if verifier.public == key.public and origin in {None, verifier.name}:
            return key.renamed(verifier.name)
    raise ConfigError(f"the ledger of {lake_dir} belongs to {known.logs[0].vkey()}, which {shown} is not the key of")


def _decode_text(text: str) -> FileSigner:
    name, digits, encoded = text.strip().removeprefix(_PREFIX).split("+", 2)
    material = note.decode_base64(encoded)
    if not text.startswith(_PREFIX) or material[:1] != bytes([note.ED25519]):
        raise LedgerError("not a private key")
    signer = FileSigner(name, Ed25519PrivateKey.from_private_bytes(material[1:]))
    if note.verifier_of(signer).key_id.hex() != digits:
        raise LedgerError("key id does not match")
    return signer


def _decode_pem(data: bytes) -> FileSigner:
    key = load_pem_private_key(data, password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise LedgerError("not an Ed25519 key")
    return FileSigner(DEFAULT_NAME, key)
