"""Lines a second that the simulator writes, and operations a second as frames."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from pipeline.simulate import Scenario, simulate, workload

if __name__ == "__main__":
    scenario = Scenario(days=1, preset="s")
    with tempfile.TemporaryDirectory() as folder:
        begin, busy = time.perf_counter(), time.process_time()
        summary = simulate(scenario, Path(folder))
        seconds, cpu = time.perf_counter() - begin, time.process_time() - busy
    rate = f"{summary.lines / seconds:,.0f} lines/s, {summary.size / seconds / 1e6:,.0f} MB/s"
    rate += f", {summary.lines / cpu:,.0f} lines per CPU second"
    print(f"files   {summary.lines:>10,} lines in {seconds:6.2f} s: {rate}")
    begin = time.perf_counter()
    count = sum(len(frame) for frame, _ in workload(scenario))
    seconds = time.perf_counter() - begin
    print(f"frames  {count:>10,} operations in {seconds:6.2f} s: {count / seconds:,.0f} operations/s")
