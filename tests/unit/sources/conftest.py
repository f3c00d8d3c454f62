"""What the tests of sources share: a source read to its end, and positions carried over as the store does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.core.model import Position, RawBatch
from pipeline.sources.file_tail import Config, FileTail, create

Positions = dict[tuple[str, str], Position]


@dataclass
class Run:
    """One source and what it brought; `positions` are what a store would hold, through JSON."""

    source: FileTail
    positions: Positions
    follow: bool
    batches: list[RawBatch] = field(default_factory=list)

    def read(self, limit: int | None = None) -> list[bytes]:
        """Everything there is now, committed. Under follow it looks about as often as time would make it."""
        got: list[bytes] = []
        looked = not self.follow
        while True:
            batch = self.source.poll(limit, 0.0, {})
            if batch is not None:
                self.batches.append(batch)
                got += records(batch)
                commit(self.positions, batch, len(batch))
            elif looked:
                return got
            else:
                self.source._scan()
            looked = not self.follow or batch is None

    @property
    def faults(self) -> list[str]:
        return [batch.fault for batch in self.batches if batch.fault]


def records(batch: RawBatch) -> list[bytes]:
    return [batch.record(row) for row in range(len(batch))]


def commit(positions: Positions, batch: RawBatch, consumed: int) -> None:
    offset = int(batch.after[consumed - 1]) if consumed else int(batch.positions[0])
    state: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(dict(batch.state)))
    positions[batch.stream, batch.partition] = Position(batch.stream, batch.partition, offset, state)


Start = Callable[..., Run]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a source over paths; looks at files at once, so that no test waits. Closed at the end of the test."""
    runs: list[Run] = []

    def begin(*paths: Path | str, positions: Positions | None = None, follow: bool = False, **settings: Any) -> Run:
        config = Config(**{"poll_seconds": 1e-6, "rescan_seconds": 1e-6, **settings})
        held = {} if positions is None else positions
        runs.append(Run(create(config, [str(p) for p in paths], held, follow=follow, clock=lambda: 7), held, follow))
        return runs[-1]

    yield begin
    for run in runs:
        run.source.close()


def lines(first: int, count: int, size: int = 20) -> Sequence[bytes]:
    return [f"line {number} ".encode().ljust(size, b".") for number in range(first, first + count)]


def text(items: Sequence[bytes]) -> bytes:
    return b"".join(item + b"\n" for item in items)
