"""The whole line on one file, side by side with DuckDB's bare reader on the same file, and where the time goes.

    python tests/bench/bench_line.py [--entries 300000] [--stages] [--edges]

Prints entries a second of each and their ratio, CPU µs an entry, peak memory, and with --stages CPU µs per stage and
the ledger's share.
"""

from __future__ import annotations

import argparse
import json
import shutil
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

from tests.bench import peak  # noqa: E402
from tests.bench.entries import write_log  # noqa: E402


def line_once(log: Path, work: Path) -> tuple[peak.Ended, dict[str, Any]]:
    """One run of the command into a new lake."""
    lake = work / "lake"
    shutil.rmtree(lake, ignore_errors=True)
    done = peak.keytrail("run", log, "--lake", lake, "--format", "json", "--signing-key", work / "signing.key")
    return done, json.loads(done.text)


def duckdb_once(log: Path) -> peak.Ended:
    """DuckDB reading every column of the file into a table, nothing else."""
    sql = f"CREATE TABLE t AS SELECT * FROM read_ndjson('{log}')"
    return peak.python(f"import duckdb; c = duckdb.connect(); c.execute('SET threads = 2'); c.execute({sql!r})")


def sealing(lake: Path) -> float:
    """CPU seconds of hashing every file of a lake, as seals do."""
    from pipeline.ledger import seal  # noqa: PLC0415

    began = time.process_time()
    for file in (lake / "data").rglob("*.parquet"):
        seal.file_sha256(file)
    return time.process_time() - began


def stages(log: Path, work: Path) -> dict[str, float]:
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
        (parts.ledger, "prepare", "ledger: tiles"), (parts.ledger, "publish", "ledger: head"),
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
    spent["ledger: seals of files"] = sealing(work / "lake")
    return {label: seconds / entries * 1e6 for label, seconds in spent.items()}


def told(spent: dict[str, float], whole: float) -> None:
    """The stages, and the ledger's share of the whole line's CPU time (both µs an entry)."""
    print(f"\n{'stage':<28}CPU µs/entry")
    for label, micros in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"{label:<28}{micros:8.2f}")
    print(f"{'sum':<28}{sum(spent.values()):8.2f}   (without writing Parquet: see bench_store.py)")
    ledger = sum(micros for label, micros in spent.items() if label.startswith("ledger"))
    print(f"{'ledger':<28}{ledger:8.2f}   {ledger / whole:.1%} of the whole line's {whole:.2f}")


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
        rate: dict[str, float] = {}
        cpu: dict[str, float] = {}
        for _ in range(options.rounds):
            for name, once in (
                ("whole line", lambda: line_once(log, work)[0]),
                ("DuckDB bare read", lambda: duckdb_once(log)),
            ):
                done = once()
                if done.code:
                    sys.exit(f"{name} failed")
                rate[name] = max(rate.get(name, 0.0), options.entries / done.wall)
                micros = done.cpu / options.entries * 1e6
                cpu[name] = min(cpu.get(name, micros), micros)
                print(f"{name:<24}{options.entries / done.wall:>12,.0f}{micros:>14.2f}{done.peak:>10,}")
        print(f"ratio (best of each)    {rate['whole line'] / rate['DuckDB bare read']:>12.2f}")
        if options.stages:
            told(stages(log, work), cpu["whole line"])


if __name__ == "__main__":
    main()
