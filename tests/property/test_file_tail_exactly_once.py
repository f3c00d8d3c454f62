"""Whatever happens to a log and to its reader, every record arrives once, at its position."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.model import Position, RawBatch
from pipeline.sources.file_tail import Config, FileTail, create

SMALL = Config(block_bytes=1024, max_record_bytes=1 << 20, poll_seconds=0.001, rescan_seconds=0.001, settle_seconds=60)


class Reader:
    """Stands for the line: commits positions through JSON, may be killed and started again at any time."""

    def __init__(self, paths: list[str], *, follow: bool) -> None:
        self.paths, self.follow = paths, follow
        self.committed: dict[tuple[str, str], Position] = {}
        self.got: list[bytes] = []
        self.faults: list[str] = []
        self.source = self._start()

    def _start(self) -> FileTail:
        return create(SMALL, self.paths, self.committed, follow=self.follow, clock=lambda: 1)

    def restart(self) -> None:
        self.source.close()
        self.source = self._start()

    def read(self, limit: int | None, most: int) -> None:
        while most and (batch := self.source.poll(limit, 0.0, {})) is not None:
            self.accept(batch)
            most -= 1

    def drain(self, limit: int | None) -> None:
        """Read on until a look at everything brings nothing, as time would bring it about."""
        while True:
            self.read(limit, 1 << 30)
            self.source._scan()
            batch = self.source.poll(limit, 0.0, {})
            if batch is None:
                return
            self.accept(batch)

    def accept(self, batch: RawBatch) -> None:
        live = Path(batch.stream)  # a file may have been renamed since it was read
        files = [_unpacked(path) for path in live.parent.iterdir() if path.name.startswith(live.name)]
        for row in range(len(batch)):
            record, at, after = batch.record(row), int(batch.positions[row]), int(batch.after[row])
            self.got.append(record)
            assert any(whole[at:after] in {record, record + b"\n"} for whole in files)
        state = msgspec.json.decode(msgspec.json.encode(dict(batch.state)))
        self.committed[batch.stream, batch.partition] = Position(
            batch.stream, batch.partition, int(batch.after[-1]), state
        )
        if batch.fault:
            self.faults.append(batch.fault)


def _unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(data)
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    return data


class Log:
    """A log file, its writer, and what logrotate does to it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / name
        self.path.touch()
        self.written: list[bytes] = []

    def write(self, sizes: list[int]) -> None:
        with self.path.open("ab") as file:
            for size in sizes:
                line = f"{self.path.name} {len(self.written)} ".encode() + b"x" * size
                self.written.append(line)
                file.write(line + b"\n")

    def _shift(self) -> None:
        for number in (3, 2, 1):
            for suffix in ("", ".gz", ".zst"):
                old = Path(f"{self.path}.{number}{suffix}")
                if old.exists():
                    old.rename(f"{self.path}.{number + 1}{suffix}")

    def rename(self) -> None:
        self._shift()
        self.path.rename(f"{self.path}.1")
        self.path.touch()

    def copytruncate(self) -> None:
        self._shift()
        Path(f"{self.path}.1").write_bytes(self.path.read_bytes())
        os.truncate(self.path, 0)

    def compress(self, suffix: str) -> None:
        for number in (4, 3, 2, 1):
            old = Path(f"{self.path}.{number}")
            if not old.exists():
                continue
            data = old.read_bytes()
            packed = gzip.compress(data) if suffix == ".gz" else zstandard.ZstdCompressor().compress(data)
            Path(f"{old}{suffix}").write_bytes(packed)
            old.unlink()


SIZES = st.lists(st.integers(0, 1500), max_size=12)
LIMITS = st.sampled_from([1, 2, 7, None])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 1), SIZES),
        st.tuples(st.just("read"), LIMITS, st.integers(1, 5)),
        st.tuples(st.just("drain"), LIMITS),
        st.tuples(st.just("kill")),
        st.tuples(st.just("rename"), st.integers(0, 1)),
        st.tuples(st.just("copytruncate"), st.integers(0, 1)),
        st.tuples(st.just("compress"), st.integers(0, 1), st.sampled_from([".gz", ".zst"])),
    ),
    max_size=16,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, folder_given=st.booleans())
