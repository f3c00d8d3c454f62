"""Which files are the rotated siblings of one log, and in which order they were written.

Conventions known: logrotate's `main.log.1`, `main.log.2.gz`, `main.log-20260101.gz` (dateext), and the dated names of
lumberjack and others, `main-2026-01-01.log`, `audit-2026-01-01T10-00-00.000.log.gz`. What clouds export
by the hour into folders of dates is one log, too: its name is the part without them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

PACKED: Final = re.compile(r"\.(?:gz|zst)$")
_NUMBER: Final = re.compile(r"(?P<base>.*[^/])\.(?P<number>\d{1,3})$")
_DAY: Final = r"(?:19|20)\d\d-?(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01])"
_TIME: Final = r"(?:[-T_.]?\d\d(?:[-:]?\d\d(?:[-:]?\d\d(?:\.\d{1,9})?)?)?Z?)?"
_DATED: Final = re.compile(rf"(?P<stem>.*[^/])[-._](?P<date>{_DAY}{_TIME})(?P<suffix>\.[A-Za-z]\w*)?$")

# CloudTrail's delivery to S3, Cloud Logging's sinks to Cloud Storage, Azure's diagnostic settings to a storage account;
# as their documentation gives the names of objects.
_EXPORTS: Final = (
    re.compile(
        r"(?P<folder>(?:.+?/)??)(?:\d{4}/\d\d/\d\d/)?(?P<name>\d{12}_CloudTrail_[a-z0-9-]+)_(?P<date>\d{8}T\d{4}Z)_\w+\.json$"
    ),
    re.compile(
        r"(?P<folder>(?:.*/)?)(?P<date>\d{4}/\d\d/\d\d/\d\d:\d\d:\d\d)_\d\d:\d\d:\d\d_(?P<name>S\d+)(?:_A\d+)?\.json$"
    ),
    re.compile(
        r"(?P<folder>(?:.*/)?)(?P<date>y=\d{4}/m=\d\d/d=\d\d/h=\d\d/m=\d\d)/(?P<name>(?:macAddress=\w+/)?PT1H)\.json$"
    ),
)
_LIVE: Final = (9, "", 0)
Age = tuple[int, str, int]


@dataclass(frozen=True, slots=True)
class Named:
    """A file's name read as a sibling's: `live` is the log it was rotated from, the lesser `age` the older one."""

    path: str
    live: str
    age: Age
    certain: bool  # the name says so by itself, whatever other files there are


def read_name(path: str) -> Named:
    """What the name alone tells."""
    plain = PACKED.sub("", path)
    for pattern in _EXPORTS:
        if match := pattern.match(plain):
            live = f"{match['folder']}{match['name']}.json"
            return Named(path, live, (0, re.sub(r"\D", "", match["date"]), 0), certain=True)
    if (match := _NUMBER.match(plain)) and not _ends_in_number(match["base"]):
        return Named(path, match["base"], (1, "", -int(match["number"])), certain=True)
    if match := _DATED.match(plain):
        date = re.sub(r"\D", "", match["date"])
        return Named(path, match["stem"] + (match["suffix"] or ""), (0, date, 0), certain=False)
    if plain != path:
        return Named(path, plain, (2, "", 0), certain=False)
    return Named(path, path, _LIVE, certain=True)


def _ends_in_number(base: str) -> bool:
    """`host-10.0.0.5` is an address, not the fifth rotation of `host-10.0.0`."""
    return base.rpartition(".")[2].isdigit() and "." in base


def group(paths: Iterable[str], streams: Collection[str] = ()) -> dict[str, list[str]]:
    """Stream name -> its files, oldest first. Streams already known keep their files whatever else turns up.

    A dated or merely compressed file joins a stream when the live file is there, when the stream is known, or (dated)
    when it has company.
    """
    names = [read_name(path) for path in paths]
    present = {name.path for name in names} | set(streams)
    dated = Counter(name.live for name in names if name.age[0] == 0 and name.path not in streams)
    grouped: dict[str, list[Named]] = {}
    for name in names:
        joins = name.certain or name.live in present or dated[name.live] > 1
        stream = name.live if joins and name.path not in streams else name.path
        grouped.setdefault(stream, []).append(name)
    return {stream: [n.path for n in sorted(members, key=_order)] for stream, members in sorted(grouped.items())}


def _order(name: Named) -> tuple[Age, bool, str]:
    return name.age, not PACKED.search(name.path), name.path
