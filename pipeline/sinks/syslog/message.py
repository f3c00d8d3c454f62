"""One alert as a syslog message. Header fields are ours or enumerated; data stands in the body and in escaped values.

RFC 5424 §6 (syntax; §6.3.3 escaping of values), RFC 5425 §4.3 (octet counting), ArcSight CEF revision 26 (escaping).
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from pipeline.core.model import Message
from pipeline.core.schema import SEVERITIES
from pipeline.core.text import ACTING, json_ascii, plain, visible
from pipeline.sinks.ocsf import detection_finding, product_version

ENTERPRISE: Final = "keytrail@32473"
_LEVELS: Final = (6, 5, 4, 3, 2)  # informational, notice, warning, error, critical: by our severity
_CEF_SEVERITIES: Final = (1, 3, 5, 8, 10)
_STATES: Final = ("open", "updated", "closed", "suppressed")
_CUTS: Final = ((2_000, 100), (500, 20), (200, 5), (100, 0), (40, 0))  # bytes of a text as sent, length of a list
_BARE: Final = frozenset({"first_time", "last_time", "severity", "confidence", "count"})
_BOM: Final = "\ufeff".encode()

_SD_VALUE: Final = {ord('"'): '\\"', ord("\\"): "\\\\", ord("]"): "\\]"}
_SHOWN: Final = {code: f"<U+{code:04X}>" for code in ACTING} | {ord("\t"): " "}
_CEF_HEADER: Final = _SHOWN | {ord("\n"): " ", ord("\r"): " ", ord("|"): "\\|", ord("\\"): "\\\\"}
_CEF_VALUE: Final = _SHOWN | {ord("\n"): "\\n", ord("\r"): "\\r", ord("="): "\\=", ord("\\"): "\\\\"}

_CEF_ANY: Final = _CEF_HEADER | _CEF_VALUE  # no place needs more


def frame(message: Message, *, body: str, hostname: str, facility: int, max_bytes: int) -> bytes:
    """`LENGTH SP MESSAGE`: the first of ever shorter forms of the message that fits `max_bytes`."""
    head = _head(message, hostname, facility)
    text = b""
    for shorter, cut in _forms(message, _cef_bytes if body == "cef" else _json_bytes):
        text = head + b" " + (_cef_body(shorter) if body == "cef" else _json_body(shorter, cut=cut))
        if len(text) <= max_bytes:
            break
    return b"%d %b" % (len(text), text)


def _forms(message: Message, size: Callable[[str], int]) -> Iterator[tuple[Message, bool]]:
    """The message, shorter with each step, and whether anything was cut. The last has no text of a log at all."""
    yield message, False
    for most, length in _CUTS:
        row = {name: _short(value, most, length, size) for name, value in message.alert.items()}
        yield replace(message, alert=row), row != message.alert
    row = {name: value for name, value in message.alert.items() if name in _BARE} | {"message": "…"}
    state = message.alert.get("state")
    yield replace(message, alert=row | ({"state": state} if state in _STATES else {})), True


def _short(value: Any, most: int, length: int, size: Callable[[str], int]) -> Any:
    """A text of at most `most` bytes as it is sent, a list of at most `length` such texts; anything else as it is."""
    if isinstance(value, list | tuple):
        return [_short(item, most, length, size) for item in value[:length]]
    if not isinstance(value, str) or size(text := plain(value)) <= most:
        return value
    end = bisect_right(range(len(text)), most - size("…"), key=lambda end: size(text[:end])) - 1
    return text[:end] + "…"


def _json_bytes(text: str) -> int:
    return len(json_ascii(text)) - 2  # without its quotes


def _cef_bytes(text: str) -> int:
    return len(text.translate(_CEF_ANY).encode())


def _json_body(message: Message, *, cut: bool) -> bytes:
    event = detection_finding(message)
    if cut:
        event["metadata"]["is_truncated"] = True
    return json_ascii(event)


def _cef_body(message: Message) -> bytes:
    content = _cef(message).encode()
    return content if content.isascii() else _BOM + content


def _head(message: Message, hostname: str, facility: int) -> bytes:
    """PRI to STRUCTURED-DATA. MSGID is the state: nothing that was read from a log gets into the header."""
    row = message.alert
    priority = facility * 8 + _LEVELS[_rank(row)]
    moment = row.get("last_time")
    time = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if isinstance(moment, datetime) else "-"
    host = "".join(c for c in hostname if "!" <= c <= "~")[:255] or "-"
    state = row.get("state")
    values = {"uid": message.alert_uid, "event": message.event_id, "revision": message.revision}
    data = " ".join(f'{name}="{visible(value).translate(_SD_VALUE)}"' for name, value in values.items())
    msgid = state if state in _STATES else "-"
    return f"<{priority}>1 {time} {host} keytrail - {msgid} [{ENTERPRISE} {data}]".encode()


def _rank(row: Mapping[str, Any]) -> int:
    return SEVERITIES.index(row["severity"]) if row.get("severity") in SEVERITIES else 0


def _cef(message: Message) -> str:
    row = message.alert
    named = [product_version(), row.get("cause") or "keytrail", row.get("title") or "Alert"]
    head = "|".join(plain(value).translate(_CEF_HEADER) for value in named)
    pairs = {name: value for name, value in _cef_pairs(message, row).items() if value not in (None, "")}
    extension = " ".join(f"{name}={plain(value).translate(_CEF_VALUE)}" for name, value in pairs.items())
    return f"CEF:0|keytrail|keytrail|{head}|{_CEF_SEVERITIES[_rank(row)]}|{extension}"


def _cef_pairs(message: Message, row: Mapping[str, Any]) -> dict[str, Any]:
    strings = {"secret": "secret", "observed": "observed", "expected": "expected", "next step": "next_step"}
    pairs: dict[str, Any] = {
        "externalId": message.event_id,
        "rt": _ms(row.get("last_time")),
        "start": _ms(row.get("first_time")),
        "end": _ms(row.get("last_time")),
        "suser": row.get("principal"),
        **_cef_address(row.get("client_ip") or ""),
        "act": row.get("state"),
        "cnt": row.get("count") or 1,
        "cn1": message.revision,
        "cn1Label": "revision",
        "cn2": round(100 * (row.get("confidence") or 0.0)),
        "cn2Label": "confidence",
    }
    for number, (label, name) in enumerate(strings.items(), start=1):
        if row.get(name):
            pairs |= {f"cs{number}": row[name], f"cs{number}Label": label}
    techniques = ",".join(row.get("techniques") or ())
    if techniques:
        pairs |= {"cs5": techniques, "cs5Label": "techniques"}
    return pairs | {"cs6": message.alert_uid, "cs6Label": "uid", "msg": row.get("message")}


def _cef_address(text: str) -> dict[str, str]:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return {"shost": text}
    if address.version == 4:
        return {"src": text}
    return {"c6a2": str(address).partition("%")[0], "c6a2Label": "Source IPv6 Address"}


def _ms(moment: object) -> int | None:
    return round(moment.timestamp() * 1000) if isinstance(moment, datetime) else None
