"""Several audit devices of one store compared (V1, V3, V4 of README.md): their union is the truth.

A request succeeds when any device wrote it, so a device that lacks an entry which another has lost it: a `gap` on that
device, within its own lives only. Devices are known as siblings by the requests they share. Which halves each device
holds is a bit mask per (operation, phase); everything else follows from the order of those masks.

Operations are handed on as they become whole, which is not the order of their entries. So the items wait here until
nothing can still come before them, and are walked in canonical order: the holes are the same whatever the cuts. What a
device tells after its operation was handed on fills the hole it was missed in, and takes back what was said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from pipeline.core.clock import NEVER
from pipeline.core.findings import uid_of
from pipeline.core.owned import few_pieces, owned
from pipeline.core.schema import INTEGRITY, empty
from pipeline.integrity import holes
from pipeline.integrity.holes import STARTED, SWITCHED, Device, Hole
from pipeline.integrity.places import moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.core.model import Frames, Ints
    from pipeline.integrity.pairing import Paired

MAX_DEVICES: Final = 61
TELL_AFTER_US: Final = 60_000_000  # a hole this old is told before it closes

_STANDS: Final = ("order_time", "operation_uid", "phase", "position", "file", "complete_time")
_PLACE = pl.Struct({"bit": pl.Int64(), "position": pl.Int64(), "file": pl.String()})
# One (operation, phase), or the line a device starts with. Times in µs; `ready` is when its operation was handed on.
_ITEM: Final = pl.Schema(
    {
        "operation_uid": pl.String(), "phase": pl.String(), "mask": pl.Int64(), "time": pl.Int64(),
        "order": pl.Int64(), "ready": pl.Int64(), "path": pl.String(), "api": pl.String(), "where": pl.List(_PLACE),
        "kind": pl.Int8(),
    }
)  # fmt: skip
# A device's first line; entries of a new operation; copies of one handed on before; both of a request that a standby
# carried on, which makes nobody siblings.
PROBE, TOLD, LATE, CARRIED, CARRIED_LATE = range(5)


class Devices:
    """Watches which device holds which entry, in canonical order. `filtered` devices are not held to anything."""

    def __init__(self, filtered: Sequence[str] = ()) -> None:
        self.filtered = frozenset(filtered)
        self._devices: list[Device] = []
        self._number: dict[str, int] = {}
        self._group: list[int] = []  # per device: mask of its siblings, itself among them
        self._waiting = empty(_ITEM)
        self._reached_us = NEVER  # when the newest of what was walked had become known

    def push(self, paired: Paired, probes: pl.DataFrame) -> pl.DataFrame:
        """INTEGRITY rows for holes that closed, grew old or were filled. `probes` are the lines devices start with."""
        for source in paired.entries["source"].unique().sort():
            self._known(source)
        if len(self._devices) < 2:
            return self._single(paired)
        fresh = [self._items(paired), self._starts(probes)]
        items = pl.concat([self._waiting, *fresh]).sort("order", "kind", "operation_uid", "phase", maintain_order=True)
        due = items["order"] < paired.settled_us
        self._waiting = owned(items.filter(~due))
        rows = [row for part in self._sequences(items.filter(due)) for row in self._compare(part)]
        return pl.DataFrame(rows, schema=INTEGRITY) if rows else empty(INTEGRITY)

    def turn(self, to_us: int) -> None:
        """The clock was set back to `to_us`: what waits comes before all that follows."""
        self._waiting = self._waiting.with_columns(order=pl.min_horizontal("order", pl.lit(to_us)))

    def finish(self) -> pl.DataFrame:
        """The streams have ended: a device that lacks what its siblings still had ends early."""
        rows = []
        for device in self._devices:
            if device.alive and device.hole is not None and not device.hole.off:
                device.hole.told = True
                rows.append(self._row(device, device.hole, "truncated", "ends_early", self._reached_us))
        return pl.DataFrame(rows, schema=INTEGRITY) if rows else empty(INTEGRITY)

    def _known(self, source: str) -> int:
        if source not in self._number and len(self._devices) < MAX_DEVICES:
            self._number[source] = len(self._devices)
            self._group.append(1 << len(self._devices))
            self._devices.append(Device(source))
        return self._number.get(source, -1)

    def _single(self, paired: Paired) -> pl.DataFrame:
        """One device has nobody to differ from: it is enough to know where it stands."""
        order = pl.col("order_time").to_physical()
        told = paired.entries.lazy().select(_STANDS).filter(order < paired.settled_us).collect()
        if len(told):
            device = self._devices[0]
            last = told.filter(order == order.max()).sort("operation_uid", "phase", maintain_order=True)
            device.alive, device.position, device.file = True, *last.select("position", "file").row(-1)
            self._reached_us = max(self._reached_us, int(told["complete_time"].to_physical().to_numpy().max()))
        if len(self._waiting) or len(told) < len(paired.entries):
            items = pl.concat([self._waiting, self._items(paired)])
            self._waiting = few_pieces(items.filter(items["order"] >= paired.settled_us))
        return empty(INTEGRITY)

    def _items(self, paired: Paired) -> pl.DataFrame:
        """_ITEM rows of what became known: mask of the devices that hold it, its times, where it stands."""
        entries = _marked(comparable(paired.entries))
        late = pl.lit(value=False)
        if len(paired.corrections):
            entries = entries.join(paired.repeats.select("uid"), on="uid", how="anti", maintain_order="left")
            late = pl.col("copy")
        bit = pl.col("source").replace_strict(self._number, default=None, return_dtype=pl.Int64)
        placed = entries.with_columns(bit=bit, late=late).filter(pl.col("bit").is_not_null())
        once = placed.unique(["operation_uid", "phase", "bit", "late"], keep="first", maintain_order=True)
        carried = pl.when("late").then(CARRIED_LATE).otherwise(CARRIED)
        items = (
            once.group_by("operation_uid", "phase", "late", "carried", "marked", maintain_order=True)
            .agg(
                mask=pl.lit(2, pl.Int64).pow(pl.col("bit")).cast(pl.Int64).sum(),
                time=pl.col("time").min().to_physical(),
                order=pl.col("order_time").min().to_physical(),
                ready=pl.col("complete_time").first().to_physical(),
                path=pl.col("path").first(),
                api=pl.col("api_operation").first(),
                where=pl.struct("bit", "position", "file"),
            )
            .with_columns(kind=pl.when("carried").then(carried).when("late").then(LATE).otherwise(TOLD).cast(pl.Int8))
        )
        return items.select(_ITEM.names()).cast(_ITEM)

    def _starts(self, probes: pl.DataFrame) -> pl.DataFrame:
        """_ITEM rows of the lines with which devices start."""
        if probes.is_empty():
            return empty(_ITEM)
        for source in probes["source"].unique().sort():
            self._known(source)
        rows = [
            {
                "operation_uid": uid, "phase": "request", "mask": 1 << self._number[source], "time": time,
                "order": order, "ready": order, "path": "", "api": "", "where": [], "kind": PROBE,
            }
            for uid, source, time, order in probes.select(
                "uid", "source", pl.col("time").to_physical(), pl.col("order_time").to_physical()
            ).iter_rows()
            if source in self._number
        ]  # fmt: skip
        return pl.DataFrame(rows, schema=_ITEM)

    def _sequences(self, items: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """The items in stretches within which the siblings are the same."""
        while len(items):
            masks = items["mask"].to_numpy()
            kinds = {mask: self._joins(mask) for mask in np.unique(masks).tolist()}
            joining = np.isin(masks, [mask for mask, joins in kinds.items() if joins])
            new = np.flatnonzero(joining & (items["kind"].to_numpy() < CARRIED))
            end = int(new[0]) if len(new) else len(items)
            if end:
                yield items[:end]
            if end < len(items):
                self._learn(int(masks[end]))
                yield items[end : end + 1]
            items = items[end + 1 :]

    def _joins(self, mask: int) -> bool:
        return any(mask & ~self._group[device] for device in _bits(mask))

    def _learn(self, mask: int) -> None:
        """Devices that share a request are siblings."""
        union = mask
        for device in _bits(mask):
            union |= self._group[device]
        for device in _bits(union):
            self._group[device] |= union

    def _compare(self, items: pl.DataFrame) -> list[dict[str, Any]]:
        """Every device through the same stretch."""
        known = np.maximum.accumulate(np.append(self._reached_us, items["ready"].to_numpy()))[1:]
        self._reached_us = int(known[-1])
        names = sorted(self._number.keys() - self.filtered)
        return [row for name in names for row in self._walk(self._number[name], items, known)]

    def _walk(self, number: int, items: pl.DataFrame, known: Ints) -> Iterator[dict[str, Any]]:
        """One device: only where something is missing is anything looked at closely."""
        device, bit, siblings = self._devices[number], 1 << number, self._group[number]
        masks, kinds = items["mask"].to_numpy(), items["kind"].to_numpy()
        told, own = np.isin(kinds, (TOLD, CARRIED)), (masks & bit) != 0
        present, expected = told & own, told & ((masks & siblings & ~bit) != 0)
        if device.hole is None and not (~told & own).any():
            begins = 0 if device.alive else int(present.argmax())
            if present[begins:][expected[begins:]].all():  # of what comes before its first entry nothing is expected
                if present.any():
                    device.alive = True
                    device.position, device.file = _place(number, items, int(np.flatnonzero(present)[-1]))
                return
        columns = (items[name].to_list() for name in ("time", "path", "api", "phase"))
        times, paths, apis, phases = columns
        starts = (kinds == PROBE) & ((masks & siblings) != 0)
        for i in np.flatnonzero(present | expected | (~told & own) | starts).tolist():
            now = int(known[i])
            if kinds[i] == PROBE:
                device.mark(STARTED if own[i] else SWITCHED)
            elif kinds[i] in (LATE, CARRIED_LATE):
                yield from self._fill(device, times[i], now)
            else:
                if (hole := device.ripe(times[i], TELL_AFTER_US)) is not None:
                    yield self._row(device, hole, "gap", "device_loss", now)
                if present[i]:
                    place = _place(number, items, i)
                    if device.alive and (closed := device.close(*place)) is not None:
                        yield self._row(device, closed, "gap", "device_loss", now)
                    device.alive, device.hole = True, None
                    device.position, device.file = place
                elif device.alive:
                    hole = device.miss(times[i], int(masks[i]) & siblings)
                    hole.others |= SWITCHED * (_is_audit(paths[i]) and apis[i] in ("create", "update", "delete"))
                    if phases[i] == "response" and apis[i] == "delete" and _is_audit(paths[i]) and hole.lost == 1:
                        device.alive, device.hole = False, None  # V4: the disabled device lacks its own last answer

    def _fill(self, device: Device, time: int, known: int) -> Iterator[dict[str, Any]]:
        """An entry has come after all: what was said of its hole is said anew."""
        hole = device.fill(time)
        if hole is not None and hole.told:
            verdict = "gap" if hole.lost else "late"
            yield self._row(device, hole, verdict, "device_loss", known)

    def _row(self, device: Device, hole: Hole, verdict: str, cause: str, known: int) -> dict[str, Any]:
        witnesses = ", ".join(sorted(self._devices[i].source for i in _bits(hole.others & (STARTED - 1))))
        count = hole.lost or hole.came
        said = (
            f"{count} entries that {witnesses} has" if hole.lost else f"{count} entries came later than {witnesses}'s"
        )
        return {
            "source": device.source, "verdict": verdict, "from_position": hole.from_position,
            "to_position": hole.to_position, "from_time": moment(hole.from_us), "to_time": moment(hole.to_us),
            "count": count, "evidence": said, "file": hole.file, "cause": cause,
            "uid": uid_of("integrity", device.source, "device_loss", str(hole.first_us)), "known": moment(known),
        }  # fmt: skip

    def snapshot(self) -> Frames:
        """The devices, their siblings, their holes, and the items that wait."""
        return {
            **holes.packed(self._devices, self._group),
            "waiting": self._waiting,
            "reached": pl.DataFrame({"time_us": [self._reached_us]}, schema={"time_us": pl.Int64}),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._devices, self._group = holes.unpacked(frames)
        self._number = {device.source: i for i, device in enumerate(self._devices)}
        self._waiting = frames["waiting"]
        self._reached_us = int(frames["reached"]["time_us"][0])


def _place(number: int, items: pl.DataFrame, row: int) -> tuple[int, str]:
    return next((w["position"], w["file"]) for w in items["where"][row].to_list() if w["bit"] == number)


def comparable(entries: pl.DataFrame) -> pl.DataFrame:
    """ENTRY rows without those that have no id by design: the help of a path (V7), what other stores tell.

    Which of them is which on another device cannot be told.
    """
    if not entries["correlation_uid"].null_count():
        return entries
    halves = (
        (pl.col("store") == "vault") & pl.col("path").is_not_null() & pl.col("phase").is_in(["request", "response"])
    )
    asked = pl.col("api_operation").is_not_null() & (pl.col("api_operation") != "help")
    return entries.filter(pl.col("correlation_uid").is_not_null() | (halves & asked))


def _marked(entries: pl.DataFrame) -> pl.DataFrame:
    """ENTRY rows with `carried`, whether a standby carried the request on, and `marked`, whether this device says so.

    The two nodes write of it with one id, one of them marked (V8): the devices of either are held to each other.
    """
    if not entries["forwarded"].any():
        return entries.with_columns(carried=pl.lit(value=False), marked=pl.lit(value=False))
    said = pl.col("forwarded").fill_null(value=False).any()
    return entries.with_columns(carried=said.over("operation_uid"), marked=said.over("operation_uid", "source"))


def _bits(mask: int) -> list[int]:
    return [i for i in range(mask.bit_length()) if mask >> i & 1]


def _is_audit(path: str | None) -> bool:
    return path is not None and path.startswith("sys/audit/") and "/" not in path[10:].rstrip("/")
