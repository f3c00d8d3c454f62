"""A lake small enough to read in a minute: Parquet files of raw rows, and one SQLite transaction per commit."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipeline.core import faults
from pipeline.ledger import FileGuard, Ledger, binary_column, keys
from pipeline.ledger.verify import Report, Snapshot, verify


class SmallLake:
    """`write` makes one commit: raw rows, then the head, then publication."""

    def __init__(self, folder: Path, *, key: Path | None = None) -> None:
        self.folder = folder
        self.key = key or folder.parent / "config" / "signing.key"
        folder.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(folder / "control.sqlite", isolation_level=None)
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("create table if not exists commits (head text, file text, last integer)")
        self.signer = keys.for_lake(self.key, folder)
        self.guard = FileGuard(self.key.parent)
        self.ledger = Ledger.open(folder, self.signer, head=self.head(), guard=self.guard)

    def head(self) -> dict[str, Any] | None:
        row = self._db.execute("select head from commits order by rowid desc limit 1").fetchone()
        return None if row is None else dict(json.loads(row[0]))

    def position(self) -> int:
        row = self._db.execute("select max(last) from commits").fetchone()
        return 0 if row[0] is None else int(row[0])

    def write(
        self,
        records: Sequence[bytes],
        *,
        stream: str = "audit.log",
        redacted: Sequence[int] = (),
        control: Sequence[tuple[int, Any]] = (),
        prepare_only: bool = False,
    ) -> pl.DataFrame:
        data = np.frombuffer(b"".join(records), np.uint8)
        ends = np.cumsum([len(record) for record in records], dtype=np.int64)
        starts = ends - np.array([len(record) for record in records], np.int64)
        positions = starts + self.position()
        flags = np.isin(np.arange(len(records)), redacted)
        leaves = self.ledger.append(
            stream, positions, 1_700_000_000_000_000_000, data=data, starts=starts, ends=ends, redacted=flags
        )
        frame = pl.DataFrame(
            {
                "uid": [f"{position:032x}" for position in positions],
                "source": [stream] * len(records),
                "position": positions,
                "leaf_index": np.arange(leaves.first_index, leaves.first_index + len(records)),
                "raw": pl.Series(
                    [b"[redacted]" if flag else record for flag, record in zip(flags, records, strict=True)],
                    dtype=pl.Binary,
                ),
                "redacted": flags,
                "file": [stream] * len(records),
                "salt": binary_column("salt", leaves.salts),
                "leaf": binary_column("leaf", leaves.leaves),
            }
        )
        name = f"raw-{leaves.first_index:09d}.parquet"
        frame.write_parquet(self.folder / name)
        faults.point("lake.files")
        for kind, body in control:
            self.ledger.append_control(kind, body)
        head = self.ledger.prepare()
        if not prepare_only:
            last = self.position() + len(data)
            self._db.execute("insert into commits values (?, ?, ?)", (json.dumps(head), name, last))
            faults.point("lake.commit")
            self.ledger.publish()
        return frame

    def files(self) -> list[str]:
        return [name for (name,) in self._db.execute("select file from commits order by file")]

    def rows(self) -> Iterator[pl.DataFrame]:
        for name in self.files():
            if (self.folder / name).exists():
                yield pl.read_parquet(self.folder / name).with_columns(lake_file=pl.lit(name))

    def snapshot(self) -> Snapshot:
        return Snapshot(self.head(), self.rows(), self.files())

    def verify(self, **more: Any) -> Report:
        return verify(self.folder, self.ledger.verifier, self.snapshot, guard=self.guard, **more)

    def close(self) -> None:
        self._db.close()


def records(count: int, start: int = 0) -> list[bytes]:
    """Distinct lines."""
    return [b'{"n":%d,"pad":"%s"}' % (n, b"x" * (n % 40)) for n in range(start, start + count)]


def broken(report: Report) -> set[tuple[str, str]]:
    """(source, verdict) of everything that does not hold."""
    rows = report.rows.filter(~pl.col("verdict").is_in(["ok", "redacted"]))
    return set(rows.select("source", "verdict").iter_rows())
