"""What one device lacks of what its siblings have, hole by hole. Times in µs, positions in bytes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.model import Frames

REMEMBERED: Final = 16  # closed holes of a device that late entries may still fill
# Beside the devices in `Hole.others`: the device has started within it; so has a sibling, or one was switched there.
STARTED, SWITCHED = 1 << 61, 1 << 62
SLACK_US: Final = 1_000_000  # devices stamp one entry at moments that lie this far apart at most


@dataclass(slots=True)
class Hole:
    """A connected place: from the device's line before it to the one after it (the same, while it is open)."""

    first_us: int  # names it
    from_us: int
    to_us: int
    from_position: int
    to_position: int
    file: str
    others: int = 0  # mask of the devices that have what is lost, and the marks
    lost: int = 0
    came: int = 0  # how many came after all
    told: bool = False

    @property
    def off(self) -> bool:
        """Whether the device was off: it started again, and there was a reason to."""
        return self.others & STARTED > 0 and self.others & SWITCHED > 0

    def holds(self, time_us: int) -> bool:
        """Whether an entry of this time may be one of the lost."""
        return self.lost > 0 and self.from_us - SLACK_US <= time_us <= self.to_us + SLACK_US


@dataclass(slots=True)
class Device:
    """One device: whether it lives, where its last entry stands, the hole that is open and those that were."""

    source: str
    alive: bool = False
    position: int = 0
    file: str = ""
    hole: Hole | None = None
    closed: list[Hole] = field(default_factory=list)

    def miss(self, time_us: int, others: int) -> Hole:
        """An entry that it should have and has not."""
        if self.hole is None:
            self.hole = Hole(time_us, time_us, time_us, self.position, self.position, self.file)
        hole = self.hole
        hole.lost += 1
        hole.from_us, hole.to_us = min(hole.from_us, time_us), max(hole.to_us, time_us)
        hole.others |= others
        return hole

    def mark(self, what: int) -> None:
        """A start in the open hole: its own alone excuses nothing, and without a hole there is nothing to excuse."""
        if self.hole is not None:
            self.hole.others |= what

    def ripe(self, now_us: int, after_us: int) -> Hole | None:
        """The open hole, once: when it is older than `after_us`."""
        hole = self.hole if self.alive else None
        if hole is None or hole.told or hole.off or now_us <= hole.from_us + after_us:
            return None
        hole.told = True
        return hole

    def close(self, position: int, file: str) -> Hole | None:
        """It speaks again, here: the hole that was open until now."""
        hole, self.hole = self.hole, None
        if hole is None or (hole.off and not hole.told):
            return None
        hole.told, hole.to_position, hole.file = True, position, file
        self.closed = [*self.closed, hole][-REMEMBERED:]
        return hole

    def fill(self, time_us: int) -> Hole | None:
        """One of the lost entries has come: the hole it was missed in, which is over with its last one."""
        hole = next((h for h in (self.hole, *reversed(self.closed)) if h is not None and h.holds(time_us)), None)
        if hole is None:
            return None
        hole.lost, hole.came = hole.lost - 1, hole.came + 1
        if not hole.lost:
            self.closed = [other for other in self.closed if other is not hole]
            self.hole = None if self.hole is hole else self.hole
        return hole


_HOLES: Final = pl.Schema(
    {
        "device": pl.Int64(), "open": pl.Boolean(), "first_us": pl.Int64(), "from_us": pl.Int64(), "to_us": pl.Int64(),
        "from_position": pl.Int64(), "to_position": pl.Int64(), "file": pl.String(), "others": pl.Int64(),
        "lost": pl.Int64(), "came": pl.Int64(), "told": pl.Boolean(),
    }
)  # fmt: skip
_DEVICES: Final = pl.Schema(
    {
        "source": pl.String(), "alive": pl.Boolean(), "position": pl.Int64(), "file": pl.String(),
        "siblings": pl.Int64(),
    }
)  # fmt: skip


def packed(devices: Sequence[Device], siblings: Sequence[int]) -> dict[str, pl.DataFrame]:
    """Devices with the masks of their siblings, and their holes, as frames."""
    known = [(d.source, d.alive, d.position, d.file, mask) for d, mask in zip(devices, siblings, strict=True)]
    found = [
        {"device": number, "open": hole is device.hole, **asdict(hole)}
        for number, device in enumerate(devices)
        for hole in (*device.closed, device.hole)
        if hole is not None
    ]
    return {
        "devices": pl.DataFrame(known, schema=_DEVICES, orient="row"),
        "holes": pl.DataFrame(found, schema=_HOLES),
    }


def unpacked(frames: Frames) -> tuple[list[Device], list[int]]:
    """Devices and masks of `packed`."""
    devices = [Device(*row) for row in frames["devices"].drop("siblings").iter_rows()]
    for row in frames["holes"].to_dicts():
        device, is_open, hole = devices[row.pop("device")], row.pop("open"), Hole(**row)
        if is_open:
            device.hole = hole
        else:
            device.closed.append(hole)
    return devices, frames["devices"]["siblings"].to_list()
