"""What a key has signed last, kept where it does not roll back with the lake: beside the key."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

from pipeline.core.errors import StoreError
from pipeline.ledger import checkpoint as checkpoints
from pipeline.ledger.checkpoint import Checkpoint
from pipeline.ledger.errors import ForkError
from pipeline.ledger.files import read_optional, replace_durable


class Guard(Protocol):
    """Remembers, per log, the newest (size, root) that a signature was asked for."""

    def last(self, origin: str) -> Checkpoint | None: ...

    def advance(self, checkpoint: Checkpoint) -> None:
        """Remember it durably, before it is signed. Raises ForkError for one that is older, or another of its size."""
        ...


class FileGuard:
    """One small file per log in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def last(self, origin: str) -> Checkpoint | None:
        data = read_optional(self._path(origin))
        if data is None:
            return None
        known = checkpoints.parse(data)
        if known.origin != origin:
            raise ForkError(f"the record of what was signed for {origin} names {known.origin}")
        return known

    def advance(self, checkpoint: Checkpoint) -> None:
        known = self.last(checkpoint.origin)
        if known == checkpoint:
            return
        if known is not None and known.size >= checkpoint.size:
            raise ForkError(
                f"{checkpoint.origin}: size {known.size} is already signed with root {known.root.hex()}; "
                f"refused to sign size {checkpoint.size} with root {checkpoint.root.hex()}"
            )
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_durable(self._path(checkpoint.origin), checkpoint.text())
        except OSError as error:
            raise StoreError(f"the record of what was signed could not be written: {error.strerror}") from error

    def _path(self, origin: str) -> Path:
        return self._folder / f"{hashlib.sha256(origin.encode()).hexdigest()[:32]}.signed"
