"""A disk that fails or turns read-only during a run, and a process out of file descriptors: it stops in order."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.crash.line_nursery import ROOT, Nursery
from tests.crash.line_story import BATCH, unlike, words, write_config
from tests.crash.test_line_disk_full import told_in_one_line
from tests.crash.test_line_follow import entries, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def bad_disk(home: Path) -> Iterator[Nursery]:
    """A nursery whose children write through `bad_disk.c`."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler to make a bad disk with")
    library = home / "bad_disk.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, ROOT / "tests/crash/bad_disk.c", "-ldl"], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(library))
        patch.setenv("BAD_DISK", str(home / "errno"))
        made = Nursery(home)
    with made:
        yield made


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """One with a bad disk."""
    with bad_disk(tmp_path_factory.mktemp("nursery")) as made:
        yield made


@pytest.mark.parametrize(
    ("number", "after"),
    [
        (errno.EIO, 0),
        (errno.EROFS, 300),
        pytest.param(errno.EIO, 300, marks=pytest.mark.slow),
        pytest.param(errno.EROFS, 0, marks=pytest.mark.slow),
    ],
)
def test_a_disk_that_fails(  # noqa: PLR0917
    nursery: Nursery, logs: Path, reference: Path, tmp_path: Path, number: int, after: int
) -> None:
    """The run ends with code 1 and one line that names the error; once the disk is well, it finishes what it began."""
    arguments = words(tmp_path, write_config(tmp_path, BATCH), logs)
    broken = nursery.home / "errno"
    child = nursery.start(*arguments)
    wait_until(lambda: (tmp_path / "lake" / "audit.duckdb").exists() and entries(tmp_path) >= after, child)
    broken.write_text(str(number))
    try:
        assert child.wait() == 1, child.text()
        assert told_in_one_line(child.text()), child.text()
        words_of_it = ("i/o error", "read-only", "readonly", "input/output error", "disk")
        assert any(told in child.text().lower() for told in words_of_it), child.text()
    finally:
        broken.unlink()
    child = nursery.start(*arguments)
    assert child.wait() in {0, 10}, child.text()
    assert unlike(tmp_path, reference) == []


@pytest.mark.parametrize("more", [14, *(pytest.param(more, marks=pytest.mark.slow) for more in (2, 8, 20))])
def test_no_file_descriptor_left(nursery: Nursery, logs: Path, reference: Path, tmp_path: Path, more: int) -> None:
    """The run ends with code 1 and one line, or comes through; with enough of them it finishes what it began."""
    arguments = words(tmp_path, write_config(tmp_path, BATCH), logs)
    held = max(int(name) for name in os.listdir(f"/proc/{nursery.pid}/fd"))
    child = nursery.start(*arguments, limits={"RLIMIT_NOFILE": held + 1 + more})
    assert child.wait() in {1} | ({0, 10} if more > 8 else set()), child.text()
    assert child.code != 1 or told_in_one_line(child.text()), child.text()
    child = nursery.start(*arguments)
    assert child.wait() in {0, 10}, child.text()
    assert unlike(tmp_path, reference) == []
