"""What was taken in, on disk: nothing glued, nothing lost, nothing told twice after any death, and never too much."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.errors import SourceError
from pipeline.core.model import Position, RawBatch
from pipeline.sources.listen.dropped import Dropped
from pipeline.sources.listen.feed import Feed
from pipeline.sources.listen.framing import Chunk
from pipeline.sources.listen.spool import FullError, Spool

CAP = 4096


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def spool_in(folder: Path, **more: Any) -> Spool:
    return Spool(folder / "spool", **({"file_bytes": 100, "spool_bytes": 1000, "keep_seconds": 10.0} | more))


def feed_of(spool: Spool, position: Position | None = None, *, before: bool = False) -> Feed:
    return Feed("tcp://127.0.0.1:1", spool, Dropped(), CAP, position, before=before)


def put(spool: Spool, *lines: bytes) -> None:
    chunk = Chunk()
    for line in lines:
        chunk.line(line)
    spool.append(chunk)


def take(feed: Feed, limit: int | None = None) -> list[RawBatch]:
    batches = []
    while feed.has_news:
        batches.append(feed.take(limit, 0))
    return batches


def read(feed: Feed, limit: int | None = None) -> list[bytes]:
    return [batch.record(row) for batch in take(feed, limit) for row in range(len(batch))]


def after(batch: RawBatch) -> Position:
    return Position(batch.stream, batch.partition, int(batch.after[-1]), dict(batch.state))


def files(spool: Spool) -> list[int]:
    return [int(path.stem) for path in sorted(spool.folder.glob("*.log"))]


@pytest.mark.parametrize("limit", [1, 3, None])
def test_any_cut_any_start(tmp_path: Path, limit: int | None) -> None:
    """Read in any batches, with a new process at any position, each line comes once, in order, at its own place."""
    dice, sent = random.Random(5), [b"%d-%s" % (n, b"x" * (n % 50)) for n in range(90)]
    spool, got, position, places = spool_in(tmp_path, spool_bytes=10_000), [], None, []
    feed = feed_of(spool)
    for at in range(0, 90, 3):
        put(spool, *sent[at : at + 3])
        for batch in take(feed, limit):
            got += [batch.record(row) for row in range(len(batch))]
            places += batch.positions.tolist()
            position = after(batch)
        if dice.random() < 0.3:
            spool.close()
            spool = spool_in(tmp_path, spool_bytes=10_000)
            feed = feed_of(spool, position)
    assert got == sent
    assert places == [sum(len(line) + 1 for line in sent[:n]) for n in range(90)]
    spool.close()


def test_files_go_when_they_are_committed_whole_and_old(tmp_path: Path) -> None:
    """A file stays until all of it is committed and the time is over; places are never given twice."""
    clock = Clock()
    spool = spool_in(tmp_path, steady=clock)
    for n in range(5):
        put(spool, b"%d" % n * 99)
    assert files(spool) == [0, 100, 200, 300, 400]
    spool.committed(250)
    clock.now = 9.0
    spool.tidy()
    assert files(spool) == [0, 100, 200, 300, 400]
    clock.now = 11.0
    spool.tidy()
    assert files(spool) == [200, 300, 400]
    spool.committed(500)
    clock.now = 22.0
    spool.tidy()
    assert files(spool) == [500]
    put(spool, b"next")
    assert read(feed_of(spool, Position("", "", 500))) == [b"next"]
    spool.close()


def test_full_and_room_again(tmp_path: Path) -> None:
    """A full spool takes nothing, whole or not at all; what is committed makes room at once, old or not."""
    spool = spool_in(tmp_path)
    for _ in range(10):
        put(spool, b"x" * 99)
    with pytest.raises(FullError):
        put(spool, b"y")
    assert not spool.has_room()
    assert spool.end == spool.waiting == 1000
    spool.committed(100)
    put(spool, b"y" * 50, b"z" * 10)
    assert sum(path.stat().st_size for path in spool.folder.glob("*.log")) <= 1000
    assert read(feed_of(spool, Position("", "", 1000))) == [b"y" * 50, b"z" * 10]
    spool.close()


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails in its middle is taken back: what comes later is glued to nothing."""
    spool = spool_in(tmp_path)
    put(spool, b"before")
    write = os.write
    calls = []

    def half(fd: int, data: Any) -> int:
        calls.append(len(data))
        if len(calls) == 1:
            return write(fd, bytes(data)[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(FullError):
        put(spool, b"lost")
    monkeypatch.setattr(os, "write", write)
    put(spool, b"after")
    assert len(calls) == 2
    assert read(feed_of(spool)) == [b"before", b"after"]
    spool.close()


def test_a_line_that_a_death_cut_off(tmp_path: Path) -> None:
    """What stood half on the disk is a line of its own in the next life."""
    spool = spool_in(tmp_path)
    put(spool, b"whole")
    spool.close()
    path = next(spool.folder.glob("*.log"))
    with path.open("ab") as file:
        file.write(b'{"half')
    spool = spool_in(tmp_path)
    put(spool, b"next")
    assert read(feed_of(spool)) == [b"whole", b'{"half', b"next"]
    spool.close()


def test_long_lines_are_known_after_a_death(tmp_path: Path) -> None:
    """Size and hash of a line that was cut short outlive the process; a note without its line speaks of no other."""
    spool = spool_in(tmp_path)
    chunk = Chunk()
    chunk.line(b"first")
    chunk.line(b"beginning", (99_999, b"\1" * 32))
    spool.append(chunk)
    spool.sync()
    spool.close()
    (note,) = spool.folder.glob("*.long")
    with note.open("ab") as file:
        file.write(b'[16, 4, 7, "00"]\n[6,8,7,"00"]\n[-5,1,1,"00"]\n["x"]\n[1e999,1,1,"00"]\n[0,5')
    spool = spool_in(tmp_path)
    put(spool, b"third")
    (batch,) = take(feed_of(spool))
    assert [(one.record, one.size, one.sha256) for one in batch.oversize] == [(1, 99_999, b"\1" * 32)]
    spool.close()


def test_private_and_alone(tmp_path: Path) -> None:
    """Nobody else may read the spool, and no second process may have it."""
    spool = spool_in(tmp_path)
    chunk = Chunk()
    chunk.line(b"x", (1 << 20, b"\1" * 32))
    spool.append(chunk)
    assert spool.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in spool.folder.iterdir()} == {0o600}
    with pytest.raises(SourceError, match="another process"):
        spool_in(tmp_path)
    spool.close()
    spool_in(tmp_path).close()


def told(feed: Feed) -> list[tuple[str, int, int]]:
    return [(b.fault, b.lost.first, b.lost.last) for b in take(feed) if b.lost is not None]


def stored(tmp_path: Path, lines: int) -> Position:
    """A spool that was read to its end, and where that was."""
    spool = spool_in(tmp_path)
    for n in range(lines):
        put(spool, b"%d" % n * 99)
    position = after(take(feed_of(spool))[-1])
    spool.close()
    return position


def test_what_is_not_as_it_was_left(tmp_path: Path) -> None:
    """A spool that was cut back, changed before the position, thinned out or replaced is told of, and read on."""
    position = stored(tmp_path / "cut", 3)
    (tmp_path / "cut" / "spool" / f"{200:020d}.log").write_bytes(b"")
    spool = spool_in(tmp_path / "cut")
    feed = feed_of(spool, position)
    assert told(feed) == [("truncated", 200, 299)]
    put(spool, b"next")
    assert [(b.record(0), b.positions.tolist()) for b in take(feed)] == [(b"next", [300])]
    spool.close()

    position = stored(tmp_path / "changed", 3)
    (tmp_path / "changed" / "spool" / f"{200:020d}.log").write_bytes(b"3" * 99 + b"\n")
    spool = spool_in(tmp_path / "changed")
    assert told(feed_of(spool, position)) == [("altered", 0, 299)]
    spool.close()

    stored(tmp_path / "thin", 3)
    (tmp_path / "thin" / "spool" / f"{100:020d}.log").unlink()
    spool = spool_in(tmp_path / "thin")
    assert [(b.fault, len(b)) for b in take(feed_of(spool))] == [("", 1), ("gap", 0), ("", 1)]
    spool.close()

    stored(tmp_path / "short", 3)
    os.truncate(tmp_path / "short" / "spool" / f"{100:020d}.log", 60)
    spool = spool_in(tmp_path / "short")
    feed = feed_of(spool)
    assert [batch.record(0) for batch in take(feed) if len(batch)] == [b"0" * 99, b"1" * 60, b"2" * 99]
    spool.close()
    spool = spool_in(tmp_path / "short")
    assert told(feed_of(spool)) == [("gap", 160, 199)]
    spool.close()

    spool = spool_in(tmp_path / "new")
    put(spool, b"next")
    feed = feed_of(spool, before=True)
    assert [(b.fault, len(b)) for b in take(feed)] == [("recreated", 0), ("", 1)]
    spool.close()


def test_a_spool_without_its_files_is_another_one(tmp_path: Path) -> None:
    """Places start anew only under a new name, so that no place ever means two lines."""
    position = stored(tmp_path, 2)
    for path in (tmp_path / "spool").glob("*.log"):
        path.unlink()
    spool = spool_in(tmp_path)
    assert spool.identity != position.partition
    spool.close()


def test_overlapping_files_are_refused(tmp_path: Path) -> None:
    """Two files with one place: one of them is not the writer's, and nothing is read of either."""
    stored(tmp_path, 2)
    (tmp_path / "spool" / f"{50:020d}.log").write_bytes(b"x\n")
    with pytest.raises(SourceError, match="begins within"):
        spool_in(tmp_path)


def test_lost_datagrams_are_one_gap_a_place(tmp_path: Path) -> None:
    """Dropped datagrams are told as a gap where they would have stood, counted up while nothing else comes."""
    spool, dropped = spool_in(tmp_path), Dropped()
    feed = Feed("udp://127.0.0.1:1", spool, dropped, CAP, None, before=False)
    put(spool, b"one")
    assert read(feed) == [b"one"]
    dropped.add(3, -5.0)
    first = feed.take(None, 0)
    dropped.add(2, -5.0)
    second = feed.take(None, 0)
    put(spool, b"two")
    assert read(feed) == [b"two"]
    dropped.add(1, -5.0)
    third = feed.take(None, 0)
    gaps = [(b.fault, b.lost.first, b.lost.count) for b in (first, second, third) if b.lost is not None]
    assert gaps == [("gap", 4, 3), ("gap", 4, 5), ("gap", 8, 1)]
    assert dropped.total == 6
    assert not feed.has_news
    spool.close()
