"""The ledger's costs: CPU per entry of append, prepare and publish; entries verified per second; the size of a proof.

python tests/bench/bench_ledger.py [ENTRIES]        default 1,000,000; records of 1,557 bytes, as Vault's mean is
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.ledger import FileGuard, LeafBatch, Ledger, binary_column, keys, proof_file
from pipeline.ledger.tiles import TileReader
from pipeline.ledger.verify import Snapshot, verify

RECORD, BATCH = 1557, 50_000


def frame(batch: LeafBatch, raw: pl.Series, positions: np.ndarray) -> pl.DataFrame:
    count = len(positions)
    return pl.DataFrame(
        {
            "source": pl.Series(["audit.log"]).new_from_index(0, count),
            "position": positions,
            "leaf_index": np.arange(batch.first_index, batch.first_index + count),
            "raw": raw,
            "redacted": np.zeros(count, bool),
            "salt": binary_column("salt", batch.salts),
            "leaf": binary_column("leaf", batch.leaves),
        }
    )


def main(entries: int) -> None:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        measure(Path(name), entries)


def measure(folder: Path, entries: int) -> None:
    data = np.frombuffer(os.urandom(BATCH * RECORD), np.uint8)
    starts = np.arange(BATCH, dtype=np.int64) * RECORD
    ends = starts + RECORD
    raw = binary_column("raw", data.reshape(BATCH, RECORD))
    lake = folder / "lake"
    ledger = Ledger.open(lake, keys.for_lake(folder / "key", lake), head=None, guard=FileGuard(folder / "guard"))
    batches: list[LeafBatch] = []
    cpu, wall, head = np.zeros(3), time.perf_counter(), None
    for _ in range(entries // BATCH):
        marks = [time.process_time()]
        batches.append(ledger.append("audit.log", starts, 1, data=data, starts=starts, ends=ends))
        marks.append(time.process_time())
        head = ledger.prepare()
        marks.append(time.process_time())
        ledger.publish()
        marks.append(time.process_time())
        cpu += np.diff(marks)
    wall = time.perf_counter() - wall
    for step, seconds in zip(("append", "prepare", "publish"), cpu, strict=True):
        told(f"{step} CPU", seconds / entries * 1e6, "us/entry")
    told("append + prepare + publish CPU", cpu.sum() / entries * 1e6, "us/entry")
    told("append + prepare + publish wall, fsyncs included", wall / entries * 1e6, "us/entry")

    def rows() -> Iterator[pl.DataFrame]:
        for batch in batches:
            yield frame(batch, raw, starts)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    report = verify(lake, ledger.verifier, lambda: Snapshot(head, rows()))
    spent = time.process_time() - started
    assert report.exit_code == 0, report.rows
    assert report.leaves == entries
    told("verify, rows and tree", entries / spent, "entries/s per core")
    told("verify, memory gained", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, "MB")
    reader = TileReader(lake / "ledger", entries)
    published = (lake / "ledger/checkpoint").read_bytes()
    started = time.perf_counter()
    proofs = [proof_file.make_proof(reader, index, published, entries) for index in range(0, entries, entries // 50)]
    told("proof, made from tiles", (time.perf_counter() - started) / len(proofs) * 1e3, "ms")
    told("proof file", max(map(len, proofs)), "bytes")
    started = time.perf_counter()
    for proof in proofs:
        proof_file.verify_files(proof, [ledger.verifier])
    told("proof, verified", (time.perf_counter() - started) / len(proofs) * 1e3, "ms")
    disk = sum(path.stat().st_size for path in (lake / "ledger").rglob("*") if path.is_file())
    told("ledger on disk", disk / entries, "bytes/entry")


def told(what: str, value: float, unit: str) -> None:
    print(f"{what:52s} {value:12,.2f} {unit}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
