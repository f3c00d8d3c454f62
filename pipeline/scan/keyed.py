"""Hashes of secrets under a key of the user's own: equal secrets are known again, and nobody else can try guesses."""

from __future__ import annotations

import hmac
from collections.abc import Collection


class Key:
    """The key of all hashes. Its repr does not show it. `known`: hashes of what is no leak."""

    def __init__(self, key: bytes, known: Collection[str] = ()) -> None:
        self._key = key
        self.known = frozenset(known)

    def __repr__(self) -> str:
        return "Key(…)"

    def hash(self, value: bytes) -> str:
        """HMAC-SHA-256, 64 hexadecimal digits."""
        return hmac.digest(self._key, value, "sha256").hex()
