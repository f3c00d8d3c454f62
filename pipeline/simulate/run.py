"""The two ways out: frames for measuring, files for reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import polars as pl

from pipeline.simulate.frames import operations
from pipeline.simulate.rows import Rows, by_time
from pipeline.simulate.scenario import HOUR, Scenario
from pipeline.simulate.traffic import hours
from pipeline.simulate.vault.devices import Device, paths
from pipeline.simulate.world import Plot, lay

if TYPE_CHECKING:
    from pipeline.simulate.stage import Cut, Incident


class Summary(msgspec.Struct, frozen=True):
    """What was written: requests, lines over all devices, bytes, incidents, and where."""

    operations: int
    lines: int
    size: int
    incidents: int
    confusers: int
    files: tuple[str, ...]
    canaries: tuple[str, ...]  # secrets planted as bait


def workload(scenario: Scenario) -> Iterator[tuple[pl.DataFrame, tuple[Incident, ...]]]:
    """OPERATION frames, an hour each, with the incidents that begin in it. Hours without requests give empty frames."""
    plot = lay(scenario)
    starts = [(np.datetime64(i.begin[:-1], "ns").astype(np.int64), i) for i in plot.incidents]
    for start, rows in _told(plot):
        yield operations(plot.world, rows), tuple(i for at, i in starts if start <= at < start + HOUR)


def twins(plot: Plot) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Each hour twice, in schema OPERATION: without the attacks and with them. What both have is made once."""
    start, world = plot.world.scenario.start_ns, plot.world
    theirs = plot.cuts[len(plot.quiet_cuts) :]
    for ordinary in hours(world):
        low, high = np.searchsorted(plot.rows["t"], (start, start + HOUR))
        staged = _heard(plot.rows[low:high], plot.cuts, world.scenario.devices)
        quiet = _heard(ordinary, plot.quiet_cuts, world.scenario.devices)
        frame = operations(world, quiet)
        if any(cut.start < start + HOUR and cut.end > start for cut in theirs):
            yield frame, operations(world, _heard(by_time([quiet, staged]), plot.cuts, world.scenario.devices))
        elif len(staged):
            yield frame, pl.concat([frame, operations(world, staged)]).sort("time", maintain_order=True)
        else:
            yield frame, frame
        start += HOUR


def _told(plot: Plot) -> Iterator[tuple[int, Rows]]:
    """All rows by the hour, without those that no device tells of."""
    start = plot.world.scenario.start_ns
    for rows in _merged(plot):
        yield start, _heard(rows, plot.cuts, plot.world.scenario.devices)
        start += HOUR


def _heard(rows: Rows, cuts: Sequence[Cut], devices: int) -> Rows:
    """Those that at least one device tells of."""
    if not cuts:
        return rows
    lost = np.ones(len(rows), bool)
    for device in range(devices):
        silent = np.zeros(len(rows), bool)
        for cut in cuts:
            if cut.device == device:
                silent |= (rows["t"] >= cut.start) & (rows["t"] < cut.end)
        lost &= silent
    return rows[~lost]


def _merged(plot: Plot) -> Iterator[Rows]:
    start = plot.world.scenario.start_ns
    for rows in hours(plot.world):
        low, high = np.searchsorted(plot.rows["t"], (start, start + HOUR))
        yield by_time([rows, plot.rows[low:high]]) if high > low else rows
        start += HOUR


def emit_vault(plot: Plot, out: Path) -> tuple[int, list[Device]]:
    """Write the plot's audit files into `out`; the number of requests, and the devices with what each wrote."""
    count, start = 0, plot.world.scenario.start_ns
    with ExitStack() as stack:
        files = [stack.enter_context(p.open("wb")) for p in paths(out, plot.world.scenario.devices)]
        devices = [Device(plot.world, i, f, plot.cuts) for i, f in enumerate(files)]
        for rows in _merged(plot):
            start += HOUR
            count += len(rows)
            for device in devices:
                device.write(rows, start)
        for device in devices:
            device.close()
    return count, devices


def simulate(scenario: Scenario, out: Path) -> Summary:
    """Write DIR/audit.log (audit-2.log … for further devices), labels.jsonl and confusers.jsonl.

    The same scenario gives the same bytes. Raises ConfigError for an unknown attack or confuser, OSError when the
    folder cannot be written.
    """
    plot = lay(scenario)
    out.mkdir(parents=True, exist_ok=True)
    count, devices = emit_vault(plot, out)
    _labels(out / "labels.jsonl", plot.incidents)
    _labels(out / "confusers.jsonl", plot.happenings)
    files = paths(out, scenario.devices)
    return Summary(
        operations=count,
        lines=sum(d.lines for d in devices),
        size=sum(f.stat().st_size for f in files),
        incidents=len(plot.incidents),
        confusers=len(plot.happenings),
        files=tuple(str(f) for f in files),
        canaries=tuple(plot.world.estate.secret(int(i)) for i in plot.world.estate.canaries),
    )


def _labels(path: Path, incidents: tuple[Incident, ...]) -> None:
    path.write_bytes(b"".join(msgspec.json.encode(i) + b"\n" for i in incidents))
