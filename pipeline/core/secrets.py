"""Secrets by reference: the configuration says where one is, never what it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from pipeline.core.errors import ConfigError, MissingSecretError


class SecretRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{ env = "NAME" }` or `{ file = "PATH" }`. Its repr shows the place, which is no secret."""

    env: str = ""
    file: str = ""

    def __post_init__(self) -> None:
        if bool(self.env) == bool(self.file):
            raise ValueError("a secret is given as either { env = … } or { file = … }")

    def resolve(self) -> str:
        """The secret itself, without the line end of its file. Raises ConfigError that names the place."""
        text = self._read().rstrip("\r\n")
        if not text:
            raise MissingSecretError(f"the secret in {self.place} is empty")
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ConfigError(f"the secret in {self.place} is not UTF-8")
        return text

    def for_header(self) -> str:
        """The same where a header can carry it. Raises ConfigError."""
        text = self.resolve()
        if not all(" " <= letter <= "~" for letter in text):
            raise ConfigError(
                f"the secret in {self.place} holds a line end, or what is not ASCII: no header carries it"
            )
        return text

    @property
    def place(self) -> str:
        """Where it is, which is no secret."""
        return self.env or self.file

    def _read(self) -> str:
        if self.env:
            if self.env not in os.environ:
                raise MissingSecretError(f"the environment has no variable {self.env}, where a secret should be")
            return os.environ[self.env]
        try:
            return Path(self.file).read_text("utf-8")
        except (OSError, ValueError) as error:
            kind = MissingSecretError if isinstance(error, OSError) else ConfigError
            raise kind(f"cannot read the secret in {self.file}: {type(error).__name__}") from None


def proxy_url(place: SecretRef) -> str:
    """The address of a SOCKS5 proxy, which may hold a password. Raises ConfigError that quotes nothing of it."""
    text = place.resolve()
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"socks5", "socks5h"} and parts.hostname and parts.port
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"the proxy_url in {place.place} does not read socks5://[NAME:PASSWORD@]HOST:PORT")
    return text


class Tokens:
    """Bearer tokens from their place, asked for as Kafka's client does: whoever renews them only writes the file."""

    def __init__(self, place: SecretRef) -> None:
        self._place = place

    def token(self) -> str:
        """The token as it stands there now. Raises ConfigError."""
        return self._place.resolve()

    def extensions(self) -> Mapping[str, str]:
        """What goes with a token: nothing."""
        return {}
