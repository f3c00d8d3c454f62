"""Small files of one folder are read in one go beside other streams: a poll costs much, however little it brings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.core.model import RawBatch

from .conftest import Run, Start, commit, lines, records, text

HOURS, DAYS, ACCOUNTS = 6, 2, ("111122223333", "444455556666")


def trails(folder: Path) -> dict[str, list[bytes]]:
    """Files of six hours in folders of two days, as a cloud exports them; what stands in each, in order."""
    told = {}
    for at, account in enumerate(ACCOUNTS):
        for n in range(HOURS * DAYS):
            day, hour = n // HOURS + 1, n % HOURS
            name = f"{account}_CloudTrail_eu-west-1_202603{day:02d}T{hour:02d}00Z_{n:016d}.json"
            path = folder / account / "2026" / "03" / f"{day:02d}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            told[str(path)] = list(lines(1000 * at + 10 * n, 4))
            path.write_bytes(text(told[str(path)]))
    return told


def progress(got: Sequence[RawBatch]) -> dict[str, int]:
    """How far each stream is, as the numbers in its records tell."""
    told: dict[str, int] = {}
    for batch in got:
        told[batch.stream] = told.get(batch.stream, 0) + len(batch)
    return told


def order(run: Run, before: Sequence[RawBatch] = (), limit: int | None = None, most: int = 1000) -> list[RawBatch]:
    """Batches until nothing is left, or there are `most`, each committed."""
    got: list[RawBatch] = []
    while len(got) < most:
        taken = run.source.poll_all(limit, 0.0, progress([*before, *got])) or ()
        if not taken:
            return got
        for batch in taken[: most - len(got)]:
            commit(run.positions, batch, len(batch))
            got.append(batch)
    return got


def told(batches: Sequence[RawBatch]) -> list[bytes]:
    return [line for batch in batches for line in records(batch)]


def test_a_day_comes_in_one_go(tmp_path: Path, start: Start) -> None:
    """The first poll brings the first day of both, and then the days take turns."""
    every = trails(tmp_path)
    run = start(tmp_path)
    first = run.source.poll_all(None, 0.0, {}) or ()
    assert len(first) == HOURS * len(ACCOUNTS)
    polls = [len(run.source.poll_all(None, 0.0, progress(first)) or ()) for _ in range(3)]
    assert polls == [HOURS, HOURS, 0]
    assert len(every) == len(first) + sum(polls)


def test_the_order_is_that_of_single_records(tmp_path: Path, start: Start) -> None:
    """A limit changes nothing of it, nor does how much comes at once."""
    every = trails(tmp_path)
    whole = told(order(start(tmp_path)))
    assert sorted(whole) == sorted(line for each in every.values() for line in each)
    assert told(order(start(tmp_path), limit=3)) == whole


@pytest.mark.parametrize("most", range(1, HOURS * DAYS * len(ACCOUNTS)))
def test_a_lot_that_was_broken_off_is_read_to_its_end_first(tmp_path: Path, start: Start, most: int) -> None:
    """Wherever a run ends, the next one goes on as this one would have."""
    trails(tmp_path)
    whole = told(order(start(tmp_path)))
    run = start(tmp_path)
    begun = order(run, most=most)
    run.source.close()
    assert told(begun) + told(order(start(tmp_path, positions=run.positions), before=begun)) == whole


def test_a_lot_is_small(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """By bytes and by files."""
    trails(tmp_path)
    monkeypatch.setattr("pipeline.sources.file_tail.stream._LOT_FILES", 4)
    first = start(tmp_path).source.poll_all(None, 0.0, {}) or ()
    assert len(first) == 4 * len(ACCOUNTS)
    monkeypatch.setattr("pipeline.sources.file_tail.stream._LOT_BYTES", 1)
    first = start(tmp_path).source.poll_all(None, 0.0, {}) or ()
    assert len(first) == len(ACCOUNTS)


def test_what_is_given_back_comes_before_the_rest_of_the_lot(tmp_path: Path, start: Start) -> None:
    """A decoder that did not finish a file's last record gets it again, and all that follows once."""
    every = trails(tmp_path)
    run, got = start(tmp_path, block_bytes=64), {account: list[bytes]() for account in ACCOUNTS}
    for turn in range(500):
        taken = run.source.poll_all(None, 0.0, {}) or ()
        if not taken:
            break
        for batch in taken:
            consumed = len(batch) if batch.final or turn % 2 else len(batch) - 1
            if consumed < len(batch):
                run.source.rewind(batch, consumed)
            got[next(account for account in ACCOUNTS if account in batch.stream)] += records(batch)[:consumed]
    assert run.source.exhausted
    for account in ACCOUNTS:
        assert got[account] == [line for path, each in every.items() if account in path for line in each]


def test_a_file_without_records_ends_no_lot(tmp_path: Path, start: Start) -> None:
    """An empty file among them changes nothing of the order, wherever a run ends."""
    every = trails(tmp_path)
    Path([*every][2]).write_bytes(b"")
    whole = order(start(tmp_path))
    for most in range(1, len(whole)):
        run = start(tmp_path)
        begun = order(run, most=most)
        run.source.close()
        assert told(begun) + told(order(start(tmp_path, positions=run.positions), before=begun)) == told(whole)


def test_logs_of_several_blocks_take_turns_wherever_a_run_ends(tmp_path: Path, start: Start) -> None:
    """A log that rests between two blocks was not broken off."""
    for n, name in enumerate(("a", "b", "c")):
        (tmp_path / f"{name}.log").write_bytes(text(lines(1000 * n, 60)))
    whole = order(start(tmp_path, block_bytes=256))
    assert len(whole) > 10
    for most in range(1, len(whole)):
        run = start(tmp_path, block_bytes=256)
        begun = order(run, most=most)
        run.source.close()
        rest = order(start(tmp_path, positions=run.positions, block_bytes=256), before=begun)
        assert told(begun) + told(rest) == told(whole)


def test_a_file_that_is_gone_when_its_lot_goes_on_is_no_error(tmp_path: Path, start: Start) -> None:
    """The file just read and the next one are deleted: the rest is read, and what is missing is told."""
    every = trails(tmp_path)
    paths = [*every]
    run = start(tmp_path)
    first = run.source.poll(None, 0.0, {})
    assert first is not None
    for path in paths[:2]:
        Path(path).unlink()
    run.source._scan()
    got = records(first) + told(order(run, before=[first]))
    assert sorted(got) == sorted(line for path in (paths[0], *paths[2:]) for line in every[path])
