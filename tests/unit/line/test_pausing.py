"""A run that finds no room: who waits, for what, how long between two looks, and what is said meanwhile."""

from __future__ import annotations

import errno
import itertools
import sqlite3
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from pipeline import config as conf
from pipeline import job, pausing
from pipeline.app import RunOptions
from pipeline.core.errors import StoreError
from pipeline.core.metrics import Metrics
from pipeline.store import room

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def sqlite_error(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("told by its code alone")
    error.sqlite_errorcode = code
    return error


def wrapped(cause: BaseException) -> StoreError:
    """The failure as the store tells it, and once more as the writing thread hands it on."""
    first, second = StoreError("writing events"), StoreError("the lake cannot be written")
    first.__cause__, second.__context__ = cause, first
    return second


@pytest.mark.parametrize(
    ("cause", "full"),
    [
        (OSError(errno.ENOSPC, "no room"), True),
        (OSError(errno.EDQUOT, "no quota"), True),
        (OSError(errno.EIO, "broken"), False),
        (sqlite_error(sqlite3.SQLITE_FULL), True),
        (sqlite_error(sqlite3.SQLITE_IOERR_WRITE), False),
        (duckdb.IOException('Could not write file "x": No space left on device'), True),
        (duckdb.IOException('Could not read file "x"'), False),
        (ValueError("No space left on device"), False),
    ],
)
def test_what_failed_for_want_of_room(cause: BaseException, full: bool, tmp_path: Path) -> None:
    """The kind of the innermost cause says it, not a text that anybody may have written."""
    assert room.is_full(wrapped(cause), tmp_path / "not" / "yet" / "there") is full


def test_no_room_is_what_a_file_meets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial that fails for want of room says so whatever the failure was; one that is refused otherwise does not."""
    for number, full in ((errno.EDQUOT, True), (errno.EROFS, False)):

        def refuse(_: int, number: int = number) -> None:
            raise OSError(number, "refused")

        with monkeypatch.context() as within:
            within.setattr(room.os, "fsync", refuse)
            assert room.is_full(wrapped(sqlite_error(sqlite3.SQLITE_IOERR_WRITE)), tmp_path) is full
    assert list(tmp_path.iterdir()) == []


class Steady:
    """Time that goes on while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> Steady:
    made = Steady()
    monkeypatch.setattr(pausing, "time", made)
    return made


def test_looks_for_room_come_further_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steady: Steady) -> None:
    """Twice as far each time up to a limit, also over several tries in vain; a commit makes it begin anew."""
    looks: list[float] = []
    told: list[str] = []
    answers = itertools.cycle([False, False, True])
    monkeypatch.setattr(room, "has_room", lambda _: looks.append(steady.now) or next(answers))
    metrics = Metrics("0")
    pause = pausing.Pause(tmp_path, metrics, told.append, lambda: False)
    for _ in range(3):
        assert pause.wait("no space left")
        assert metrics.registry.get_sample_value("keytrail_line_paused", {"reason": "disk"}) == 1
    apart = [round(b - a) for a, b in itertools.pairwise([0.0, *looks])]
    assert apart == [1, 2, 4, 8, 16, 30, 30, 30, 30]
    assert len(told) == 1
    assert told[0].endswith("no space left")
    pause.over()
    pause.over()
    assert metrics.registry.get_sample_value("keytrail_line_paused", {"reason": "disk"}) == 0
    assert len(told) == 2
    begun = steady.now
    pause.wait("no space left")
    assert round(looks[9] - begun) == 1


class Full(job.Run):
    """Finds no room a few times."""

    left = 3
    once: Callable[[], None] = staticmethod(lambda: None)

    def _session(self, *_: object) -> dict[str, Any]:
        if self.left:
            self.left -= 1
            self.once()
            raise StoreError("committing") from OSError(errno.ENOSPC, "no space left")
        return {"left": self.left}


@pytest.mark.parametrize(
    ("paths", "follow", "waits"), [(("logs",), True, True), (("logs",), False, False), (("-",), True, False)]
)
@pytest.mark.usefixtures("steady")
def test_who_waits(paths: tuple[str, ...], follow: bool, waits: bool, tmp_path: Path) -> None:
    """Who follows what can be read again; others end with what failed."""
    run = Full(RunOptions(paths, tmp_path / "lake", follow=follow), conf.Settings())
    if waits:
        assert run.execute() == {"left": 0}
    else:
        with pytest.raises(StoreError, match=r"^committing$"):
            run.execute()


@pytest.mark.usefixtures("steady")
def test_a_stop_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told to stop before or while it waits, it ends with the failure, and says what is left to do."""
    run = Full(RunOptions(("logs",), tmp_path / "lake", follow=True), conf.Settings())
    monkeypatch.setattr(room, "has_room", lambda _: run.stop())
    with pytest.raises(StoreError, match=r"goes on from the last commit: committing$"):
        run.execute()
    run = Full(RunOptions(("logs",), tmp_path / "lake", follow=True), conf.Settings())
    run.once = run.stop
    with pytest.raises(StoreError, match=r"^committing$"):
        run.execute()
