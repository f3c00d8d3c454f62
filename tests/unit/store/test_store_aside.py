"""Upkeep of a lake with a ledger: commits do not wait for it, and exchange what it has made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl
import pytest

from pipeline.core.errors import StoreError
from pipeline.store import Lake, StoreConfig, query
from pipeline.store.compact import Compactor
from tests.unit.store.store_frames import at, commit_of, events, operations, raw
from tests.unit.store.test_store_upkeep import Clock

CONFIG = StoreConfig(publish_seconds=0, compact_files=3, fold_files=3)


class Sealed:
    """Commits under a ledger; `named` are the files that it knows, as it was told."""

    def __init__(self) -> None:
        self.named: set[str] = set()
        self.count = 0

    def commit(self, lake: Lake, numbers: range, *, wait: bool = True) -> None:
        lake.take_up(wait=wait)
        lake.write("events", events(numbers))
        lake.write("operations", operations(numbers))
        lake.write("raw", raw(numbers))
        lake.commit(commit_of(numbers.stop, seal=self.seal))

    def seal(
        self, came: Sequence[str], went: Sequence[str], found: Sequence[str], merged: Mapping[str, str]
    ) -> dict[str, int]:
        assert merged.keys() <= set(went)
        self.named = (self.named | set(came)) - set(went)
        self.count += 1
        return {"size": self.count}


class Gate:
    """Holds merging up until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.reached = threading.Event(), threading.Event()
        run: Callable[..., int] = Compactor.run

        def held(compactor: Compactor, *args: object, **more: object) -> int:
            self.reached.set()
            assert self.open.wait(30)
            return run(compactor, *args, **more)

        monkeypatch.setattr(Compactor, "run", held)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    held = Gate(monkeypatch)
    yield held
    held.open.set()


def live(lake: Lake) -> set[str]:
    return {file.segment.path for file in lake._catalogue.files()}


def fill(lake: Lake, sealed: Sealed, *, first: int, count: int, wait: bool = True) -> None:
    """So many commits, each when the upkeep after the one before is through, or not."""
    for start in range(first, first + 10 * count, 10):
        sealed.commit(lake, range(start, start + 10), wait=wait)


def numbers(lake: Path) -> list[int]:
    return [row["leaf_index"] for row in query(lake, "SELECT leaf_index FROM events ORDER BY 1").to_pylist()]


def test_commits_go_on_while_files_are_merged(tmp_path: Path, gate: Gate) -> None:
    """None waits, none sees a file half made; once merging is through, the next commit makes the exchange."""
    sealed = Sealed()
    with Lake.open(tmp_path / "lake", CONFIG, writer=True, clock=Clock()) as lake:
        fill(lake, sealed, first=0, count=4)
        assert gate.reached.wait(30)
        fill(lake, sealed, first=40, count=3, wait=False)
        assert (len(live(lake)), live(lake) == sealed.named) == (21, True)
        gate.open.set()
        lake.take_up(wait=True)
        assert (len(live(lake)), lake.unsealed()) == (21, True)
        fill(lake, sealed, first=70, count=1)
        assert (len(live(lake)) < 21, live(lake) == sealed.named) == (True, True)
        assert lake.upkeep_failure == ""
    assert numbers(tmp_path / "lake") == list(range(80))


def test_a_lake_that_is_closed_meanwhile_keeps_its_files_and_nothing_else(tmp_path: Path, gate: Gate) -> None:
    """What was made and not exchanged is removed; every row is there once."""
    sealed, path = Sealed(), tmp_path / "lake"
    lake = Lake.open(path, CONFIG, writer=True, clock=Clock())
    fill(lake, sealed, first=0, count=4)
    assert gate.reached.wait(30)
    expected = live(lake)
    gate.open.set()
    lake.close()
    assert {str(file.relative_to(path)) for file in path.glob("data/*/*.parquet")} == expected
    assert numbers(path) == list(range(40))