def test_followed_logs_bring_each_record_once_through_kills_and_rotations(
    steps: list[tuple[Any, ...]], folder_given: bool
) -> None:
    """Under follow, whatever is renamed, copied and truncated, compressed or killed, no record is lost or doubled."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        logs = [Log(folder, "main.log"), Log(folder, "other.log")]
        reader = Reader([name] if folder_given else [str(log.path) for log in logs], follow=True)
        for log in logs:
            log.write([1])  # a file given by name is known from here on, and with it what is rotated away later
        reader.drain(None)
        rotations = 0
        for kind, *rest in steps:
            if kind == "write":
                logs[rest[0]].write(rest[1])
            elif kind == "read":
                reader.read(rest[0], rest[1])
            elif kind == "drain":
                reader.drain(rest[0])
            elif kind == "kill":
                reader.restart()
            elif kind == "compress":
                logs[rest[0]].compress(rest[1])
            elif rotations < 4 and (kind == "rename" or logs[rest[0]].path.stat().st_size):
                rotations += 1
                getattr(logs[rest[0]], kind)()
        reader.drain(3)
        reader.source.close()
        assert Counter(reader.got) == Counter(line for log in logs for line in log.written)
        assert not reader.faults


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    sizes=st.lists(SIZES, min_size=1, max_size=4),
    limits=st.lists(LIMITS, min_size=1, max_size=4),
    most=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    ends=st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_a_run_that_ends_delivers_in_the_same_order_however_it_is_cut_and_killed(
    sizes: list[list[int]], limits: list[int | None], most: list[int], ends: list[bool]
) -> None:
    """The order over all streams depends neither on the limit nor on where the run was killed and resumed."""
    with tempfile.TemporaryDirectory() as name:
        for number, (lengths, ended) in enumerate(zip(sizes, ends, strict=False)):
            log = Log(Path(name), f"device{number}x.log")
            log.write(lengths)
            if not ended and lengths:
                os.truncate(log.path, log.path.stat().st_size - 1)
        straight = Reader([name], follow=False)
        _drive(straight, [None], [1 << 30], kill=False)
        broken = Reader([name], follow=False)
        _drive(broken, limits, most, kill=True)
        assert broken.got == straight.got


def _drive(reader: Reader, limits: list[int | None], most: list[int], *, kill: bool) -> None:
    """Progress of a stream is the number of its records seen, as event time would be."""
    progress: dict[str, int] = {}
    step = 0
    while not reader.source.exhausted:
        for _ in range(most[step % len(most)]):
            batch = reader.source.poll(limits[step % len(limits)], 0.0, progress)
            if batch is None:
                break
            reader.accept(batch)
            progress[batch.stream] = progress.get(batch.stream, 0) + len(batch)
        if kill:
            reader.restart()
        step += 1
    reader.source.close()


@settings(deadline=None)
@given(
    lines=st.lists(st.integers(1, 40), min_size=1, max_size=60),
    limit=st.sampled_from([1, 2, 3, 1000]),
    group=st.integers(1, 9),
    kill=st.booleans(),
)
def test_entries_over_several_lines_arrive_whole_whatever_the_limit(
    lines: list[int], limit: int, group: int, kill: bool
) -> None:
    """A decoder that takes entries of `group` lines, giving back unfinished ones, gets each of them once."""
    with tempfile.TemporaryDirectory() as name:
        log = Log(Path(name), "main.log")
        log.write([size * 37 for size in lines])
        reader = Reader([str(log.path)], follow=False)
        while not reader.source.exhausted:
            batch = reader.source.poll(limit, 0.0, {})
            if batch is None:
                break
            consumed = len(batch) if batch.final else len(batch) // group * group
            reader.source.rewind(batch, consumed)
            if consumed:
                reader.got += [batch.record(row) for row in range(consumed)]
                key = batch.stream, batch.partition
                reader.committed[key] = Position(*key, int(batch.after[consumed - 1]), dict(batch.state))
                if kill:
                    reader.restart()
        assert reader.got == log.written
