"""Memory stays flat whatever is read: measured as the peak resident size of a process of its own."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")

# VmHWM, not ru_maxrss: the latter keeps the peak of the process that started this one.
_MEASURED = r"""
import re, sys
from pipeline.sources.file_tail import Config, create
def peak():
    return int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) // 1024
source = create(Config(), sys.argv[1:], {}, follow=False, clock=lambda: 1)
before, rows, told = peak(), 0, []
while (batch := source.poll(20_000, 0, {})) is not None:
    rows += len(batch)
    told += [(item.size, item.sha256.hex(), len(batch.record(item.record))) for item in batch.oversize]
print(peak() - before, rows, told, source.exhausted)
"""


def _measure(path: Path) -> tuple[int, str]:
    """MiB by which the peak grew while reading, and the rest of what was found."""
    done = subprocess.run([sys.executable, "-c", _MEASURED, str(path)], capture_output=True, text=True, check=True)
    grown, _, rest = done.stdout.strip().partition(" ")
    return int(grown), rest


def _gzip(path: Path, piece: bytes, count: int) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(count):
            file.write(piece)


def _zstd(path: Path, piece: bytes, count: int) -> None:
    with path.open("wb") as raw, zstandard.ZstdCompressor().stream_writer(raw) as file:
        for _ in range(count):
            file.write(piece)


def test_a_line_of_50_mb_is_streamed_past(tmp_path: Path) -> None:
    """It takes no more memory than the cap, and its neighbours are read as ever."""
    line = b"x" * 50_000_000
    path = tmp_path / "main.log"
    path.write_bytes(b"before\n" + line + b"\nafter\n")
    grown, rest = _measure(path)
    assert rest == f"3 {[(len(line), hashlib.sha256(line).hexdigest(), 1 << 16)]} True"
    assert grown < 40


@pytest.mark.parametrize(("name", "write"), [("main.log.gz", _gzip), ("main.log.zst", _zstd)])
def test_a_bomb_of_zeros_is_one_oversize_record(tmp_path: Path, name: str, write: object) -> None:
    """A small file that unpacks to 300 MiB without a line end is never held whole."""
    assert callable(write)
    piece, count = bytes(1 << 20), 300
    path = tmp_path / name
    write(path, piece, count)
    assert path.stat().st_size < 3 << 20
    grown, rest = _measure(path)
    digest = hashlib.sha256()
    for _ in range(count):
        digest.update(piece)
    assert rest == f"1 {[(count << 20, digest.hexdigest(), 1 << 16)]} True"
    assert grown < 60


def test_a_bomb_of_line_ends_is_indexed_in_parts(tmp_path: Path) -> None:
    """Sixty-seven million empty records would need gigabytes of index at once."""
    path = tmp_path / "main.log.gz"
    _gzip(path, b"\n" * (1 << 20), 64)
    grown, rest = _measure(path)
    assert rest == f"{64 << 20} [] True"
    assert grown < 70
