"""The number of the last canary, kept so that it is never used twice and none is left out."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import ConfigError

if TYPE_CHECKING:
    from types import TracebackType

MAX = 10**15 - 1


class Numbers:
    """A file with one decimal number, of one client at a time. A number is on disk before its request leaves."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = -1
        self.last = 0

    def __enter__(self) -> Numbers:
        """Raises ConfigError when another client uses the file, or it holds no number."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(self.path.with_name(f"{self.path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            text = self.path.read_text("ascii").strip() if self.path.exists() else "0"
        except BlockingIOError:
            raise ConfigError(f"another client counts in {self.path}: numbers come from one client only") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the canary's number in {self.path} cannot be kept: {type(error).__name__}") from None
        if not text.isdecimal() or int(text) >= MAX:
            raise ConfigError(f"{self.path} holds no canary number; write the last one sent into it, never a lower one")
        self.last = int(text)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            os.close(self._lock)

    def take(self) -> int:
        """The next number, which counts as used from here on."""
        self._write(self.last + 1)
        return self.last

    def give_back(self) -> None:
        """The last number was not sent: it comes again."""
        self._write(self.last - 1)

    def _write(self, number: int) -> None:
        fresh = self.path.with_name(f"{self.path.name}.new")
        with fresh.open("w", encoding="ascii") as file:
            file.write(f"{number}\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.last = number
