"""What the lake costs: CPU per entry written, commit latency, publishing. Run: python -m tests.bench.bench_store"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

from pipeline.core.clock import system_clock
from pipeline.core.model import Commit, Position
from pipeline.store import Lake, StoreConfig, query
from tests.unit.store.store_frames import large, slis


def cpu_seconds() -> float:
    """User and system time of this process, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def writing(folder: Path, entries: int) -> None:
    """µs of CPU and of wall time per entry, table by table, then all three."""
    frames = large(entries, 1)
    print(f"raw entry: {frames['raw'].select(pl.col('raw').bin.size().mean()).item():.0f} bytes")
    for tables in (["events"], ["operations"], ["raw"], ["events", "operations", "raw"]):
        best, elapsed = 1e9, 0.0
        for attempt in range(3):
            place = folder / f"{'-'.join(tables)}{attempt}"
            with Lake.open(place, StoreConfig(publish_seconds=1e9), writer=True, clock=system_clock) as lake:
                used, start = cpu_seconds(), time.perf_counter()
                for offset in range(0, entries, 20_000):
                    for table in tables:
                        share = 2 if table == "operations" else 1
                        lake.write(table, frames[table].slice(offset // share, 20_000 // share))
                lake.commit(Commit([Position("s", "p", entries)]))
                used, start = cpu_seconds() - used, time.perf_counter() - start
            if used < best:
                best, elapsed = used, start
        size = sum(file.stat().st_size for file in place.rglob("*.parquet"))
        print(
            f"{'+'.join(tables):24} cpu {best / entries * 1e6:5.2f} µs/entry  wall {elapsed / entries * 1e6:5.2f}  "
            f"{size / entries:5.0f} bytes/entry"
        )


def committing(folder: Path, commits: int) -> None:
    """Milliseconds of a commit of 2,000 entries with slis and states, every table of it new on the disk."""
    frames = large(2_000, 2)
    state = {"profiles": {"edges": pl.DataFrame({"a": range(2_000)})}}
    taken = []
    config = StoreConfig(compact_files=1_000_000, fold_files=1_000_000)
    with Lake.open(folder / "commits", config, writer=True, clock=system_clock) as lake:
        for number in range(commits):
            for table, frame in frames.items():
                lake.write(table, frame)
            state["profiles"]["edges"] = state["profiles"]["edges"].with_columns(a=pl.lit(number))
            start = time.perf_counter()
            lake.commit(
                Commit([Position("s", "p", number)], revise={"slis": slis(range(number, number + 1))}, states=state)
            )
            taken.append((time.perf_counter() - start) * 1e3)
    ordered = sorted(taken)
    print(
        f"commit, 2,000 entries:   p50 {statistics.median(ordered):.1f} ms  p99 {ordered[int(commits * 0.99)]:.1f} ms  "
        f"max {ordered[-1]:.1f} ms"
    )


def publishing(folder: Path) -> None:
    """Milliseconds to publish, and to answer a small query, with 1, 100 and 800 files in each of three tables."""
    frames = large(50, 3)
    config = StoreConfig(publish_seconds=1e9, compact_files=1_000_000)
    with Lake.open(folder / "publish", config, writer=True, clock=system_clock) as lake:
        done = 0
        for files in (1, 100, 800):
            for number in range(done, files):
                for table, frame in frames.items():
                    lake.write(table, frame)
                lake.commit(Commit([Position("s", "p", number)]))
            done = files
            start = time.perf_counter()
            lake.publish()
            published = time.perf_counter() - start
            start = time.perf_counter()
            query(lake.path, "SELECT count(*) FROM operations")
            asked = time.perf_counter() - start
            print(f"{files:4} files a table:     publish {published * 1e3:6.1f} ms  query {asked * 1e3:6.1f} ms")
        start = time.perf_counter()
        lake.compact()
        print(f"compact 800 x 50 rows:   {(time.perf_counter() - start) * 1e3:6.1f} ms")


def main() -> None:
    """All of it, in a folder that is removed."""
    entries = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        writing(Path(folder), entries)
        committing(Path(folder), 300)
        publishing(Path(folder))


if __name__ == "__main__":
    main()
