"""What is printed into a pipe that somebody closes: the process ends at once, without a word, as if by SIGPIPE."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from pipeline.core.clock import system_clock
from pipeline.store import Lake, StoreConfig
from tests.processes import start

HUNG_UP = 128 + signal.SIGPIPE


@pytest.mark.parametrize(
    ("words", "read"),
    [(("query", "SELECT * FROM range(100000)"), 1), (("query", "SELECT 1"), 0), (("run", "--help"), 0)],
)
def test_whoever_reads_wants_no_more(words: tuple[str, ...], read: int, tmp_path: Path) -> None:
    """After the first line of much, or before any of little."""
    Lake.open(tmp_path / "lake", StoreConfig(), writer=True, clock=system_clock).close()
    process = start(*words, home=tmp_path)
    assert process.stdout is not None
    assert process.stderr is not None
    for _ in range(read):
        assert process.stdout.readline()
    process.stdout.close()
    with process.stderr as told:
        assert told.read() == ""
    assert process.wait(60) == HUNG_UP
