"""What it costs to decode entries of each store: python -m tests.bench.bench_formats [entries]

The lines of the decoders' own cases that are one entry each, repeated, as lines and as one document of one line, by
a decoder of all formats and, for comparison, by one of their own format alone. Best of three; CPU counts all threads.
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core import plugins
from pipeline.decoders import together
from tests.decoding import batch_of

if TYPE_CHECKING:
    from pipeline.core.model import RawBatch
    from pipeline.core.ports import Decoder

ROOM = "pipeline.decoders"
ROUNDS = 3


def alone(kind: str) -> Decoder:
    """The decoder of one format."""
    module = plugins.load(ROOM, kind)
    made: Decoder = module.create(module.Config())
    return made


def lines(kind: str) -> list[bytes]:
    """The lines of a format's cases that are one entry each, without what would be taken out of them."""
    decoder = alone(kind)
    cases = sorted(Path(str(importlib.import_module(f"{ROOM}.{kind}").__file__)).parent.glob("cases/*.in"))
    found = []
    for line in (line for case in cases for line in case.read_bytes().splitlines()):
        decoded = decoder.decode(batch_of(line))
        if len(decoded.events) == len(decoded.pieces.starts) == 1 and not decoded.replaced:
            found.append(line)
    return found


def cost(decoder: Decoder, batch: RawBatch, entries: int) -> str:
    """Entries a second and CPU µs an entry."""
    wall = cpu = float("inf")
    for _ in range(ROUNDS):
        begun, used = time.perf_counter(), time.process_time()
        decoded = decoder.decode(batch)
        wall, cpu = min(wall, time.perf_counter() - begun), min(cpu, time.process_time() - used)
        assert len(decoded.events) == entries
    return f"{entries / wall:9,.0f} entries/s {cpu / entries * 1e6:7.1f} µs CPU"


def main(entries: int) -> None:
    """Print a table."""
    kinds = plugins.kinds(ROOM)
    everything = together([plugins.load(ROOM, kind).format_of(plugins.load(ROOM, kind).Config()) for kind in kinds])
    for kind in kinds:
        some = lines(kind)
        many = (some * (entries // len(some) + 1))[:entries]
        size = sum(map(len, many)) / entries
        listed = batch_of(b"\n".join(many))
        print(f"{kind}, {size:,.0f} bytes an entry")
        print(f"  lines, all formats   {cost(everything, listed, entries)}")
        print(f"  lines, this format   {cost(alone(kind), listed, entries)}")
        if kind != "vault":
            document = batch_of(b'{"Records":[' + b",".join(many) + b"]}")
            print(f"  one document         {cost(everything, document, entries)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
