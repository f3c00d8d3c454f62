"""Alerts to send, plain and hostile."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.core.model import Message
from pipeline.core.schema import ALERT

FIRST = datetime(2026, 3, 2, 8, 0, 0, 123456, tzinfo=UTC)

HOSTILE = (
    "line\nbreak\r\nand more",
    "pipe|equals=back\\slash\"quote'bracket]",
    "\x00nul\x1b[31mescape\x07bell\x9b31m",
    '=HYPERLINK("http://x","y")',
    "+1+1|cmd",
    "\u202egnp.exe\u2066hidden\u2069\u200b\ufeff",
    "half a pair \ud800 and \udfff",
    "\u2028line separator\u2029",
    '{"create":{}}\n{"index":{}}\n',
    "</script><img src=x onerror=alert(1)>",
    "<13>1 2026-03-02T08:00:00Z h a - - - forged",
    "😀 é 漢字 \U000e0041",
    "%n%s${jndi:ldap://x}",
    "x" * 100_000,
)


TEXTS = (
    "title", "message", "principal", "secret", "client_ip", "observed", "expected", "next_step", "cause", "store",
    "suppression",
)  # fmt: skip
LISTS = ("detectors", "techniques", "families")


def uid(number: int) -> str:
    return f"{number:032x}"


def alert(number: int = 1, **given: Any) -> dict[str, Any]:
    """One row of schema.ALERT."""
    row = dict.fromkeys(ALERT) | {
        "uid": uid(number),
        "state": "open",
        "first_time": FIRST,
        "last_time": FIRST + timedelta(minutes=5),
        "severity": "high",
        "route": "ticket",
        "title": "Reads far more secrets than usual",
        "message": "approle/ci read 41 secrets.",
        "detectors": ["breadth"],
        "principal": "approle/ci",
        "secret": "kv/app/db",
        "store": "vault",
        "count": 3,
        "suppression": "",
        "finding_uids": [uid(100), uid(101)],
        "revision": 1,
        "confidence": 0.9,
        "score": 0.97,
        "client_ip": "10.1.2.3",
        "observed": "41",
        "expected": "3.2",
        "techniques": ["T1555.006"],
        "evidence": [uid(200), uid(201)],
        "next_step": "Ask the owner of approle/ci.",
        "cause": "breadth",
        "families": ["breadth"],
        "detector_version": "1",
    }
    return row | given


def message(number: int = 1, revision: int = 1, **given: Any) -> Message:
    """One message of alert `number`."""
    row = alert(number, revision=revision, **given)
    return Message(f"{row['uid']}:{revision}", row["uid"], revision, row)


def hostile(text: str) -> Message:
    """A message that has `text` wherever an alert has text of somebody else's."""
    return message(**dict.fromkeys(TEXTS, text), **{name: [text, text] for name in LISTS})


def from_json(value: Mapping[str, Any]) -> Message:
    """A message as a case file has it: times in RFC 3339."""
    row = dict(value["alert"])
    for name in ("first_time", "last_time"):
        if row.get(name):
            row[name] = datetime.fromisoformat(row[name])
    return Message(value["event_id"], value["alert_uid"], value["revision"], row)