def test_retention_comes_about_though_every_commit_corrects_something(tmp_path: Path) -> None:
    """What came while replacement rows were folded in does not put it off again."""
    sealed, clock = Sealed(), Clock()
    config = StoreConfig(publish_seconds=0, compact_files=10_000, fold_files=10_000, retention_days=1)
    with Lake.open(tmp_path / "lake", config, writer=True, clock=clock) as lake:
        clock.now = at(100) * 1000 + 86_400 * 10**9  # what is older than number 100 is past its time
        for turn in range(8):
            lake.take_up(wait=True)
            written = range(200 * turn, 200 * turn + 200)
            lake.write("events", events(written))
            lake.write("operations", operations(written))
            changed = operations(range(300, 320)).with_columns(outcome=pl.lit(f"turn {turn}"))
            lake.commit(commit_of(turn, seal=sealed.seal, expired=lake.expired(), revise={"operations": changed}))
        assert lake.upkeep_failure == ""
    assert min(numbers(tmp_path / "lake")) == 100


def test_what_was_made_is_undone_when_another_worker_has_come(tmp_path: Path, gate: Gate) -> None:
    """He may have merged the same files: what is exchanged under several workers is exchanged at once."""
    sealed, path = Sealed(), tmp_path / "lake"
    with Lake.open(path, CONFIG, writer=True, clock=Clock()) as lake:
        fill(lake, sealed, first=0, count=4)
        assert gate.reached.wait(30)
        before = live(lake)
        with Lake.open(path, CONFIG, writer=True, clock=Clock(), worker="other"):
            gate.open.set()
            lake.take_up(wait=True)
            assert (lake.unsealed(), live(lake)) == (False, before)
            assert {str(file.relative_to(path)) for file in path.glob("data/*/*.parquet")} == before
            fill(lake, sealed, first=40, count=1)
        assert lake.upkeep_failure == ""
    assert numbers(path) == list(range(50))


def test_an_error_nobody_foresaw_is_raised_once_and_the_lake_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends what was at work, leaves no file behind, and neither the lake's lock nor its threads."""

    def mistaken(*_: object, **__: object) -> int:
        raise ZeroDivisionError

    sealed, path, threads = Sealed(), tmp_path / "lake", set(threading.enumerate())
    lake = Lake.open(path, CONFIG, writer=True, clock=Clock())
    monkeypatch.setattr(Compactor, "run", mistaken)
    fill(lake, sealed, first=0, count=3)
    sealed.commit(lake, range(30, 40))
    with pytest.raises(ZeroDivisionError):
        lake.take_up(wait=True)
    lake.take_up(wait=True)
    sealed.commit(lake, range(40, 50))
    with pytest.raises(ZeroDivisionError):
        lake.close()
    assert set(threading.enumerate()) <= threads
    with Lake.open(path, CONFIG, writer=True, clock=Clock()) as again:
        assert live(again) == sealed.named
    assert numbers(path) == list(range(50))


def test_a_failure_aside_is_told_and_stops_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files stay as they are; a minute later it is tried again."""

    def failing(*_: object, **__: object) -> int:
        raise StoreError("no room for the merged file")

    sealed, clock = Sealed(), Clock()
    with Lake.open(tmp_path / "lake", CONFIG, writer=True, clock=clock) as lake:
        with monkeypatch.context() as patch:
            patch.setattr(Compactor, "run", failing)
            fill(lake, sealed, first=0, count=5)
            lake.take_up(wait=True)
            assert (lake.upkeep_failure, lake.upkeep_failures) == ("no room for the merged file", 1)
        clock.now += 61 * 10**9
        fill(lake, sealed, first=50, count=1)
        lake.take_up(wait=True)
        fill(lake, sealed, first=60, count=1)
        assert (lake.upkeep_failure, live(lake) == sealed.named) == ("", True)
        assert len(live(lake)) < 21
    assert numbers(tmp_path / "lake") == list(range(70))
