"""The whole line on one file, side by side with DuckDB's bare reader on the same file, and where the time goes.

    python tests/bench/bench_line.py [--entries 300000] [--stages] [--edges]

Prints entries a second of each and their ratio, CPU µs an entry, peak memory, and with --stages CPU µs per stage.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.entries import write_log  # noqa: E402


def child(arguments: list[str]) -> tuple[float, float, int, str]:
    """Run a command: wall seconds, CPU seconds, peak memory (MiB), what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    output = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    if status:
        sys.exit(f"{arguments[:3]} failed")
    del before
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss >> 10, output


def line_once(log: Path, work: Path) -> tuple[float, float, int, dict[str, Any]]:
    """One run of the command into a new lake."""
    lake = work / "lake"
    shutil.rmtree(lake, ignore_errors=True)
    command = [sys.executable, "-m", "pipeline.cli", "run", str(log), "--lake", str(lake), "--format", "json",
               "--signing-key", str(work / "signing.key")]  # fmt: skip
    wall, cpu, peak, output = child(command)
    return wall, cpu, peak, json.loads(output)


def duckdb_once(log: Path) -> tuple[float, float, int]:
    """DuckDB reading every column of the file into a table, nothing else."""
    sql = f"CREATE TABLE t AS SELECT * FROM read_ndjson('{log}')"
    program = f"import duckdb; c = duckdb.connect(); c.execute('SET threads = 2'); c.execute({sql!r})"
    wall, cpu, peak, _ = child([sys.executable, "-c", program])
    return wall, cpu, peak


def stages(log: Path, work: Path) -> None:
    """CPU µs an entry of every stage, in one thread, with a lake that keeps nothing; the lake's own writing apart."""
    from pipeline import app, rows  # noqa: PLC0415
    from pipeline import config as conf  # noqa: PLC0415
    from pipeline.ledger import leaf  # noqa: PLC0415
    from pipeline.parts import Taken  # noqa: PLC0415

    spent: dict[str, float] = defaultdict(float)
    inner: list[float] = []

    def timed(owner: Any, name: str, label: str) -> None:
        function: Callable[..., Any] = getattr(owner, name)

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            inner.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                took = time.process_time() - start
                spent[label] += took - inner.pop()
                if inner:
                    inner[-1] += took

        setattr(owner, name, wrapper)

    run = app.Run(app.RunOptions((str(log),), work / "stages", signing_key=str(work / "signing.key")), conf.Settings())
    lake: Any = _NoLake()
    source, decoder = run._source(lake, []), run._decoder()
    line = run._line(lake, source, [])
    parts = line.parts
    for owner, name, label in (
        (source, "poll", "read"), (decoder, "decode", "decode"), (parts.enricher, "resolve", "enrich"),
        (rows, "seal", "uids"), (rows, "events", "event rows"), (rows, "raw", "raw rows"),
        (leaf, "build", "ledger: leaves"), (parts.ledger, "add", "ledger: tree"),
        (parts.ledger, "prepare", "ledger: tiles"),
        (parts.continuity, "stream", "continuity"), (parts.clocks, "push", "clocks"),
        (parts.continuity, "operations", "continuity"), (parts.sequencer, "push", "order"),
        (parts.sequencer, "release", "order"), (parts.pairing, "push", "pair"), (parts.devices, "push", "devices"),
        (parts.canaries, "push", "canaries"), (parts.counters, "stream", "counters"),
        (parts.counters, "judge", "counters"), (parts.coverage, "push", "coverage"),
        (parts.windows, "push", "windows"), (parts.baselines, "learn", "learn"),
        (parts.slis, "push", "slis"), (parts.router, "push", "route"), (line, "commit", "states"),
        (line, "step", "the rest"),
    ):  # fmt: skip
        timed(owner, name, label)
    for detector in parts.detectors:
        timed(detector, "inspect", f"detect: {detector.info.name}")
    entries = 0
    while not source.exhausted:
        raw = source.poll(None, 0.1, {})
        if raw is None:
            continue
        decoded = decoder.decode(raw)
        entries += len(raw)
        sealed: Future[rows.Sealed] = Future()
        sealed.set_result(rows.seal(raw, decoded, leaves=True))
        line.step(Taken(raw, decoded, {stream: not ended for stream, ended in source.streams().items()}, sealed))
    line.finish()
    line.commit()
    print(f"\n{'stage':<28}CPU µs/entry")
    for label, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"{label:<28}{seconds / entries * 1e6:8.2f}")
    print(f"{'sum':<28}{sum(spent.values()) / entries * 1e6:8.2f}   (without writing Parquet: see bench_store.py)")


class _NoLake:
    """Takes everything and keeps nothing."""

    upkeep_failure = ""

    def write(self, table: str, frame: Any) -> None: ...

    def commit(self, commit: Any) -> int:
        commit.seal((), ())
        return 0

    def unsealed(self) -> bool:
        return False

    def passed(self) -> list[str]:
        return []

    def epoch(self) -> int:
        return 1

    def expired(self) -> list[tuple[int, int]]:
        return []

    def ledger_head(self) -> dict[str, Any]:
        return {}

    def states(self) -> dict[str, Any]:
        return {}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--edges", type=int, default=4_000, help="distinct secrets")
    parser.add_argument("--stages", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="keytrail-bench-") as folder:
        work = Path(folder)
        log = work / "audit.log"
        size = write_log(log, options.entries, secrets=options.edges)
        print(f"{options.entries:,} entries, {size / options.entries:,.0f} B each, {size / 1e6:,.0f} MB")
        print(f"{'':<24}{'entries/s':>12}{'CPU µs/entry':>14}{'peak MiB':>10}")
        best: dict[str, float] = {}
        for _ in range(options.rounds):
            for name, once in (
                ("whole line", lambda: line_once(log, work)),
                ("DuckDB bare read", lambda: duckdb_once(log)),
            ):
                wall, cpu, peak, *_rest = once()
                rate = options.entries / wall
                best[name] = max(best.get(name, 0.0), rate)
                print(f"{name:<24}{rate:>12,.0f}{cpu / options.entries * 1e6:>14.2f}{peak:>10,}")
        print(f"ratio (best of each)    {best['whole line'] / best['DuckDB bare read']:>12.2f}")
        if options.stages:
            stages(log, work)


if __name__ == "__main__":
    main()
