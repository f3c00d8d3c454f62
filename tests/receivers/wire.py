"""Reading back what goes over the wire, as strictly as the format allows: the event ids in it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from tests.receivers.hec import parse as parse_concatenated
from tests.receivers.syslog import parse as parse_syslog
from tests.receivers.syslog import unframe

_ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a key twice")
    return dict(pairs)


def strict_json(data: bytes) -> Any:
    """One JSON value on one line of text that is safe to show."""
    text = data.decode()
    if "\n" in text or _ACTING.search(text):
        raise ValueError("acting characters")
    return json.loads(text, object_pairs_hook=_no_doubles)


def _ocsf(data: bytes) -> list[str]:
    return [strict_json(data)["metadata"]["uid"]]


def _lines(data: bytes) -> list[bytes]:
    *lines, last = data.split(b"\n")
    if last:
        raise ValueError("no line end")
    return lines


def _jsonl(data: bytes) -> list[str]:
    return [event_id for line in _lines(data) for event_id in _ocsf(line)]


def _hec(data: bytes) -> list[str]:
    strict_json(data)
    return [event["event"]["metadata"]["uid"] for event in parse_concatenated(data)]


def _bulk(data: bytes) -> list[str]:
    action, document = (strict_json(line) for line in _lines(data))
    if action["create"]["_id"] != document["metadata"]["uid"]:
        raise ValueError("id and document differ")
    return [action["create"]["_id"]]


def _alertmanager(data: bytes) -> list[str]:
    return [strict_json(data)["annotations"]["event_id"]]


def _syslog(data: bytes) -> list[str]:
    messages, left = unframe(data)
    if left:
        raise ValueError("half a frame")
    parsed = [parse_syslog(m) for m in messages]
    for p in parsed:
        if _ACTING.search(p.body.decode()):
            raise ValueError("acting characters")
        if p.body.startswith(b"CEF:"):
            fields = cef(p.body.decode())
            if fields["externalId"] != p.params["event"]:
                raise ValueError("id and body differ")
        elif strict_json(p.body)["metadata"]["uid"] != p.params["event"]:
            raise ValueError("id and body differ")
    return [p.params["event"] for p in parsed]


def _terminal(data: bytes) -> list[str]:
    lines = [line.decode() for line in _lines(data)]
    if any(_ACTING.search(line) for line in lines):
        raise ValueError("acting characters")
    return [line.rsplit("[", 1)[1].removesuffix("]") for line in lines]


def cef(text: str) -> dict[str, str]:
    """The extension of a CEF record, un-escaped. Raises ValueError when anything breaks the escaping rules."""
    header = re.match(r"CEF:0((?:\|(?:[^|\\\n\r]|\\[|\\])*){6})\|", text)
    if not header:
        raise ValueError("no CEF header")
    extension = text[header.end() :]
    if "\n" in extension or "\r" in extension:
        raise ValueError("a line end in the extension")
    pairs = re.findall(r"(?:^| )([A-Za-z0-9]+)=((?:[^=\\]|\\[=\\nr])*?)(?= [A-Za-z0-9]+=|$)", extension)
    if " ".join(f"{name}={value}" for name, value in pairs) != extension:
        raise ValueError("an extension that does not parse")
    marks = {"\\=": "=", "\\\\": "\\", "\\n": "\n", "\\r": "\r"}
    return {name: re.sub(r"\\[=\\nr]", lambda m: marks[m[0]], value) for name, value in pairs}


PARSERS: dict[str, Callable[[bytes], list[str]]] = {
    "alertmanager": _alertmanager,
    "elastic": _bulk,
    "kafka": _ocsf,
    "ocsf_jsonl": _jsonl,
    "splunk_hec": _hec,
    "syslog": _syslog,
    "terminal": _terminal,
    "webhook": _ocsf,
}
