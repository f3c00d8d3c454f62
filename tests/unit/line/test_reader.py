"""Which streams count as live: those that may still bring what belongs before the others' newest entries."""

from __future__ import annotations

import itertools
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from pipeline.core.clock import system_clock
from pipeline.core.errors import SourceError
from pipeline.decoders import vault
from pipeline.enrich import create
from pipeline.parts import Quiet, Taken
from pipeline.reader import Reader
from pipeline.sources import file_tail
from tests.scenarios.vault_lines import pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pipeline.core.model import RawBatch


def taken(folder: Path, patience: float, *, follow: bool, more: Callable[[], object] | None = None) -> list[Taken]:
    """The batches of a folder, until nothing more comes; `more` is called once when all is read, and may write."""
    config = file_tail.Config(poll_seconds=0.01)
    source = file_tail.create(config, [str(folder)], {}, follow=follow, clock=system_clock)
    reader = Reader(source, vault.create(vault.Config()), None, 0.05, {}, resolve=create().resolve, patience=patience)
    found: list[Taken] = []
    known = 0  # batches taken before `more` wrote; however slow the machine, what it wrote is waited for
    try:
        for item in reader.batches():
            if isinstance(item, list):
                found += item
            elif isinstance(item, Quiet) and len(found) > known:
                if more is None:
                    break
                more()
                more, known = None, len(found)
    finally:
        source.close()
    return found


def live(item: Taken) -> dict[str, bool]:
    return {stream.rpartition("/")[2]: alive for stream, alive in item.live.items()}


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two short logs of the same hour."""
    (tmp_path / "a.log").write_bytes(pairs(range(5)))
    (tmp_path / "b.log").write_bytes(pairs(range(5), start=600))
    return tmp_path


def test_a_run_that_ends_waits_for_nobody(two: Path) -> None:
    """Read once, a file that is at its end brings nothing more."""
    assert live(taken(two, 0.0, follow=False)[-1]) == {"a.log": False, "b.log": False}


def test_a_followed_stream_is_waited_for(two: Path) -> None:
    """Followed, a file at its end counts as live while it has not been silent for long."""
    assert live(taken(two, 60.0, follow=True)[-1]) == {"a.log": True, "b.log": True}


def test_a_silent_stream_is_not_waited_for(two: Path) -> None:
    """One that has been silent for longer than the patience holds nobody back."""
    assert live(taken(two, 0.0, follow=True)[-1]) == {"a.log": False, "b.log": False}


class GoingOn(file_tail.FileTail):
    """Two followed devices that are written on by the second, `pace` seconds of its own time to `a`, one to `b`."""

    def __init__(self, folder: Path, lag: float, pace: float, seconds: int) -> None:
        self.folder, self.lag, self.pace, self.second, self.end = folder, lag, pace, 0, seconds
        self._go_on()
        super().__init__(file_tail.Config(), [str(folder)], {}, system_clock, follow=True)

    def poll(self, limit: int | None, timeout: float, progress: Mapping[str, int]) -> RawBatch | None:
        batch = super().poll(limit, 0, progress)
        if batch is None and self.second < self.end:
            self._go_on()
            batch = super().poll(limit, 0, progress)
        return batch

    def _go_on(self) -> None:
        numbers = range(20 * self.second, 20 * self.second + 20)
        for name, start, pace in (
            ("a.log", self.second * self.pace - self.lag, self.pace),
            ("b.log", self.second, 1.0),
        ):
            with (self.folder / name).open("ab") as file:
                file.write(pairs(numbers, start=start, step=pace / 20))
        self.second += 1


def waited_for(source: GoingOn) -> list[bool]:
    """Of every batch, whether `a` is waited for behind it; the patience is two seconds."""
    reader = Reader(
        source, vault.create(vault.Config()), None, 0.0, {}, resolve=create().resolve, patience=2.0,
        steady=lambda: float(source.second),
    )  # fmt: skip
    found: list[bool] = []
    for item in reader.batches():
        if isinstance(item, list):
            found += [live(one)["a.log"] for one in item]
        elif source.second == source.end:
            break
    source.close()
    return found


HOUR, YEAR = 3600.0, 365 * 86_400.0


@pytest.mark.parametrize(("lag", "pace"), [(YEAR, 1.0), (10 * HOUR, 1.0), (YEAR, 5.0), (10 * HOUR, 5.0)])
def test_a_stream_of_another_time_is_not_waited_for(tmp_path: Path, lag: float, pace: float) -> None:
    """A followed stream whose clock stays behind, or would take long to come, is waited for a moment and no longer."""
    found = waited_for(GoingOn(tmp_path, lag, pace, 12))
    assert found[0]
    assert not any(found[len(found) // 2 :])


@pytest.mark.parametrize(("lag", "pace"), [(10 * HOUR, 600.0), (YEAR, YEAR / 20), (30.0, 1.0)])
def test_a_stream_that_is_caught_up_is_waited_for(tmp_path: Path, lag: float, pace: float) -> None:
    """However far it is behind the others and however many of its entries come meanwhile."""
    found = waited_for(GoingOn(tmp_path, lag, pace, 12))
    assert len(found) >= 20
    assert all(found)


def test_a_stream_that_only_comes_after_the_others_is_waited_for(two: Path) -> None:
    """A quiet device whose few entries come hours after the others' have been read is no clock gone wrong."""

    def go_on() -> None:
        with (two / "a.log").open("ab") as file:
            file.write(pairs(range(5, 10), start=60))

    (two / "b.log").write_bytes(pairs(range(5), start=10 * 3600))
    assert live(taken(two, 60.0, follow=True, more=go_on)[-1]) == {"a.log": True, "b.log": True}


