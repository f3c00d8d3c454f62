"""What a line says of a leak in it: when it was written, and which secret it tells of."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from pipeline.scan import noise

_JSON_TIME: Final = re.compile(
    rb"(?i)\"(?:time|timestamp|@timestamp|ts|date|datetime|eventtime|asctime|time_local|requestreceivedtimestamp)\"\s?:\s?"
    rb"(?:\"(?P<text>[^\"\\]{10,40})\"|(?P<number>1\d{9}(?:\.\d{1,9})?|1\d{12})(?![\d.]))"
)
_ISO: Final = re.compile(
    rb"(?<!\d)(?P<day>[12]\d{3}[-/][01]\d[-/][0-3]\d)[T _]{1,2}(?P<clock>[0-2]\d:[0-5]\d:[0-5]\d)"
    rb"(?:[.,](?P<part>\d{1,9}))?\s?(?P<zone>Z|UTC|[+-]\d\d:?\d\d(?!\d))?"
)
_COMMON: Final = re.compile(  # of web servers
    rb"\[?(?P<day>[0-3]\d/[A-Z][a-z]{2}/[12]\d{3}):(?P<clock>[0-2]\d:[0-5]\d:[0-5]\d)(?: (?P<zone>[+-]\d{4}))?"
)
_ANY: Final = re.compile(rb":[0-5]\d:[0-5]\d|:\s?1\d{9}")  # without which nothing tells a time
_HEAD: Final = 200  # bytes of a line in which its time stands, if not under a name
_LINES: Final = 64  # before it that are asked where a line has no time

_PATHS: Final = re.compile(
    rb"(?i)(?:^|[^A-Za-z0-9])(?P<name>secret[_-]?(?:path|name)|secret|path)\\{0,3}[\"']?\s?[:=]\s?\\{0,3}[\"']?"
    rb"(?P<v>[A-Za-z0-9][\w./@+:-]{2,200})(?![\w(])"
)
_API_WORD: Final = re.compile(r"/(?:data|metadata|delete|undelete|destroy|subkeys|creds|static-creds|issue)/")
_CLOUD: Final = re.compile(r"projects/[^/]+/secrets/[^/]+|arn:aws[\w-]*:secretsmanager:[\w-]*:\d*:secret:[\w./@+-]+")
_VAULT: Final = re.compile(r"[\w.-]+(?:/[\w.@+-]+){1,16}")
_NO_SECRET: Final = re.compile(
    r"(?:sys|auth|api|v\d|usr|var|etc|home|opt|tmp|app|src|com|org|net)/|.*\.[a-z]{1,5}$|.*//"
)


def time_at(data: bytes, low: int, start: int, end: int) -> dt.datetime | None:
    """When the line `data[start:end]` was written, else the nearest line before it, back to `low`, that tells; in UTC,
    which is also what a time without a zone is taken for.
    """
    if not _ANY.search(data, low, end):
        return None
    for _ in range(_LINES):
        if found := _time(data[start:end]):
            return found
        if start <= low:
            return None
        end = start - 1
        start = max(data.rfind(b"\n", low, end) + 1, low)
    return None


def _time(line: bytes) -> dt.datetime | None:
    named = _JSON_TIME.search(line)
    if named and named["number"]:
        number = float(named["number"])
        return _moment(number / 1000 if number > 1e11 else number)
    for text in (named["text"] if named else b"", line[:_HEAD]):
        for form in (_ISO, _COMMON):
            if (found := form.search(text)) and (moment := _parsed(found)):
                return moment
    return None


def _moment(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(round(seconds, 6), dt.UTC)


def _parsed(found: re.Match[bytes]) -> dt.datetime | None:
    parts = {key: (value or b"").decode() for key, value in found.groupdict().items()}
    zone = parts["zone"].replace("UTC", "Z").replace("Z", "+0000").replace(":", "") or "+0000"
    day = parts["day"].replace("-", "/")
    form = "%d/%b/%Y" if day[2] == "/" else "%Y/%m/%d"
    try:
        moment = dt.datetime.strptime(f"{day} {parts['clock']} {zone}", f"{form} %H:%M:%S %z")
        return moment.astimezone(dt.UTC) + dt.timedelta(microseconds=int(f"{parts.get('part', '') or '0':0<6}"[:6]))
    except (ValueError, OverflowError):
        return None


def secret_in(line: bytes) -> str | None:
    """The secret that a line names under `path`, `secret_path` or the like, as the views name it: `kv/app/db`."""
    for found in _PATHS.finditer(line):
        name = found["v"].decode("ascii", "replace").removeprefix("v1/")
        sure = found["name"].lower() != b"path"
        if cloud := _CLOUD.match(name):
            return cloud[0]
        told = sure or _API_WORD.search(name) or _mount(line)
        if told and _VAULT.fullmatch(name) and not _NO_SECRET.match(name) and not _credential(name):
            return _API_WORD.sub("/", name, count=1)
    return None


def _mount(line: bytes) -> bool:
    """Whether the line is that of a secret store: a bare path may be of anything."""
    return b"mount" in line or b"vault" in line.lower() or b"openbao" in line.lower()


def _credential(name: str) -> bool:
    """Whether a part of a path may be one itself: such a path is not told."""
    return any(noise.key(part.encode()) for part in name.split("/"))
