"""How grave each verdict is, what it means, and what to do: the table behind the findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Words:
    """One verdict of `core.schema.VERDICTS`, in words. A verdict that is not in the table is no finding."""

    verdict: str
    severity: str
    confidence: float
    title: str
    says: str
    expected: str
    next_step: str


_WHOLE: Final = "every entry once, whole, in order"
_COMPARE: Final = "Compare with another device's copy of these positions; keytrail query on integrity shows the places."

VERDICTS: Final = (
    Words(
        "altered", "critical", 0.9, "Audit entries altered",
        "entries differ from what was recorded before or elsewhere", "the same bytes wherever an entry is kept",
        "Freeze the file and its host. " + _COMPARE + " Then keytrail verify against a kept head.",
    ),
    Words(
        "in_clear", "critical", 0.95, "Audit trail holds values in clear",
        "values that should be hashed stand in clear", "every value hashed with the device's key",
        "Set log_raw off for this device, restrict who can read what it wrote, and rotate the secrets read meanwhile.",
    ),
    Words(
        "truncated", "high", 0.9, "Audit trail cut short",
        "what was read before is gone from the file", "a file that only grows, or is rotated whole",
        "Find who or what truncated the file (log rotation with copytruncate does). " + _COMPARE,
    ),
    Words(
        "gap", "high", 0.85, "Audit entries missing",
        "entries that should be there are missing", _WHOLE,
        "Recover the entries from another device or backup and feed them in; find out why this stream lost them.",
    ),
    Words(
        "duplicate", "medium", 0.9, "Audit entries doubled",
        "the same entries came twice", _WHOLE,
        "Harmless when a shipper retried; check its acknowledgements. Otherwise entries were copied in: " + _COMPARE,
    ),
    Words(
        "reordered", "medium", 0.8, "Audit entries in another order",
        "entries stand in another order than on a second device", _WHOLE,
        "Check whether a shipper merges files. If nothing does, the file was written by another hand: " + _COMPARE,
    ),
    Words(
        "unpaired", "medium", 0.6, "Half an operation missing",
        "a request has no answer, or an answer no request", "a request and its answer for every operation",
        "Look for a crash or restart of the store at that time; many of these in a quiet hour are lost entries.",
    ),
    Words(
        "device_change", "medium", 0.8, "Audit device re-created",
        "the device hashes with a new key from here on", "one key for the life of a device",
        "Find the change that disabled and enabled the device; hashes before and after do not compare.",
    ),
    Words(
        "clock_step", "medium", 0.7, "Clock stepped",
        "time in the trail steps back or far ahead", "time that moves on, within a few seconds",
        "Check time synchronisation of the host. A set-back clock is also a way to hide when something was done.",
    ),
    Words(
        "unverifiable", "low", 0.9, "Integrity cannot be verified",
        "there is nothing to verify these entries against", "a signature or head that can be checked",
        "Keep a head of the ledger elsewhere, or hand in the missing key or digest.",
    ),
    Words(
        "unsigned", "low", 0.9, "Signature missing",
        "a signature that should be here is not", "a signature on every digest",
        "Check that digest delivery is on and that nobody removed files from the bucket.",
    ),
    Words(
        "torn", "low", 0.9, "Torn entries",
        "remains of entries that were cut in the middle", _WHOLE,
        "Usual after a crash or a full disk. The store's other devices hold the whole entries.",
    ),
)  # fmt: skip
