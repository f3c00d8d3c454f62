"""The canaries' memory as frames, each row with the stream it belongs to, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.core.schema import EVENT, INTEGRITY
from pipeline.integrity.sequence import Change, Device, Hole, Span, Spot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.core.model import Frames
    from pipeline.integrity.places import Row

# What is read of an entry: of canary requests, and of the lines that devices start with.
ENTRY: Final = pl.Schema(
    {
        name: EVENT[name]
        for name in (
            "source", "uid", "position", "time", "order_time", "file", "correlation_uid", "token_hash", "session",
            "canary", "probe",
        )
    }
)  # fmt: skip
_SPOT: Final = pl.Struct({"position": pl.Int64(), "time": pl.Int64(), "order": pl.Int64(), "file": pl.String()})
_PAIRS: Final = pl.List(pl.List(pl.Int64()))
_NAMED: Final = {"source": pl.String()}
_DEVICES: Final = pl.Schema(
    {**_NAMED, "first": pl.Int64(), "high": pl.Int64(), "spot": _SPOT, "restarted": pl.Boolean()}
)
_RECENT: Final = pl.Schema({**_NAMED, "number": pl.Int64(), "request": pl.String(), "token": pl.String()})
_HOLES: Final = pl.Schema(
    {
        **_NAMED, "first": pl.Int64(), "last": pl.Int64(), "before": _SPOT, "after": _SPOT, "missing": _PAIRS,
        "restarted": pl.Boolean(), "told": pl.Boolean(), "late": pl.Int64(), "latest": _SPOT,
    }
)  # fmt: skip
_SPANS: Final = pl.Schema({**_NAMED, "start": pl.Int64(), "end": pl.Int64(), "first": pl.Int64(), "last": pl.Int64()})
_GROWING: Final = pl.Schema({"stream": pl.String(), **INTEGRITY})
_CHANGES: Final = pl.Schema(
    {**_NAMED, "numbers": pl.List(pl.Int64()), "before": _SPOT, "after": _SPOT, "session": pl.String()}
)


def packed(
    devices: Mapping[str, Device], growing: Mapping[tuple[str, str], Row], changes: list[Change]
) -> dict[str, pl.DataFrame]:
    """Everything remembered: devices, recent, holes, spans, growing, changes."""
    held = [devices[name] for name in sorted(devices)]
    recent = [(d.source, number, *told) for d in held for number, told in d.recent.items()]
    holes = [
        {"source": d.source, "first": h.first, "last": h.last, "before": h.before._asdict(),
         "after": h.after._asdict(), "missing": [list(part) for part in h.missing], "restarted": h.restarted,
         "told": h.told, "late": h.late, "latest": h.latest and h.latest._asdict()}
        for d in held for h in d.holes
    ]  # fmt: skip
    return {
        "devices": pl.DataFrame(
            [(d.source, d.first, d.high, d.spot._asdict(), d.restarted) for d in held], schema=_DEVICES, orient="row"
        ),
        "recent": pl.DataFrame(recent, schema=_RECENT, orient="row"),
        "holes": pl.DataFrame(holes, schema=_HOLES),
        "spans": pl.DataFrame(
            [(d.source, s.start, s.end, s.first, s.last) for d in held for s in d.spans], schema=_SPANS, orient="row"
        ),
        "growing": pl.DataFrame([{"stream": name, **row} for (name, _), row in growing.items()], schema=_GROWING),
        "changes": pl.DataFrame(
            [
                {"source": c.source, "numbers": list(c.numbers), "before": c.before._asdict(),
                 "after": c.after._asdict(), "session": c.session}
                for c in changes
            ],
            schema=_CHANGES,
        ),
    }  # fmt: skip


def unpacked(frames: Frames) -> tuple[dict[str, Device], dict[tuple[str, str], Row], list[Change]]:
    """The opposite of `packed`."""
    devices = {
        row["source"]: Device(row["source"], row["first"], row["high"], _spot(row["spot"]), restarted=row["restarted"])
        for row in frames["devices"].to_dicts()
    }
    for source, number, request, token in frames["recent"].iter_rows():
        devices[source].recent[number] = (request, token)
    for row in frames["holes"].to_dicts():
        devices[row["source"]].holes.append(_hole(row))
    for source, *span in frames["spans"].iter_rows():
        devices[source].spans.append(Span(*span))
    growing = {(row.pop("stream"), row["cause"]): row for row in frames["growing"].to_dicts()}
    changes = [
        Change(row["source"], (row["numbers"][0], row["numbers"][1]), _spot(row["before"]), _spot(row["after"]),
               row["session"])
        for row in frames["changes"].to_dicts()
    ]  # fmt: skip
    return devices, growing, changes


def _spot(parts: dict[str, Any]) -> Spot:
    return Spot(**parts)


def _hole(row: dict[str, Any]) -> Hole:
    missing = [(low, high) for low, high in row["missing"]]
    latest = None if row["latest"] is None or row["latest"]["position"] is None else _spot(row["latest"])
    return Hole(
        row["first"], row["last"], _spot(row["before"]), _spot(row["after"]), missing, row["restarted"], row["told"],
        row["late"], latest,
    )  # fmt: skip
