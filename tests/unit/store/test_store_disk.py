"""A disk that is full or fails: a limit on file size stands in for it where no small file system can be mounted."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.core.errors import StoreError
from pipeline.store import Lake, StoreConfig, query
from tests.unit.store.store_frames import alert, commit_of, events, operations, raw, slis

CONFIG = StoreConfig(publish_seconds=0)
NOW = 1_800_000_000_000_000_000


def writer(path: Path, config: StoreConfig = CONFIG) -> Lake:
    lake = Lake.open(path, config, writer=True, clock=lambda: NOW)
    lake.set_sinks(["siem"])
    return lake


def fill(lake: Lake, numbers: range, size: int = 200) -> None:
    lake.write("events", events(numbers))
    lake.write("operations", operations(numbers))
    lake.write("raw", raw(numbers, size))


def offset(lake: Lake) -> int:
    return sum(place.offset for place in lake.positions())


def leaves(path: Path) -> list[int]:
    return list(query(path, "SELECT leaf_index FROM events ORDER BY 1")["leaf_index"].to_pylist())


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow past `size` bytes: write fails as on a full disk (EFBIG for ENOSPC)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("size", [0, 1_000, 30_000, 150_000])
def test_a_file_that_cannot_grow_fails_the_commit_and_nothing_else(tmp_path: Path, size: int) -> None:
    """Wherever writing stops, the previous commit stands whole, and the reopened lake goes on from it."""
    path = tmp_path / "lake"
    with writer(path) as lake:
        fill(lake, range(10))
        lake.commit(commit_of(10))
        fill(lake, range(10, 5_000))
        with largest_file(size), pytest.raises(StoreError):
            lake.commit(commit_of(5_000, revise={"slis": slis(range(5))}, messages=[alert("a", 1)]))
        with pytest.raises(StoreError, match="open it again"):
            lake.commit(commit_of(5_000))
    with writer(path) as lake:
        assert (offset(lake), lake.pending("siem", 1, NOW), leaves(path)) == (10, [], list(range(10)))
        named = {file.segment.path for file in lake._catalogue.files()}
        assert {str(p.relative_to(path)) for p in path.rglob("*.parquet")} == named
        fill(lake, range(10, 20))
        lake.commit(commit_of(20))
        assert leaves(path) == list(range(20))


def test_a_full_disk_loses_nothing(small_disk: Path) -> None:
    """On a disk that fills up each commit holds whole or fails whole; with space again it goes on, nothing twice."""
    path = small_disk / "lake"
    done = 0
    failures = 0
    writer(path).close()
    ballast = small_disk / "ballast"
    for round_ in range(6):
        with writer(path) as lake:
            assert offset(lake) == done
            assert len(leaves(path)) == done
            try:
                while True:
                    fill(lake, range(done, done + 400), 2_000)
                    lake.commit(commit_of(done + 400, messages=[alert(f"a{done}", 1)], revise={"slis": slis(range(1))}))
                    done += 400
                    if done % 1_200 == 0:
                        ballast.write_bytes(b"\1" * free(small_disk, all_but=100_000 + 30_000 * round_))
            except (StoreError, OSError):
                failures += 1
        ballast.unlink(missing_ok=True)
    assert failures == 6
    with writer(path) as lake:
        assert offset(lake) == done > 0
        assert leaves(path) == list(range(done))
        assert lake.depth("siem") == done // 400
        fill(lake, range(done, done + 10))
        lake.commit(commit_of(done + 10))
        assert len(leaves(path)) == done + 10


def free(folder: Path, *, all_but: int) -> int:
    return max(0, shutil.disk_usage(folder).free - all_but)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "keytrail", str(place)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {made.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)
