"""Which streams count as live: those that may still bring what belongs before the others' newest entries."""

from __future__ import annotations

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
    from collections.abc import Callable, Mapping
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


@pytest.mark.parametrize(("year", "waited_for"), [(365 * 86_400, False), (0, True)])
def test_a_stream_of_another_time_is_not_waited_for(two: Path, year: int, waited_for: bool) -> None:
    """A followed stream whose clock stays a year behind does not keep the others waiting for a year."""
    (two / "a.log").write_bytes(pairs(range(5), start=-year))

    def go_on() -> None:
        with (two / "a.log").open("ab") as file:
            file.write(pairs(range(5, 45), start=700 - year))

    assert live(taken(two, 60.0, follow=True, more=go_on)[-1]) == {"a.log": waited_for, "b.log": True}


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
