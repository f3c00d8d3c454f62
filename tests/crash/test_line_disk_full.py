"""A full disk: the run stops in order and says so in one line; with room again, it is as if nothing had been."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.crash.line_nursery import Nursery
from tests.crash.line_story import BATCH, sent, unlike, words, write_config
from tests.lakes import view

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own in `folder`; skips where none may be mounted."""
    folder.mkdir(parents=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("a file system can only be mounted by root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def enlarge(folder: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


def told_in_one_line(text: str) -> bool:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("left out")]
    return len(lines) == 1 and lines[0].startswith("keytrail: ")


@pytest.mark.parametrize(
    "size", ["1300k", *(pytest.param(size, marks=pytest.mark.slow) for size in ("160k", "600k", "1900k"))]
)
def test_no_room_for_the_lake(nursery: Nursery, logs: Path, reference: Path, tmp_path: Path, size: str) -> None:
    """The run ends with code 1 and one line; run again, the same; with more room it finishes what it began."""
    write_config(tmp_path, BATCH)
    arguments = words(tmp_path, tmp_path / "keytrail.toml", logs)
    with small_disk(tmp_path / "lake", size):
        for _ in range(2):
            child = nursery.start(*arguments)
            assert child.wait() == 1, child.text()
            assert told_in_one_line(child.text()), child.text()
            assert any(words in child.text().lower() for words in ("no space left", "disk is full"))
        enlarge(tmp_path / "lake", "200m")
        child = nursery.start(*arguments)
        assert child.wait() in {0, 10}, child.text()
        assert unlike(tmp_path, reference) == []


def test_files_may_not_grow(nursery: Nursery, logs: Path, reference: Path, tmp_path: Path) -> None:
    """The same where files, not the disk, have come to their limit."""
    write_config(tmp_path, BATCH)
    arguments = words(tmp_path, tmp_path / "keytrail.toml", logs)
    child = nursery.start(*arguments, limits={"RLIMIT_FSIZE": 120_000})
    assert child.wait() == 1, child.text()
    assert told_in_one_line(child.text()), child.text()
    child = nursery.start(*arguments)
    assert child.wait() in {0, 10}, child.text()
    assert unlike(tmp_path, reference) == []


@pytest.mark.slow
def test_no_room_for_the_sink(nursery: Nursery, logs: Path, reference: Path, tmp_path: Path) -> None:
    """Alerts that cannot be written stay in the outbox, the lake is whole; with room they all arrive."""
    config = write_config(tmp_path, BATCH)
    disk = tmp_path / "disk"
    config.write_text(
        config.read_text("utf-8").replace(str(tmp_path / "siem.jsonl"), str(disk / "siem.jsonl")), "utf-8"
    )
    with small_disk(disk, "4k"):
        child = nursery.start(*words(tmp_path, config, logs))
        assert child.wait() in {0, 10}, child.text()
        assert "Traceback" not in child.text()
        assert len(view(tmp_path / "lake", "alerts")) == len(view(reference / "lake", "alerts"))
        enlarge(disk, "20m")
        child = nursery.start(*words(tmp_path, config, logs))
        assert child.wait() in {0, 10}, child.text()
        (tmp_path / "siem.jsonl").write_bytes((disk / "siem.jsonl").read_bytes())
    assert sent(tmp_path) == sent(reference)


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system can only be mounted by root")
def test_no_room_for_the_key(nursery: Nursery, logs: Path, tmp_path: Path) -> None:
    """Without room for the signing key nothing is read, and it is said which file could not be made."""
    config = write_config(tmp_path, BATCH)
    with small_disk(tmp_path / "keys", "4k"):
        (tmp_path / "keys" / "full").write_bytes(b"x" * 4096)
        child = nursery.start(*words(tmp_path, config, logs))
        assert child.wait() in {1, 2}, child.text()
        assert told_in_one_line(child.text()), child.text()
