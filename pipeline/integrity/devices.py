"""Several audit devices of one store compared (INTEGRITY §2.2 V1, V3, V4): their union is the truth.

A request succeeds when any device wrote it, so a device that lacks an entry which another has lost it: a `gap` on that
device, within its own lives only. Devices are known as siblings by the requests they share. Which halves each device
holds is a bit mask per (operation, phase); everything else follows from the order of those masks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from pipeline.core.findings import uid_of
from pipeline.core.schema import INTEGRITY, TIME, empty

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.model import Frames
    from pipeline.integrity.pairing import Paired

MAX_DEVICES: Final = 62
TELL_AFTER_US: Final = 60_000_000  # a hole this old is told before it closes


@dataclass(slots=True)
class _Device:
    """One device: whether it lives, its last entry, and the hole that is open."""

    source: str
    alive: bool = False
    position: int = 0
    file: str = ""
    lost: int = 0
    from_us: int = 0
    to_us: int = 0
    from_position: int = 0
    others: int = 0
    told: bool = False


class Devices:
    """Watches which device holds which entry, in canonical order. `filtered` devices are not held to anything."""

    def __init__(self, filtered: Sequence[str] = ()) -> None:
        self.filtered = frozenset(filtered)
        self._devices: list[_Device] = []
        self._number: dict[str, int] = {}
        self._group: list[int] = []  # per device: mask of its siblings, itself among them

    def push(self, paired: Paired, probes: pl.DataFrame) -> pl.DataFrame:
        """INTEGRITY rows for the holes that closed or grew old. `probes` are the lines devices start with."""
        for source in paired.entries["source"].unique().sort():
            self._known(source)
        rows: list[dict[str, Any]] = []
        if len(self._devices) < 2 or paired.entries.is_empty():
            self._single(paired.entries)
            return empty(INTEGRITY)
        entries = paired.entries
        if len(paired.corrections):
            entries = entries.join(paired.operations.select(operation_uid="uid"), on="operation_uid", how="semi")
        items = self._items(entries)
        starts = self._starts(probes)
        for device in range(len(self._devices)):
            if self._devices[device].source not in self.filtered:
                rows += self._walk(device, items, starts.get(device, []))
        return pl.DataFrame(rows, schema=INTEGRITY) if rows else empty(INTEGRITY)

    def finish(self) -> pl.DataFrame:
        """The streams have ended: a device that lacks what its siblings still had ends early."""
        rows = [self._row(d, "truncated", "ends_early", known=d.to_us) for d in self._devices if d.lost and d.alive]
        return pl.DataFrame(rows, schema=INTEGRITY) if rows else empty(INTEGRITY)

    def _known(self, source: str) -> int:
        if source not in self._number and len(self._devices) < MAX_DEVICES:
            self._number[source] = len(self._devices)
            self._group.append(1 << len(self._devices))
            self._devices.append(_Device(source))
        return self._number.get(source, -1)

    def _single(self, entries: pl.DataFrame) -> None:
        if len(entries) and self._devices:
            last = entries.select("position", "file").row(-1)
            device = self._devices[0]
            device.alive, device.position, device.file = True, last[0], last[1]

    def _items(self, entries: pl.DataFrame) -> pl.DataFrame:
        """One row per (operation, phase) in canonical order: mask of the devices that hold it, time, path, api."""
        bit = pl.col("source").replace_strict(self._number, default=None, return_dtype=pl.Int64)
        placed = entries.with_columns(bit=bit).filter(pl.col("bit").is_not_null())
        once = placed.unique(["operation_uid", "phase", "bit"], keep="first", maintain_order=True)
        items = once.group_by("operation_uid", "phase", maintain_order=True).agg(
            mask=pl.lit(2, pl.Int64).pow(pl.col("bit")).cast(pl.Int64).sum(),
            time=pl.col("time").min().to_physical(),
            order=pl.col("order_time").min().to_physical(),
            path=pl.col("path").first(),
            api=pl.col("api_operation").first(),
            where=pl.struct("bit", "position", "file"),
        )
        self._learn(items["mask"].to_numpy())
        return items.sort("order", "operation_uid", "phase", maintain_order=True)

    def _learn(self, masks: np.ndarray[Any, Any]) -> None:
        """Devices that share a request are siblings."""
        for mask in np.unique(masks).tolist():
            if mask & (mask - 1):
                union = mask
                for device in _bits(mask):
                    union |= self._group[device]
                for device in _bits(union):
                    self._group[device] |= union

    def _starts(self, probes: pl.DataFrame) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for source, time in probes.select("source", pl.col("time").to_physical()).iter_rows():
            if source in self._number:
                found.setdefault(self._number[source], []).append(time)
        return found

    def _walk(self, number: int, items: pl.DataFrame, starts: list[int]) -> list[dict[str, Any]]:
        """One device through the items: only where something is missing is anything looked at closely."""
        device, bit, siblings = self._devices[number], 1 << number, self._group[number]
        masks = items["mask"].to_numpy()
        present = (masks & bit) != 0
        expected = (masks & siblings & ~bit) != 0
        if device.alive and not device.lost and not starts and present[expected].all():
            self._stand(device, number, items, int(np.flatnonzero(present)[-1])) if present.any() else None
            return []
        rows: list[dict[str, Any]] = []
        times, orders, paths, apis, phases = (items[c].to_list() for c in ("time", "order", "path", "api", "phase"))
        pending = sorted(starts)
        for i in np.flatnonzero(present | expected).tolist():
            while pending and pending[0] <= times[i]:
                pending.pop(0)
                device.alive, device.lost = False, 0
            if device.alive and device.lost and not device.told and times[i] > device.from_us + TELL_AFTER_US:
                device.told = True
                rows.append(self._row(device, "gap", "device_loss", known=orders[i]))
            if present[i]:
                where = self._place(number, items, i)
                if device.alive and device.lost:
                    rows.append(self._row(device, "gap", "device_loss", where, known=orders[i]))
                device.alive, device.lost = True, 0
                device.position, device.file = where
            elif device.alive:
                self._miss(device, times[i], int(masks[i]) & siblings)
                if phases[i] == "response" and apis[i] == "delete" and _is_audit(paths[i]) and device.lost == 1:
                    device.alive, device.lost = False, 0  # V4: the disabled device lacks its own last answer
        return rows

    def _miss(self, device: _Device, time: int, others: int) -> None:
        if not device.lost:
            device.told = False
            device.from_us, device.from_position, device.others = time, device.position, 0
            device.to_us = time
        device.lost += 1
        device.from_us, device.to_us = min(device.from_us, time), max(device.to_us, time)
        device.others |= others

    def _stand(self, device: _Device, number: int, items: pl.DataFrame, row: int) -> None:
        device.position, device.file = self._place(number, items, row)

    def _place(self, number: int, items: pl.DataFrame, row: int) -> tuple[int, str]:
        return next((w["position"], w["file"]) for w in items["where"][row].to_list() if w["bit"] == number)

    def _row(
        self, d: _Device, verdict: str, cause: str, end: tuple[int, str] | None = None, *, known: int
    ) -> dict[str, Any]:
        witnesses = ", ".join(self._devices[i].source for i in _bits(d.others))
        moment = pl.Series([d.from_us, d.to_us, known], dtype=pl.Int64).cast(TIME).to_list()
        return {
            "source": d.source, "verdict": verdict, "from_position": d.from_position,
            "to_position": d.from_position if end is None else end[0], "from_time": moment[0], "to_time": moment[1],
            "count": d.lost, "evidence": f"{d.lost} entries that {witnesses} has", "file": d.file, "cause": cause,
            "uid": uid_of("integrity", d.source, "device_loss", str(d.from_us)), "known": moment[2],
        }  # fmt: skip

    def snapshot(self) -> Frames:
        """The devices, their siblings and open holes."""
        rows = [{**asdict(d), "siblings": g} for d, g in zip(self._devices, self._group, strict=True)]
        return {"devices": pl.DataFrame(rows, schema=_STATE) if rows else empty(_STATE)}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        rows = frames["devices"].to_dicts()
        self._group = [row.pop("siblings") for row in rows]
        self._devices = [_Device(**row) for row in rows]
        self._number = {d.source: i for i, d in enumerate(self._devices)}


_STATE: Final = pl.Schema(
    {
        "source": pl.String(), "alive": pl.Boolean(), "position": pl.Int64(), "file": pl.String(), "lost": pl.Int64(),
        "from_us": pl.Int64(), "to_us": pl.Int64(), "from_position": pl.Int64(), "others": pl.Int64(),
        "told": pl.Boolean(), "siblings": pl.Int64(),
    }
)  # fmt: skip


def _bits(mask: int) -> list[int]:
    return [i for i in range(mask.bit_length()) if mask >> i & 1]


def _is_audit(path: str | None) -> bool:
    return path is not None and path.startswith("sys/audit/") and "/" not in path[10:].rstrip("/")
