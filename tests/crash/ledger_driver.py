"""Reads a file of lines into a small lake, so many lines to a commit, until its end: the process that is killed."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.ledger import leaf
from tests.unit.ledger.small_lake import SmallLake


def main() -> None:
    folder, source, lines = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    lake = SmallLake(folder)
    data = source.read_bytes()
    while rest := data[lake.position() :]:
        batch = rest.splitlines(keepends=True)[:lines]
        lake.write(batch, control=[(leaf.SOURCE_STATE, {"lines": len(batch)})])
    lake.close()
