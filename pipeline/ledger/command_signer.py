"""A signing key that keytrail never sees: a command of the operator's signs, for a KMS, an HSM or an agent behind it.

The command gets the message on stdin and answers on stdout with the Ed25519 signature (RFC 8032, 64 bytes), raw or in
base64, and exit code 0. What it says on stderr goes to ours. Every answer is checked under the public key before it is
used: a signature that does not hold never leaves this module.
"""

from __future__ import annotations

import base64
import binascii
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from pipeline.core.errors import ConfigError, KeytrailError
from pipeline.ledger import note
from pipeline.ledger.errors import LedgerError

_SIGNATURE = 64
_TRIES, _PAUSE_SECONDS = 3, 0.5


class SignerError(KeytrailError):
    """The signer did not sign. Nothing was published; what is committed is signed by the next run."""


class CommandSigner:
    """A log's name, its public key, and the command that signs for it."""

    __slots__ = ("_command", "_seconds", "name", "public")

    def __init__(self, name: str, public: bytes, command: Sequence[str], seconds: float) -> None:
        """`seconds` is how long one call may take. Raises ConfigError for a name that no log can have."""
        if not note.is_name(name):
            raise ConfigError(f"a log cannot be called {name!r}: no spaces, no plus sign")
        self.name = name
        self.public = public
        self._command = tuple(command)
        self._seconds = seconds

    def __repr__(self) -> str:
        return f"CommandSigner({note.verifier_of(self).vkey()!r})"

    def sign(self, message: bytes) -> bytes:
        """The command's signature, asked for again when it fails. Raises SignerError."""
        for attempt in range(_TRIES):
            try:
                return self._checked(message)
            except SignerError:
                if attempt + 1 == _TRIES:
                    raise
                time.sleep(_PAUSE_SECONDS * (attempt + 1))
        raise AssertionError  # the last try raises

    def renamed(self, name: str) -> CommandSigner:
        """The same key for another log."""
        return CommandSigner(name, self.public, self._command, self._seconds)

    def _checked(self, message: bytes) -> bytes:
        signature = _signature(self._answer(message))
        try:
            note.verifier_of(self).verify(message, signature)
        except LedgerError:
            raise SignerError(f"the signer {self._shown} gave a signature that its public key does not open") from None
        return signature

    def _answer(self, message: bytes) -> bytes:
        try:
            done = subprocess.run(  # noqa: S603  the operator's own command
                self._command, input=message, stdout=subprocess.PIPE, timeout=self._seconds, check=False
            )
        except subprocess.TimeoutExpired:
            raise SignerError(f"the signer {self._shown} did not answer within {self._seconds:g} s") from None
        except OSError as error:
            raise SignerError(f"the signer {self._shown} cannot be run: {error.strerror}") from None
        if done.returncode:
            raise SignerError(f"the signer {self._shown} ended with exit code {done.returncode}")
        return done.stdout

    @property
    def _shown(self) -> str:
        return Path(self._command[0]).name  # its arguments may name what is nobody's business


def _signature(answer: bytes) -> bytes:
    if len(answer) == _SIGNATURE:
        return answer
    try:
        decoded = base64.b64decode(answer.strip(), validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) != _SIGNATURE:
        raise SignerError(f"the signer answered with {len(answer)} bytes, which are no Ed25519 signature")
    return decoded


def public_key(text: str) -> bytes:
    """An Ed25519 key's 32 bytes: from a verifier key, base64, or a file with either or PEM. Raises ConfigError."""
    path = Path(text).expanduser()
    try:
        data = path.read_bytes() if "/" in text and path.is_file() else text.encode()
        if data.startswith(b"-----BEGIN"):
            key = load_pem_public_key(data)
            if not isinstance(key, Ed25519PublicKey):
                raise ConfigError("[ledger] public_key is no Ed25519 key")
            return key.public_bytes_raw()
        words = data.decode("ascii").strip()
        if words.count("+") >= 2 and "+" in words.partition("+")[2] and note.is_name(words.partition("+")[0]):
            return _of_vkey(words)
        return _raw(note.decode_base64(words))
    except (OSError, ValueError, LedgerError):
        raise ConfigError("[ledger] public_key is no verifier key, no base64 of 32 bytes and no such file") from None


def _of_vkey(words: str) -> bytes:
    try:
        verifier = note.parse_vkey(words)
    except LedgerError:
        return _raw(note.decode_base64(words))  # base64 has plus signs, too
    if verifier.kind != note.ED25519:
        raise ConfigError("[ledger] public_key is no Ed25519 key")
    return verifier.public


def _raw(data: bytes) -> bytes:
    if len(data) != 32:
        raise LedgerError("not 32 bytes")
    return data
