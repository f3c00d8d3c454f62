"""`keytrail verify` over lakes of N, 4N and 16N entries: entries a second and core, and how memory grows.

    python -m tests.bench.bench_verify [--entries 100000] [--commits 5]

A lake's raw rows are whole entries of 1.5 KB; each lake has a commit, a seal, a checkpoint and a file for every
`entries / commits` of them, so that what grows with the number of commits grows here, too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.core.clock import system_clock
from pipeline.core.model import Commit
from pipeline.core.schema import RAW, conform
from pipeline.ledger import FileGuard, binary_column, keys, leaf
from pipeline.ledger.sealed import SealedLedger
from pipeline.store import Lake, StoreConfig
from tests.bench import peak
from tests.bench.entries import write_log

LINES = 20_000  # distinct ones


def lines(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bytes, starts and ends of the entries."""
    log = folder / "audit.log"
    write_log(log, LINES)
    data = np.frombuffer(log.read_bytes(), np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    return data, np.r_[0, ends[:-1] + 1], ends


def made(folder: Path, entries: int, each: int) -> Path:
    """A lake of so many entries, `each` of them a commit; its key beside it."""
    data, starts, ends = lines(folder)
    lake, signer = folder / "lake", keys.for_lake(folder / "key", folder / "lake")
    ledger = SealedLedger.open(lake, signer, head=None, guard=FileGuard(folder / "signed"))
    with Lake.open(lake, StoreConfig(publish_seconds=1e9), writer=True, clock=system_clock) as opened:
        for first in range(0, entries, each):
            for at in range(first, first + each, LINES):
                count = min(LINES, first + each - at)
                positions = np.arange(at, at + count)
                built = leaf.build("audit.log", positions, 1, data=data, starts=starts[:count], ends=ends[:count])
                opened.write("raw", rows(ledger, built, data, ends[:count], positions))
            opened.commit(Commit((), seal=ledger.prepare))
            ledger.publish()
    return lake


def rows(
    ledger: SealedLedger, built: leaf.Leaves, data: np.ndarray, ends: np.ndarray, positions: np.ndarray
) -> pl.DataFrame:
    """RAW rows."""
    placed, count = ledger.add(built), len(positions)
    raw = [bytes(data[start:end]) for start, end in zip(np.r_[0, ends[:-1] + 1], ends, strict=True)]
    return conform(
        pl.DataFrame(
            {
                "uid": [f"{at:032x}" for at in positions],
                "source": pl.Series(["audit.log"]).new_from_index(0, count),
                "file": pl.Series(["audit.log"]).new_from_index(0, count),
                "position": positions,
                "leaf_index": np.arange(placed.first_index, placed.first_index + count),
                "raw": pl.Series(raw, dtype=pl.Binary),
                "redacted": np.zeros(count, bool),
                "salt": binary_column("salt", placed.salts),
                "leaf": binary_column("leaf", placed.leaves),
            }
        ),
        RAW,
    )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--commits", type=int, default=5, help="of the smallest lake")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    print(f"{'entries':>12}{'commits':>9}{'CPU seconds':>13}{'seconds':>9}{'peak MiB':>10}")
    found = []
    for times in (1, 4, 16):
        entries = options.entries * times
        best = verified(entries, options.entries // options.commits, options.rounds)
        found.append((entries, best))
        commits = options.commits * times
        print(f"{entries:>12,}{commits:>9,}{best.cpu:>13.2f}{best.wall:>9.1f}{best.peak:>10,}", flush=True)
    (few, small), (many, large) = found[0], found[-1]
    each = (large.cpu - small.cpu) / (many - few)  # without the command's start
    print(f"{each * 1e6:.2f} CPU µs for each further entry: {1 / each:,.0f} entries a second and core")
    print(f"{large.peak - small.peak:+,} MiB for {many / few:.0f} times the entries")


def verified(entries: int, each: int, rounds: int) -> peak.Ended:
    """Of several runs of the command over one lake the one with the least CPU time."""
    with tempfile.TemporaryDirectory(prefix="keytrail-bench-") as name:
        folder = Path(name)
        lake = made(folder, entries, each)
        config = folder / "keytrail.toml"
        config.write_text(f'[ledger]\nsigning_key = "{folder / "key"}"\nsigned = "{folder / "signed"}"\n')
        found = []
        for _ in range(rounds):
            done = peak.keytrail("verify", "--lake", lake, "--config", config)
            if done.code or f"{entries:,} rows" not in done.text:
                sys.exit(f"verification of {entries} entries ended with {done.code}: {done.text}")
            found.append(done)
    return min(found, key=lambda done: done.cpu)


if __name__ == "__main__":
    main()
