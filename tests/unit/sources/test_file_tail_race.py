"""A writer and a rotator at work while the log is followed and its reader is restarted."""

from __future__ import annotations

import gzip
import threading
import time
from pathlib import Path

import pytest

from .conftest import Start, lines

COUNT = 6000


def _write_and_rotate(path: Path) -> None:
    """Writes as a server does, reopening by name after a rotation, and rotates as logrotate with delaycompress."""
    file = path.open("ab", buffering=0)
    for number, line in enumerate(lines(0, COUNT, 200)):
        file.write(line + b"\n")
        if number % 23 == 0:
            time.sleep(0.001)
        if number % 500 == 250:
            for old in range(COUNT // 500, 0, -1):
                for suffix in ("", ".gz"):
                    source = Path(f"{path}.{old}{suffix}")
                    if source.exists():
                        source.rename(f"{path}.{old + 1}{suffix}")
            path.rename(f"{path}.1")
            path.touch()
            second = Path(f"{path}.2")
            if second.exists():
                with gzip.open(f"{second}.gz", "wb") as packed:
                    packed.write(second.read_bytes())
                second.unlink()
        if number % 500 == 260:
            file.close()
            file = path.open("ab", buffering=0)  # what was written since the rename is in the old file
    file.close()


@pytest.mark.parametrize("by_folder", [True, False])
def test_nothing_is_lost_or_doubled_while_files_move_under_the_reader(
    tmp_path: Path, start: Start, by_folder: bool
) -> None:
    """Each line arrives once although renames and compression fall into the middle of looks, reads and restarts."""
    path = tmp_path / "main.log"
    path.write_bytes(b"first\n")
    given = tmp_path if by_folder else path
    run = start(given, follow=True)
    got = run.read()
    writer = threading.Thread(target=_write_and_rotate, args=(path,))
    writer.start()
    begun = time.monotonic()
    while writer.is_alive() and time.monotonic() - begun < 60:
        got += run.read(50)
        run.source.close()
        run = start(given, positions=run.positions, follow=True)
    writer.join()
    got += run.read()
    assert sorted(got) == sorted([b"first", *lines(0, COUNT, 200)])
    assert run.source.faults == []
