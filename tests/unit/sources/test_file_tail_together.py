"""Blocks of several streams in one poll: what is decoded together costs less."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.core.model import RawBatch

from .conftest import Run, Start, commit, lines, records, text

NAMES = ("a", "b", "c")


def files(folder: Path, count: int = 10) -> dict[str, list[bytes]]:
    """A log for each name; what stands in each."""
    told = {}
    for at, name in enumerate(NAMES):
        path = folder / name / "audit.log"
        path.parent.mkdir()
        told[str(path)] = list(lines(100 * at, count))
        path.write_bytes(text(told[str(path)]))
    return told


def all_of(run: Run, limit: int | None = None) -> Sequence[RawBatch]:
    return run.source.poll_all(limit, 0.0, {}) or ()


def test_small_files_come_together(tmp_path: Path, start: Start) -> None:
    """One poll brings a block of each stream, each once, and then there is nothing left."""
    told = files(tmp_path)
    run = start(tmp_path)
    taken = all_of(run)
    assert {batch.stream: records(batch) for batch in taken} == told
    assert (len(taken), list(all_of(run)), run.source.exhausted) == (3, [], True)


def test_a_limit_is_one_of_all(tmp_path: Path, start: Start) -> None:
    """With a limit the records of one stream come, no more than it allows."""
    told = files(tmp_path)
    run, got = start(tmp_path), []
    while taken := all_of(run, 7):
        assert (len(taken), len(taken[0]) <= 7) == (1, True)
        got += records(taken[0])
    assert got == [line for each in told.values() for line in each]


def test_what_is_large_comes_by_itself(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is taken once there are so many bytes."""
    monkeypatch.setattr("pipeline.sources.file_tail.source._TOGETHER", 300)
    told = files(tmp_path)
    size = len(text(next(iter(told.values()))))
    assert size < 300 < 2 * size
    run = start(tmp_path)
    assert [len(all_of(run)) for _ in range(3)] == [2, 1, 0]


def test_no_more_than_so_many_streams_come_at_once(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little is in each: every one of them keeps a buffer."""
    monkeypatch.setattr("pipeline.sources.file_tail.source._SIDE_BY_SIDE", 2)
    files(tmp_path)
    run = start(tmp_path)
    assert [len(all_of(run)) for _ in range(3)] == [2, 1, 0]


def test_each_may_be_given_back(tmp_path: Path, start: Start) -> None:
    """What the decoder could not finish of any of them comes again with what follows it."""
    told = files(tmp_path)
    run, got = start(tmp_path, block_bytes=100), dict.fromkeys(told, b"")
    for turn in range(100):
        taken = all_of(run)
        if not taken:
            break
        for batch in taken:
            consumed = len(batch) if batch.final or turn % 2 else len(batch) - 1
            if consumed < len(batch):
                run.source.rewind(batch, consumed)
            commit(run.positions, batch, consumed)
            got[batch.stream] += text(records(batch)[:consumed])
    assert run.source.exhausted
    assert got == {stream: text(each) for stream, each in told.items()}


def test_a_file_that_moves_between_two_of_them_is_read_by_the_next_poll(tmp_path: Path, start: Start) -> None:
    """Files are not looked for anew while it is open what was given back; nothing is lost by it."""
    told = files(tmp_path)
    run = start(tmp_path, follow=True)
    last = tmp_path / "c" / "audit.log"
    last.rename(last.with_name("audit.log.1"))
    last.write_bytes(text(lines(900, 3)))
    got: dict[str, list[bytes]] = {stream: [] for stream in told}
    for _ in range(20):
        for batch in all_of(run):
            got[batch.stream] += records(batch)
            commit(run.positions, batch, len(batch))
    told[str(last)] += lines(900, 3)
    assert got == told
