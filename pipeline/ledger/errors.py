"""What this room raises: one error for everything that does not hold, one for a second history."""

from __future__ import annotations

from pipeline.core.errors import IntegrityBrokenError


class LedgerError(IntegrityBrokenError):
    """A hash, proof, note, tile, policy or head is malformed or does not hold. The text names expected and actual."""


class ForkError(LedgerError):
    """Going on would give one log two histories: a state older than, or unlike, what was already signed."""
