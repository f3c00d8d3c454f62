"""Secrets by reference: the configuration says where one is, never what it is."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from pipeline.core.errors import ConfigError


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
            raise ConfigError(f"the secret in {self.env or self.file} is empty")
        return text

    def _read(self) -> str:
        if self.env:
            if self.env not in os.environ:
                raise ConfigError(f"the environment has no variable {self.env}, where a secret should be")
            return os.environ[self.env]
        try:
            return Path(self.file).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the secret in {self.file}: {type(error).__name__}") from None
