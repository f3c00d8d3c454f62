"""`--follow` on a full disk: nothing is read, and that is told; with room again, all is as if nothing had been."""

from __future__ import annotations

import errno
import http.client
import signal
import sqlite3
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.crash.line_story import unlike, words, write_config
from tests.crash.test_line_bad_disk import bad_disk
from tests.crash.test_line_disk_full import enlarge, small_disk
from tests.crash.test_line_follow import wait_until
from tests.integration.kafka.broker import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.crash.line_nursery import Child, Nursery

FULL, ROOM = "the disk is full, nothing is read until there is room", "there is room again"


def committed(home: Path) -> int:
    """How many entries the commits hold that stand, without asking for a single row."""
    try:
        with closing(sqlite3.connect(f"file:{home / 'lake' / 'commit.sqlite'}?mode=ro", uri=True)) as sql:
            return int(sql.execute("SELECT coalesce(sum(rows), 0) FROM files WHERE tbl = 'raw'").fetchone()[0])
    except sqlite3.OperationalError:  # there is no lake yet
        return 0


@contextmanager
def following(nursery: Nursery, home: Path, logs: Path, *more: str) -> Iterator[Child]:
    """A run that follows the logs, none of which ever counts as idle; it does not outlive its test."""
    config = write_config(home, 300)
    config.write_text(config.read_text("utf-8").replace("[line]\n", "[line]\nidle_seconds = 1000\n"), "utf-8")
    child = nursery.start(*words(home, config, logs, "--follow", *more))
    try:
        wait_until(child.listens, child)
        yield child
    finally:
        if not child.ended(0):
            child.send(signal.SIGKILL)
            child.wait()


def same_in_the_end(nursery: Nursery, child: Child, home: Path, logs: Path, reference: Path) -> None:
    """Once it has read everything, and another run has put an end to the logs, all is as in one run."""
    total = committed(reference)
    wait_until(lambda: committed(home) == total, child)
    child.send(signal.SIGTERM)
    assert child.wait() in {0, 10}, child.text()
    last = nursery.start(*words(home, home / "keytrail.toml", logs))
    assert last.wait() in {0, 10}, last.text()
    assert unlike(home, reference, leaves=False) == []


def asked(port: int, path: str) -> tuple[int, str]:
    """What the run's own server answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "size", ["1300k", *(pytest.param(size, marks=pytest.mark.slow) for size in ("160k", "600k", "1900k"))]
)
def test_it_waits_for_room(nursery: Nursery, logs: Path, reference: Path, tmp_path: Path, size: str) -> None:
    """It stays, not ready, and says why; with room it is ready, goes on by itself, and nothing is lost or doubled."""
    port = free_port()
    with (
        small_disk(tmp_path / "lake", size),
        following(nursery, tmp_path, logs, "--metrics-port", str(port)) as child,
    ):
        wait_until(lambda: FULL in child.text(), child)
        status, answer = asked(port, "/ready")
        assert (status, answer) == (503, "paused: disk\n")
        assert 'keytrail_line_paused{reason="disk"} 1.0' in asked(port, "/metrics")[1]
        held = committed(tmp_path)
        assert not child.ended(1.2), child.text()
        assert committed(tmp_path) == held
        enlarge(tmp_path / "lake", "200m")
        wait_until(lambda: ROOM in child.text(), child)
        wait_until(lambda: asked(port, "/ready") == (200, "ready\n"), child)
        assert 'keytrail_line_paused{reason="disk"} 0.0' in asked(port, "/metrics")[1]
        same_in_the_end(nursery, child, tmp_path, logs, reference)


def test_it_ends_at_once_when_told_to(nursery: Nursery, logs: Path, tmp_path: Path) -> None:
    """SIGTERM ends the pause: code 1, since what was read last is not committed, and one more line says so."""
    with small_disk(tmp_path / "lake", "600k"), following(nursery, tmp_path, logs) as child:
        wait_until(lambda: FULL in child.text(), child)
        begun = time.monotonic()
        child.send(signal.SIGTERM)
        assert child.wait() == 1, child.text()
        assert time.monotonic() - begun < 2
        last = child.text().splitlines()[-1]
        assert last.startswith("keytrail: stopped while the disk is full; the next run goes on from the last commit")
        assert "Traceback" not in child.text()


@pytest.fixture(scope="module")
def ill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with bad_disk(tmp_path_factory.mktemp("ill")) as made:
        yield made


@pytest.mark.slow
def test_a_used_up_quota_is_no_other(
    ill: Nursery, nursery: Nursery, logs: Path, reference: Path, tmp_path: Path
) -> None:
    """A quota on the disk is waited for like room, though SQLite does not tell it from an error."""
    broken = ill.home / "errno"
    with following(ill, tmp_path, logs) as child:
        wait_until(lambda: committed(tmp_path) >= 300, child)
        broken.write_text(str(errno.EDQUOT))
        try:
            wait_until(lambda: FULL in child.text(), child)
        finally:
            broken.unlink()
        wait_until(lambda: ROOM in child.text(), child)
        same_in_the_end(nursery, child, tmp_path, logs, reference)


def test_a_disk_that_fails_is_not_waited_for(ill: Nursery, logs: Path, tmp_path: Path) -> None:
    """What no room would help against ends the run that follows as it ends any other."""
    broken = ill.home / "errno"
    with following(ill, tmp_path, logs) as child:
        wait_until(lambda: committed(tmp_path) > 0, child)
        broken.write_text(str(errno.EIO))
        try:
            assert child.wait() == 1, child.text()
            assert FULL not in child.text()
        finally:
            broken.unlink()
