"""Lines a second that the simulator writes, and operations a second as frames."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from pipeline.simulate import Scenario, simulate, workload

if __name__ == "__main__":
    scenario = Scenario(days=1, preset="s")
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        summary = simulate(scenario, Path(folder))
        seconds = time.perf_counter() - begin
    rate = f"{summary.lines / seconds:,.0f} lines/s, {summary.size / seconds / 1e6:,.0f} MB/s"
    print(f"files   {summary.lines:>10,} lines in {seconds:6.2f} s: {rate}")
    begin = time.perf_counter()
    count = sum(len(frame) for frame, _ in workload(scenario))
    seconds = time.perf_counter() - begin
    print(f"frames  {count:>10,} operations in {seconds:6.2f} s: {count / seconds:,.0f} operations/s")
