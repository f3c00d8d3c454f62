"""A device's salt and what it makes of clear strings."""

from __future__ import annotations

import hmac

_KEEP = 400_000


class Hasher:
    """HMAC-SHA-256 with the device's salt (a UUID as text), each distinct value once while it is remembered.

    Strings that only one entry can hold need not be remembered.
    """

    def __init__(self, salt: str) -> None:
        self._key = salt.encode()
        self._known: dict[str, str] = {}

    def once(self, value: str) -> str:
        """The hash as the log shows it."""
        return "hmac-sha256:" + hmac.digest(self._key, value.encode(), "sha256").hex()

    def __call__(self, value: str) -> str:
        """The hash as the log shows it, remembered."""
        found = self._known.get(value)
        if found is None:
            if len(self._known) >= _KEEP:
                self._known.clear()
            found = self._known[value] = self.once(value)
        return found
