"""The desk of a judge that is to end by itself: it ends when no living worker has more to bring, and not before."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pipeline.core.model import Commit
from pipeline.desk import Desk
from pipeline.reading import REPORT, Report
from pipeline.store import Lake, StoreConfig

STREAM = "topic/0"


def opened(path: Path, worker: str) -> Lake:
    return Lake.open(path, StoreConfig(), writer=True, clock=time.time_ns, worker=worker)


def says(lake: Lake, *, ended: bool, has: bool = True) -> None:
    """A commit in which a worker tells whether it has the one stream there is."""
    report = Report([STREAM], lambda: int(lake.meta("sequence") or 0), lake.epoch())
    report.say({STREAM: not ended} if has else {}, final=False)
    lake.commit(Commit([], states={REPORT: report.snapshot()}))


@pytest.mark.parametrize("before", [False, True])
def test_a_worker_that_has_said_nothing_yet_is_waited_for(tmp_path: Path, before: bool) -> None:
    """It lives and may bring anything; what it said before it was started again no longer counts."""
    with opened(tmp_path, "main") as lake:
        if before:
            with opened(tmp_path, "a") as earlier:
                says(earlier, ended=True)
        with opened(tmp_path, "a") as worker:
            desk = Desk(lake, follow=False, wait_seconds=60)
            assert not desk.exhausted
            says(worker, ended=True, has=False)  # the group has not given it anything yet
            assert not desk.exhausted
            says(worker, ended=False)
            assert not desk.exhausted
            says(worker, ended=True)
            assert desk.exhausted


def test_a_worker_that_died_before_it_said_anything_is_not_waited_for(tmp_path: Path) -> None:
    """Nobody will ever bring what it might have brought."""
    with opened(tmp_path, "main") as lake:
        with opened(tmp_path, "a"):
            pass
        assert Desk(lake, follow=False, wait_seconds=60).exhausted


def test_one_that_reads_no_topic_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    """A run over files under a worker's name lives on, and never says what it has."""
    with opened(tmp_path, "main") as lake, opened(tmp_path, "files"):
        desk = Desk(lake, follow=False, wait_seconds=0.2)
        assert not desk.exhausted
        time.sleep(0.3)
        assert desk.exhausted