class SideBySide(file_tail.FileTail):
    """Every file that has something, in one go."""

    def poll_all(self, limit: int | None, timeout: float, progress: Mapping[str, int]) -> list[RawBatch] | None:
        found: list[RawBatch] = []
        while (batch := self.poll(limit, 0 if found else timeout, progress)) is not None:
            found.append(batch)
        return found or None


def test_what_was_taken_together_is_waited_for(two: Path) -> None:
    """Of streams that are read to their end in one go, each counts as live until its own batch has been handed over."""
    source = SideBySide(file_tail.Config(), [str(two)], {}, system_clock, follow=False)
    reader = Reader(source, vault.create(vault.Config()), None, 0.05, {}, resolve=create().resolve)
    found = [one for item in reader.batches() if isinstance(item, list) for one in item]
    source.close()
    assert [item.raw.file.rpartition("/")[2] for item in found] == ["a.log", "b.log"]
    assert [live(item) for item in found] == [{"a.log": False, "b.log": True}, {"a.log": False, "b.log": False}]


def test_what_ends_the_source_ends_the_reader(two: Path) -> None:
    """An error of the source comes out of `batches`, whichever thread it happened in."""

    class Broken(file_tail.FileTail):
        def poll(self, *_: object) -> None:  # type: ignore[override]
            raise SourceError("gone")

    source = Broken(file_tail.Config(), [str(two)], {}, system_clock, follow=False)
    reader = Reader(source, vault.create(vault.Config()), None, 0.05, {}, resolve=create().resolve)
    with pytest.raises(SourceError, match="gone"):
        list(reader.batches())
    source.close()


class Trickle(file_tail.FileTail):
    """A little more with every poll; `asked` says when each of them came, in seconds."""

    def __init__(self, folder: Path) -> None:
        self.log, self.asked = folder / "a.log", list[float]()
        self.log.touch()
        super().__init__(file_tail.Config(), [str(folder)], {}, system_clock, follow=True)

    def poll(self, limit: int | None, timeout: float, progress: Mapping[str, int]) -> RawBatch | None:
        self.asked.append(time.monotonic())
        with self.log.open("ab") as file:
            file.write(pairs([len(self.asked)], start=len(self.asked)))
        return super().poll(limit, 0, progress)


def gathering(source: Trickle, gather: float, batches: int) -> Sequence[Sequence[Taken]]:
    reader = Reader(source, vault.create(vault.Config()), None, 0.0, {}, resolve=create().resolve, gather=gather)
    found: list[Sequence[Taken]] = []
    with closing(reader.batches()) as taken:
        for item in taken:
            if isinstance(item, list):
                found.append(item)
            if len(found) == batches:
                break
    source.close()
    return found


def test_what_trickles_in_is_gathered(tmp_path: Path) -> None:
    """A source that always has a little is asked no more often than that."""
    source = Trickle(tmp_path)
    gathering(source, 0.15, 3)
    assert min(later - earlier for earlier, later in itertools.pairwise(source.asked)) >= 0.15


def test_what_comes_in_quantity_is_taken_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits behind a batch of that size: this would take a minute a batch."""
    monkeypatch.setattr("pipeline.reader.GATHERED_BYTES", 1)
    assert len(gathering(Trickle(tmp_path), 60.0, 3)) == 3


def test_a_reader_that_gathers_can_be_stopped(tmp_path: Path) -> None:
    """It does not sleep through the end of a run: this would take a minute."""
    assert len(gathering(Trickle(tmp_path), 60.0, 1)) == 1
