"""The whole line on one file, side by side with DuckDB's bare reader on the same file, and where the time goes.

    python tests/bench/bench_line.py [--entries 300000] [--stages] [--edges]

Prints entries a second of each and their ratio, CPU µs an entry, peak memory, and with --stages CPU µs per stage and
the ledger's share.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench import peak, stages  # noqa: E402
from tests.bench.entries import write_log  # noqa: E402


def line_once(log: Path, lake: Path) -> peak.Ended:
    """One run of the command into a new lake.

    None is removed before the end: where thousands of files are just gone, ext4 makes new ones several times slower.
    """
    work = lake.parent
    return peak.keytrail("run", log, "--lake", lake, "--format", "json", "--signing-key", work / "signing.key")


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


def told(spent: dict[str, float], whole: float) -> None:
    """The stages, and the ledger's share of the whole line's CPU time (both µs an entry)."""
    stages.table(spent)
    ledger = sum(micros for label, micros in spent.items() if label.startswith("ledger"))
    print(f"{'ledger':<36}{ledger:8.2f}   {ledger / whole:.1%} of the whole line's {whole:.2f}")


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
        for nth in range(options.rounds):
            lake = work / f"lake{nth}"
            for name, once in (
                ("whole line", partial(line_once, log, lake)),
                ("DuckDB bare read", partial(duckdb_once, log)),
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
            spent = stages.measure(work, paths=(str(log),))
            spent["ledger: seals of files"] = sealing(lake) / options.entries * 1e6
            told(spent, cpu["whole line"])


if __name__ == "__main__":
    main()
