"""How far one file is read, and how much of it at a time."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import Final

from pipeline.sources.file_tail.look import Status

ALL: Final = sys.maxsize


@dataclass(frozen=True, slots=True)
class Rules:
    """What all files of a source are read by. A block is the records that begin in [k*block, (k+1)*block)."""

    block: int
    cap: int
    follow: bool
    settle_seconds: float


@dataclass(slots=True)
class Block:
    """Which records belong to the block being read. It grows by a block when its last records were given back."""

    size: int
    end: int
    done: bool = False

    def advance(self, position: int) -> None:
        if self.done or position >= self.end:
            self.end = (max(position, self.end) // self.size + 1) * self.size
            self.done = False


@dataclass(slots=True)
class Asked:
    """What the decoder gave back: `refused` records are not worth showing again before there are more."""

    refused: int = 0
    want: int = 0


@dataclass(slots=True)
class End:
    """What is known of the end: `reached` means that nothing will be added to what is cut already."""

    pin: int  # a run that ends reads the records that begin before this
    reached: bool = False
    closing: bool = False  # a rotated file, left alone long enough: its unterminated rest is a record
    damage: str = ""
    stalled: Status | None = None  # a compressed file that ends early, as it was then: it may still be written
    grown: float = field(default_factory=time.monotonic)
