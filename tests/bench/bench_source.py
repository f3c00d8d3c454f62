"""How much the source costs per entry: `python tests/bench/bench_source.py [ENTRIES] [BYTES]`.

Prints µs per entry and MB/s, best of five, for a plain file read whole, in batches, under follow's checks, and packed.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
import time
from pathlib import Path

import zstandard

from pipeline.sources.file_tail import Config, create


def generate(path: Path, entries: int, size: int) -> None:
    """Lines of about `size` bytes that differ, as audit entries do."""
    with path.open("wb") as file:
        for number in range(entries):
            file.write(
                f'{{"time":"{number:012d}","pad":"'.encode().ljust(size - 3, b"0123456789abcdef"[number % 16 :][:1])
            )
            file.write(b'"}\n')


def read(path: Path, limit: int | None, *, follow: bool = False) -> float:
    """Seconds to read the file to its end."""
    source = create(Config(), [str(path)], {}, follow=follow, clock=time.time_ns)
    begun = time.perf_counter()
    while source.poll(limit, 0, {}) is not None:
        pass
    seconds = time.perf_counter() - begun
    source.close()
    return seconds


def main(entries: int = 300_000, size: int = 1500) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "audit.log"
        generate(plain, entries, size)
        data = plain.read_bytes()
        packed = [Path(folder) / "audit.json.gz", Path(folder) / "audit.json.zst"]
        packed[0].write_bytes(gzip.compress(data, 6))
        packed[1].write_bytes(zstandard.ZstdCompressor().compress(data))
        for title, path, limit, follow in (
            ("plain, whole blocks", plain, None, False),
            ("plain, 20 000 a batch", plain, 20_000, False),
            ("plain, 1 000 a batch", plain, 1_000, False),
            ("plain, followed", plain, 20_000, True),
            ("gzip", packed[0], 20_000, False),
            ("zstd", packed[1], 20_000, False),
        ):
            seconds = min(read(path, limit, follow=follow) for _ in range(5))
            print(f"{title:24}{seconds / entries * 1e6:8.3f} µs/entry{len(data) / seconds / 1e6:10.0f} MB/s")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
