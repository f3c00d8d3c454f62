"""The audit trail itself: devices, what they write, and the server's own logging."""

from __future__ import annotations

from typing import Final

from detectors.invariant.rule import NEVER, PLANNED, RARE, Rule, at, changes, flag, is_vault, true, under, verb, writes

_OFF: Final = ("T1562.008",)
_IN_CLEAR: Final = ("log_raw=?", "hmac_accessor=?", "hmac_accessor=false")  # "=?": given, and hashed as all texts are

GATE: Final = under("sys/audit", "sys/config/auditing", "sys/loggers") | true("clear")

RULES: Final = (
    Rule(
        "audit_disabled",
        "Audit device disabled",
        "critical",
        is_vault() & at(r"^sys/audit/.") & verb("delete"),
        "{who} disabled the audit device {name}",
        "Enable the device again now. Then find the change that asked for this; without one, revoke the caller's token"
        " and read what other devices recorded since.",
        _OFF,
        NEVER,
    ),
    Rule(
        "audit_raw_device",
        "Audit device that writes values in clear",
        "critical",
        is_vault() & at(r"^sys/audit/.") & writes() & flag("log_raw"),
        "{who} enabled the audit device {name} with hashing of values off",
        "Disable that device, protect what it has written, and rotate every secret read since.",
        ("T1562.008", "T1552.001"),
        NEVER,
    ),
    Rule(
        "audit_unhashed_asked",
        "Audit device with the hashing options given",
        "high",
        is_vault() & at(r"^sys/audit/.") & writes() & flag(*_IN_CLEAR) & ~flag("log_raw"),
        "{who} enabled the audit device {name} and set how it hashes (log_raw, hmac_accessor), to what is not shown",
        "Read the device's options (sys/audit). Hashing off: disable the device and protect what it has written; values"
        " that it writes in clear are told as in_clear.",
        ("T1562.008", "T1552.001"),
        NEVER,
        0.6,
    ),
    Rule(
        "audit_enabled",
        "Audit device enabled or re-created",
        "medium",
        is_vault() & at(r"^sys/audit/.") & writes() & ~flag("log_raw", *_IN_CLEAR),
        "{who} enabled the audit device {name} (one that is made again hashes with a new key)",
        "Check with the owner of the platform where this copy of the trail goes. If an old device of that name went"
        " before, hashes from before and after cannot be compared: note the time.",
        _OFF,
    ),
    Rule(
        "audit_headers",
        "Audited request headers changed",
        "medium",
        is_vault() & at(r"^sys/config/auditing(/|$)") & changes(),
        "{who} changed which request headers the audit trail keeps: {name}",
        "Compare with the configuration as code. A header logged without hashing can carry credentials; a removed one"
        " blinds the canary check.",
        _OFF,
    ),
    Rule(
        "audit_hash_probe",
        "Audit hash of a candidate value computed",
        "low",
        is_vault() & at(r"^sys/audit-hash/") & writes(),
        "{who} had the audit device {name} hash a value of their choice",
        "Normal in an investigation. Otherwise it tests guesses of secret values against the trail: ask the caller.",
        ("T1110",),
        RARE,
    ),
    Rule(
        "server_logging",
        "Server log level changed",
        "low",
        is_vault() & at(r"^sys/loggers(/|$)") & changes(),
        "{who} changed the server's log level: {path}",
        "Check that logging is back at its usual level and that no debug output holding requests was kept.",
        ("T1562",),
        PLANNED,
    ),
    Rule(
        "in_clear",
        "Audit trail holds values in clear",
        "critical",
        true("clear"),
        "values that should be hashed stand in clear in the trail of {device}; first seen for {who}",
        "Set log_raw off for that device, restrict who can read what it wrote, and rotate the secrets read while it was"
        " on: keytrail query on raw where redacted names the entries.",
        ("T1552.001", "T1562.008"),
        NEVER,
        lowered=False,
        once="device",
    ),
)
