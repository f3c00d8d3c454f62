"""What the line remembers of one stream, taken out of one process's memory and put into another's.

A partition of a topic moves between the workers of a group. What belongs to its entries moves along: events that wait
for their order, requests that wait for their answers, places that may still grow. Only what counts over all streams
(windows, profiles, alerts) stays where it was counted.

`Moved.offset` is where the stream stood: what is taken over must fit the position to read on from, or it is not used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.core.clock import NEVER

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Position
    from pipeline.core.ports import Stateful

Place = tuple[str, str]  # stream, partition

# Per part and frame of its snapshot, the column that names the stream; "~" where a longer name begins with it.
OF_A_STREAM: Final[Mapping[str, Mapping[str, str]]] = {
    "order": {"clocks": "stream", "waiting": "source", "held": "source"},
    "pairing": {"pool": "source", "nameless": "~place"},
    "continuity": {"open": "source", "alive": "source", "undated": "source"},
    "clocks": {"runs": "source", "entries": "source"},
    "canaries": dict.fromkeys(("devices", "recent", "holes", "spans", "growing", "changes", "waiting"), "source"),
    "counters": dict.fromkeys(("tallies", "marks", "below", "books"), "source"),
}
_PLACES: Final = pl.Schema({"stream": pl.String(), "partition": pl.String(), "offset": pl.Int64()})
_NEWEST: Final = "line\x1fnewest"
_SEPARATOR: Final = "\x1f"


@dataclass(frozen=True, slots=True)
class Moved:
    """One stream's share of the memory, by part and frame: `order\\x1fwaiting` and so on."""

    offset: int
    frames: Frames


def take_out(parts: Mapping[str, Stateful], stream: str, offset: int, newest: Mapping[str, int]) -> Moved:
    """Cut a stream out of the parts' memory."""
    moved = {_NEWEST: _newest(stream, newest.get(stream))}
    for name, columns in _held(parts):
        rest, mine = _split(parts[name].snapshot(), columns, stream)
        parts[name].restore(rest)
        moved |= {f"{name}{_SEPARATOR}{frame}": rows for frame, rows in mine.items()}
    return Moved(offset, moved)


def put_back(parts: Mapping[str, Stateful], moved: Moved) -> dict[str, int]:
    """Add a stream to the parts' memory; the last event time of it, by its name."""
    for name, _ in _held(parts):
        frames = dict(parts[name].snapshot())
        for key, rows in moved.frames.items():
            part, _, frame = key.partition(_SEPARATOR)
            if part == name and len(rows):
                frames[frame] = pl.concat([frames[frame], rows.select(frames[frame].columns)])
        parts[name].restore(frames)
    return dict(moved.frames[_NEWEST].iter_rows()) if _NEWEST in moved.frames else {}


def _held(parts: Mapping[str, Stateful]) -> list[tuple[str, Mapping[str, str]]]:
    """Of a process that only reads, the parts with memory are few."""
    return [(name, columns) for name, columns in OF_A_STREAM.items() if name in parts]


def find(states: Mapping[str, Frames], place: Place) -> Moved | None:
    """What another worker's commit holds of a stream: set aside when it gave it up, or in place when it died."""
    aside = unpacked(states.get("set_aside", {})).get(place)
    if aside is not None:
        return aside
    offset = offsets(states.get("line", {})).get(place)
    if offset is None:
        return None
    moved = {_NEWEST: states["line"]["newest"].filter(pl.col("stream") == place[0])}
    for name, columns in OF_A_STREAM.items():
        if name in states:
            _, mine = _split(states[name], columns, place[0])
            moved |= {f"{name}{_SEPARATOR}{frame}": rows for frame, rows in mine.items()}
    return Moved(offset, moved)


def known_until(states: Mapping[str, Frames]) -> int:
    """Up to which time (µs) that worker's operations may stand in the lake."""
    line = states.get("line", {})
    return int(line["last"]["time_us"][0]) if "last" in line else NEVER


def places(positions: Iterable[Position]) -> pl.DataFrame:
    """Where this process stands in its streams."""
    rows = [(p.stream, p.partition, p.offset) for p in positions]
    return pl.DataFrame(rows, schema=_PLACES, orient="row")


def offsets(line: Frames) -> dict[Place, int]:
    """The same, from a committed state."""
    frame = line.get("places")
    return {} if frame is None else {(stream, part): offset for stream, part, offset in frame.iter_rows()}


def packed(aside: Mapping[Place, Moved]) -> dict[str, pl.DataFrame]:
    """As frames of one part of a commit's states."""
    named = list(enumerate(sorted(aside)))
    index = pl.DataFrame([(*place, aside[place].offset) for _, place in named], schema=_PLACES, orient="row")
    frames: dict[str, pl.DataFrame] = {"index": index}
    for number, place in named:
        frames |= {f"{number}{_SEPARATOR}{key}": rows for key, rows in aside[place].frames.items() if len(rows)}
    return frames


def unpacked(frames: Frames) -> dict[Place, Moved]:
    """The opposite of `packed`."""
    if "index" not in frames:
        return {}
    found: dict[Place, Moved] = {}
    for number, (stream, part, offset) in enumerate(frames["index"].iter_rows()):
        start = f"{number}{_SEPARATOR}"
        mine = {key.removeprefix(start): rows for key, rows in frames.items() if key.startswith(start)}
        found[stream, part] = Moved(offset, mine)
    return found


def _split(frames: Frames, columns: Mapping[str, str], stream: str) -> tuple[dict[str, pl.DataFrame], Frames]:
    rest, mine = dict(frames), {}
    for name, column in columns.items():
        if name in frames:
            belongs = _belongs(column, stream)
            rest[name], mine[name] = frames[name].filter(~belongs), frames[name].filter(belongs)
    return rest, mine


def _belongs(column: str, stream: str) -> pl.Expr:
    if column.startswith("~"):
        return pl.col(column[1:]).str.starts_with(f"{stream}\x00")
    return pl.col(column) == stream


def _newest(stream: str, time_us: Any) -> pl.DataFrame:
    rows = [] if time_us is None else [(stream, time_us)]
    return pl.DataFrame(rows, schema={"stream": pl.String, "time_us": pl.Int64}, orient="row")
