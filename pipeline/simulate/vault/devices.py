"""Audit devices: files that each record the same requests with their own salt, in the order they got to write."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.simulate.actions import Outcome
from pipeline.simulate.stage import uuid_text
from pipeline.simulate.streams import stream
from pipeline.simulate.vault.lines import Writer
from pipeline.simulate.vault.texts import trimmed

if TYPE_CHECKING:
    from pipeline.simulate.rows import Rows
    from pipeline.simulate.stage import Cut
    from pipeline.simulate.traffic import World

_SLICE = 20_000
Ints = npt.NDArray[np.int64]


class Device:
    """One file being written. Lines wait until no earlier one can come."""

    def __init__(self, world: World, number: int, out: BinaryIO, cuts: Iterable[Cut]) -> None:
        self.world, self.number, self._out = world, number, out
        self.cuts = sorted((c for c in cuts if c.device == number), key=lambda c: c.start)
        self._renewals = [c for c in self.cuts if c.renewed]
        self.prefix = world.scenario.prefix if number else ""
        self._rng = stream(world.scenario.seed, "device", number)
        self._writer = Writer(world, self._salt())
        self._waiting: tuple[Ints, Ints, pl.Series] = (
            np.zeros(0, np.int64),
            np.zeros(0, np.int64),
            pl.Series([], dtype=pl.String),
        )
        self.lines = 0

    def _salt(self) -> str:
        return str(uuid.UUID(bytes=self._rng.bytes(16)))

    def write(self, rows: Rows, until: int) -> None:
        """Take the rows of a stretch and write every line stamped before `until`."""
        renewals = [c for c in self._renewals if c.request < until]
        self._renewals = self._renewals[len(renewals) :]
        edges = np.searchsorted(rows["t"], [c.request for c in renewals])
        for index, part in enumerate(np.split(rows, edges)):
            if index:
                self._renew(renewals[index - 1])
            for low in range(0, len(part), _SLICE):
                piece = part[low : low + _SLICE]
                last = index == len(renewals) and low + _SLICE >= len(part)
                bound = until if last else int(piece["t"][-1]) + 1
                self._take(piece, bound)
        if not len(rows):
            self._flush(until)

    def _renew(self, cut: Cut) -> None:
        """A new life: another salt, and the lone test request that enabling writes."""
        self._flush(cut.end)
        self._writer = Writer(self.world, self._salt())
        probe = uuid_text(*self._rng.integers(0, 2**64, 2, dtype=np.uint64).tolist())
        line = (
            f'{{"time":"{trimmed(cut.end + 300_000)}","type":"request","auth":{{"token_type":"default"}},'
            f'"request":{{"id":"{probe}","operation":"update","namespace":{{"id":"root"}},"path":"sys/audit/test"}}}}'
        )
        self._out.write(f"{self.prefix}{line}\n".encode())
        self.lines += 1

    def _take(self, rows: Rows, until: int) -> None:
        late = self._rng.exponential(30_000, len(rows)).astype(np.int64) * (1 if self.number else 0)
        stamped = rows.copy()
        stamped["t"] += late
        asked, answered = self._writer.lines(stamped)
        replied = rows["outcome"] != Outcome.NO_TOKEN
        when = np.concatenate([stamped["t"], (stamped["t"] + stamped["latency"])[replied]])
        lines = pl.concat([asked, answered.filter(pl.Series(replied))])
        # stamped before the file's lock is taken: some lines are written a moment later than they say
        order = when + (self._rng.exponential(120_000, len(when)) * (self._rng.random(len(when)) < 0.2)).astype(
            np.int64
        )
        kept = self._told(when)
        waiting_when, waiting_order, waiting_lines = self._waiting
        self._waiting = (
            np.concatenate([waiting_when, when[kept]]),
            np.concatenate([waiting_order, order[kept]]),
            pl.concat([waiting_lines, lines.filter(pl.Series(kept))]),
        )
        self._flush(until)

    def _told(self, when: Ints) -> npt.NDArray[np.bool_]:
        kept = np.ones(len(when), bool)
        for cut in self.cuts:
            kept &= (when < cut.start) | (when >= cut.end)
        return kept

    def _flush(self, until: int) -> None:
        when, order, lines = self._waiting
        ready = np.flatnonzero(order < until)
        ready = ready[np.argsort(order[ready], kind="stable")]
        rest = np.flatnonzero(order >= until)
        self._waiting = (when[rest], order[rest], lines.gather(rest))
        if len(ready):
            whole = pl.select(pl.concat_str([pl.lit(self.prefix), lines.gather(ready), pl.lit("\n")])).to_series()
            column = whole.to_arrow(compat_level=pl.CompatLevel.oldest())
            data = column.buffers()[2]
            self._out.write(memoryview(data)[: int(whole.str.len_bytes().sum())])
            self.lines += len(ready)

    def close(self) -> None:
        """Write what is left."""
        self._flush(2**62)
        self._out.close()


def paths(out: Path, count: int) -> list[Path]:
    """audit.log, then audit-2.log and so on for further devices."""
    return [out / ("audit.log" if i == 0 else f"audit-{i + 1}.log") for i in range(count)]
