"""Many files at once: waited for together where the system can say that it failed, else one by one."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

import pytest

from pipeline.core.errors import StoreError
from pipeline.ledger import files

MANY = [(f"tile/0/{number:03d}", bytes([number]) * 100) for number in range(20)]


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was waited for by itself, as it was waited for."""
    seen: list[str] = []
    fsync = os.fsync

    def watched(handle: int) -> None:
        seen.append(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    return seen


def test_many_files_are_waited_for_together_and_then_their_folder(tmp_path: Path, synced: list[str]) -> None:
    """Here, on a Linux that can."""
    assert files._syncfs is not None
    files.write_all(tmp_path, MANY)
    assert synced == [str(tmp_path / name) for name in ("tile/0", "tile", "")]
    assert {name: (tmp_path / name).read_bytes() for name, _ in MANY} == dict(MANY)


@pytest.mark.parametrize("count", [1, files._FEW, len(MANY)])
def test_each_is_waited_for_where_they_cannot_be_together(
    tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Few anyhow, many on a system without a syncfs that tells of failures."""
    if count > files._FEW:
        monkeypatch.setattr(files, "_syncfs", None)
    files.write_all(tmp_path, MANY[:count])
    assert synced[: count + 1] == [*(str(tmp_path / name) for name, _ in MANY[:count]), str(tmp_path / "tile/0")]


def test_what_could_not_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of the wait for all is one of the commit."""

    def failing(_: int) -> int:
        ctypes.set_errno(errno.EIO)
        return -1

    monkeypatch.setattr(files, "_syncfs", failing)
    with pytest.raises(StoreError, match="could not be written"):
        files.write_all(tmp_path, MANY)
