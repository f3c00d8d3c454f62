"""Records, positions, blocks and damage of files that are read once."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

import pytest
import zstandard

from pipeline.core.errors import SourceError

from .conftest import Start, commit, lines, records, text


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def test_positions_are_the_first_bytes_of_records(tmp_path: Path, start: Start) -> None:
    """A carriage return and blank lines are kept, the line end is not, and an unterminated end is a record."""
    path = tmp_path / "main.log"
    path.write_bytes(b"one\r\n\ntwo\nlast")
    run = start(path)
    assert run.read() == [b"one\r", b"", b"two", b"last"]
    batch = run.batches[0]
    assert batch.positions.tolist() == [0, 5, 6, 10]
    assert batch.after.tolist() == [5, 6, 10, 14]
    assert (batch.final, batch.ingest_ns, batch.fault, run.source.exhausted) == (True, 7, "", True)


@pytest.mark.parametrize("limit", [1, 3, None])
def test_no_batch_is_longer_than_the_limit(tmp_path: Path, start: Start, limit: int | None) -> None:
    """The limit counts records; only the last batch of the file is final."""
    (tmp_path / "main.log").write_bytes(text(lines(0, 10)))
    run = start(tmp_path)
    assert run.read(limit) == lines(0, 10)
    assert max(len(batch) for batch in run.batches) == (limit or 10)
    assert [batch.final for batch in run.batches] == [False] * (len(run.batches) - 1) + [True]


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("main.log.gz", lambda a, b: gzip.compress(a) + gzip.compress(b) + b"\0" * 1000),
        ("main.log.zst", lambda a, b: _zstd(a) + b"\x50\x2a\x4d\x18\x04\0\0\0skip" + _zstd(b)),
        ("misnamed.log", lambda a, b: gzip.compress(a + b)),
        ("plain.gz", lambda a, b: a + b),
    ],
    ids=["gzip members", "zstd frames", "by content, not name", "not compressed at all"],
)
def test_compressed_files_count_in_what_they_unpack_to(tmp_path: Path, start: Start, name: str, pack: Any) -> None:
    """Positions are offsets in the whole decompressed stream, over members and frames."""
    first, second = lines(0, 60), lines(60, 60)
    (tmp_path / name).write_bytes(pack(text(first), text(second)))
    run = start(tmp_path, block_bytes=1024)
    assert run.read(7) == [*first, *second]
    assert run.positions[run.batches[-1].stream, run.batches[-1].partition].offset == len(text([*first, *second]))
    assert run.batches[-1].final
    assert start(tmp_path, positions=run.positions).read() == []


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.log.gz", gzip.compress(text(lines(0, 500)))[:-9], ("truncated", 490)),
        ("a.log.zst", _zstd(text(lines(0, 9000)))[:-5], ("truncated", 6000)),
        ("a.log.gz", gzip.compress(text(lines(0, 500)))[:-8] + b"checksum", ("unreadable", 500)),
        ("a.log.gz", gzip.compress(text(lines(0, 500))) + b"not a member", ("unreadable", 500)),
        ("a.log.zst", _zstd(text(lines(0, 500))) + b"not a frame", ("unreadable", 500)),
    ],
    ids=["gzip cut", "zstd cut", "gzip checksum", "gzip garbage", "zstd garbage"],
)
@pytest.mark.parametrize("limit", [17, None])
def test_damage_is_told_with_the_last_record_alone(
    tmp_path: Path, start: Start, *, name: str, data: bytes, told: tuple[str, int], limit: int | None
) -> None:
    """What could be unpacked is delivered; the fault stands at the same place whatever the limit, and others go on."""
    fault, whole = told
    (tmp_path / name).write_bytes(data)
    (tmp_path / "b.log").write_text("fine\n")
    run = start(tmp_path)
    got = run.read(limit)
    assert got[:whole] == lines(0, whole)
    assert got[-1] == b"fine"
    assert [(b.fault, len(b), b.final) for b in run.batches if b.fault] == [(fault, 1, True)]
    assert [item.cause for item in run.source.faults] == [fault]
    assert run.source.exhausted


def test_a_file_damaged_from_its_beginning_is_told_with_what_follows(tmp_path: Path, start: Start) -> None:
    """Nothing of it can be delivered; the next file of its stream carries the fault."""
    (tmp_path / "main.log.1.gz").write_bytes(gzip.compress(text(lines(0, 5)))[:10])
    (tmp_path / "main.log").write_text("next\n")
    run = start(tmp_path)
    assert run.read() == [b"next"]
    assert run.faults == ["truncated"]
    assert [Path(item.file).name for item in run.source.faults] == ["main.log.1.gz"]


def test_a_stream_is_read_block_by_block(tmp_path: Path, start: Start) -> None:
    """The stream furthest behind gets the next block, whatever the limit; records belong to the block they begin in."""
    for name in ("a.log", "b.log"):
        (tmp_path / name).write_bytes(text(lines(0, 100, 99)))
    cuts = []
    for limit in (1, 4, None):
        run, order, progress = start(tmp_path, block_bytes=1024), [], {str(tmp_path / "b.log"): 5}
        while (batch := run.source.poll(limit, 0, progress)) is not None:
            order += [(batch.stream[-5:], at) for at in batch.positions.tolist()]
            progress[batch.stream] = order[-1][1] + 10
        cuts.append(order)
    assert cuts[0] == cuts[1] == cuts[2]
    assert [at for name, at in cuts[0] if name == "a.log"][:11] == list(range(0, 1100, 100))
    assert [name for name, _ in cuts[0]][:23] == ["a.log"] * 11 + ["b.log"] * 11 + ["a.log"]


def test_records_given_back_come_again_with_at_least_as_many_more(tmp_path: Path, start: Start) -> None:
    """A decoder that needs many lines for one entry gets there in a few steps from a limit of one."""
    (tmp_path / "main.log").write_bytes(text(lines(0, 40)))
    run = start(tmp_path)
    sizes = []
    while True:
        batch = run.source.poll(1, 0, {})
        assert batch is not None
        sizes.append(len(batch))
        assert batch.positions[0] == 0
        if len(batch) > 20:
            break
        run.source.rewind(batch, 0)
    assert sizes == [1, 2, 4, 8, 16, 32]
    run.source.rewind(batch, 30)
    assert run.read(100) == lines(30, 10)


def test_an_entry_over_many_blocks_is_handed_over_as_it_is(tmp_path: Path, start: Start) -> None:
    """A decoder that never takes anything is told after a few blocks that it must, so that memory stays bounded."""
    (tmp_path / "main.log").write_bytes(text(lines(0, 2000)))
    run = start(tmp_path, block_bytes=1024, max_record_bytes=1024)
    while True:
        batch = run.source.poll(8, 0, {})
        assert batch is not None
        if batch.final:
            break
        run.source.rewind(batch, 0)
    assert batch.after[-1] < 8 * 1024
    with pytest.raises(SourceError, match="did not finish"):
        run.source.rewind(batch, 0)


def test_a_long_record_keeps_its_first_bytes_its_size_and_its_hash(tmp_path: Path, start: Start) -> None:
    """Past the cap 64 KiB (or the cap) stay; positions behind it are right; the cap itself is not too long."""
    items = [b"before", b"x" * 3000, b"y" * 1024, b"z" * 1025, b"after", b"w" * (3 << 20)]
    (tmp_path / "main.log").write_bytes(b"\n".join(items))
    run = start(tmp_path, max_record_bytes=1024)
    assert run.read(2) == [item[:1024] for item in items]
    told = {int(b.positions[o.record]): (o.size, o.sha256) for b in run.batches for o in b.oversize}
    offsets = [sum(len(item) + 1 for item in items[:row]) for row in range(len(items))]
    assert told == {
        offsets[row]: (len(items[row]), hashlib.sha256(items[row]).digest()) for row in (1, 3, 5)
    }  # fmt: skip
    assert [at for batch in run.batches for at in batch.positions.tolist()] == offsets


def test_a_second_run_reads_only_what_is_new(tmp_path: Path, start: Start) -> None:
    """Nothing comes of a file read to its end, and of one that grew what was added, under the same partition."""
    path = tmp_path / "main.log"
    path.write_bytes(text(lines(0, 5)))
    first = start(tmp_path)
    first.read()
    assert start(tmp_path, positions=first.positions).read() == []
    with path.open("ab") as file:
        file.write(text(lines(5, 300)))
    second = start(tmp_path, positions=first.positions)
    assert second.read() == lines(5, 300)
    assert {batch.partition for batch in first.batches + second.batches} == {first.batches[0].partition}
    assert second.faults == []


def test_a_rotated_file_is_not_read_again_when_compressed(tmp_path: Path, start: Start) -> None:
    """Between runs the log was renamed, compressed and continued: reading goes on in the compressed file."""
    path = tmp_path / "main.log"
    path.write_bytes(text(lines(0, 400)))
    first = start(path)
    first.read()
    (tmp_path / "main.log.2.gz").write_bytes(gzip.compress(text(lines(0, 450))))
    (tmp_path / "main.log.1").write_bytes(text(lines(450, 3)))
    path.write_bytes(text(lines(453, 2)))
    second = start(path, positions=first.positions)
    assert second.read() == lines(400, 55)
    assert [Path(batch.file).name for batch in second.batches] == ["main.log.2.gz", "main.log.1", "main.log"]
    assert second.batches[0].partition == first.batches[0].partition
    assert second.faults == []


def test_a_compressed_copy_beside_its_file_is_left_out(tmp_path: Path, start: Start) -> None:
    """The same log plain and compressed is one log; the copy is named as skipped."""
    (tmp_path / "trail.json").write_bytes(text(lines(0, 40)))
    (tmp_path / "trail.json.gz").write_bytes(gzip.compress(text(lines(0, 40))))
    run = start(tmp_path)
    assert run.read() == lines(0, 40)
    assert run.source.skipped == [str(tmp_path / "trail.json.gz")]


@pytest.mark.parametrize("name", ["main.log.gz", "main.log.1.gz", "main.log-20260301.zst", "old-main.log.gz"])
@pytest.mark.parametrize("again", [0, 1])
def test_a_compressed_file_that_holds_more_is_no_copy(tmp_path: Path, start: Start, name: str, again: int) -> None:
    """A log cut back beside its own backup does not hide what the backup has, whatever that says of its length."""
    pack = zstandard.compress if name.endswith("zst") else gzip.compress
    (tmp_path / "main.log").write_bytes(text(lines(0, 200)))
    (tmp_path / name).write_bytes(pack(text(lines(0, 300))) + pack(b"") * again)
    run = start(tmp_path)
    assert sorted(run.read()) == sorted([*lines(0, 200), *lines(0, 300)])
    assert run.source.skipped == []


def test_a_compressed_file_that_goes_another_way_is_no_copy(tmp_path: Path, start: Start) -> None:
    """The same beginning and no more bytes, but other last ones."""
    (tmp_path / "main.log").write_bytes(text(lines(0, 300)))
    (tmp_path / "main.log.1.gz").write_bytes(gzip.compress(text([*lines(0, 200), *lines(900, 50)])))
    run = start(tmp_path)
    assert sorted(run.read()) == sorted([*lines(0, 200), *lines(900, 50), *lines(0, 300)])


def test_a_file_that_holds_more_than_a_compressed_one_is_no_copy_of_it(tmp_path: Path, start: Start) -> None:
    """Nor does a backup that was read once hide the log that went on."""
    (tmp_path / "main.log.1.gz").write_bytes(gzip.compress(text(lines(0, 200))))
    first = start(tmp_path)
    assert first.read() == lines(0, 200)
    (tmp_path / "main.log").write_bytes(text(lines(0, 200)))
    assert start(tmp_path, positions=first.positions).read() == []
    (tmp_path / "main.log").write_bytes(text(lines(0, 300)))
    assert start(tmp_path, positions=first.positions).read() == lines(0, 300)


def test_a_compressed_copy_of_the_beginning_is_left_out(tmp_path: Path, start: Start) -> None:
    """A snapshot of the live log, also one still being written: nothing in it is new."""
    (tmp_path / "main.log").write_bytes(text(lines(0, 300)))
    (tmp_path / "main.log-20260301.gz").write_bytes(gzip.compress(text(lines(0, 200))))
    (tmp_path / "main.log.gz").write_bytes(gzip.compress(text(lines(0, 300)))[:-20])
    run = start(tmp_path)
    assert run.read() == lines(0, 300)
    assert run.source.skipped == [str(tmp_path / name) for name in ("main.log-20260301.gz", "main.log.gz")]


def test_siblings_that_begin_alike_are_told_apart(tmp_path: Path, start: Start) -> None:
    """A banner as the first line of every file does not make them one file, nor do they share a partition."""
    for name, first in (("main.log.1", 0), ("main.log", 9)):
        (tmp_path / name).write_bytes(b"# audit log\n" + text(lines(first, 9)))
    run = start(tmp_path)
    assert run.read() == [b"# audit log", *lines(0, 9), b"# audit log", *lines(9, 9)]
    assert len(run.positions) == 2
    assert start(tmp_path, positions=run.positions).read() == []


def test_older_siblings_of_a_file_given_by_name_are_left_alone(tmp_path: Path, start: Start) -> None:
    """A path that is a file is that file, until something it held has been rotated away."""
    (tmp_path / "main.log.1").write_text("old\n")
    (tmp_path / "main.log").write_text("new\n")
    assert start(tmp_path / "main.log").read() == [b"new"]
    assert start(tmp_path / "main.log.1").read() == [b"old"]


def test_what_is_written_while_a_run_reads_is_left_for_the_next(tmp_path: Path, start: Start) -> None:
    """A run that ends reads what was there when it began, but does not cut the last line of that in two."""
    path = tmp_path / "main.log"
    path.write_bytes(text(lines(0, 3)) + b"half")
    run = start(path)
    with path.open("ab") as file:
        file.write(b" and half\n" + text(lines(3, 3)))
    assert run.read() == [*lines(0, 3), b"half and half"]
    assert start(path, positions=run.positions).read() == lines(3, 3)


@pytest.mark.parametrize(
    ("change", "fault", "expected"),
    [
        (
            lambda data: data.replace(b"line 450 ", b"line 45X ") + b"new\n",
            "altered",
            [*lines(0, 450, 19), b"line 45X ..........", *lines(451, 49, 19), b"new"],
        ),
        (
            lambda data: data[:8000] + text(lines(700, 150, 19)),
            "altered",
            [*lines(0, 400, 19), *lines(700, 150, 19)],
        ),
        (lambda data: data[:40], "truncated", lines(0, 2, 19)),
        (lambda data: b"#" + data, "truncated", [b"#line 0 ............", *lines(1, 499, 19)]),
    ],
    ids=["history edited", "cut back and written on", "cut back", "another beginning"],
)
def test_history_that_changed_between_runs_is_told_with_the_next_batch(
    tmp_path: Path, start: Start, change: Any, fault: str, expected: list[bytes]
) -> None:
    """An edit before the offset is `altered`, another beginning or a shorter file `truncated`; each is read anew."""
    path = tmp_path / "main.log"
    path.write_bytes(text(lines(0, 500, 19)))
    first = start(path)
    first.read()
    path.write_bytes(change(path.read_bytes()))
    second = start(path, positions=first.positions)
    assert second.read(2) == expected
    assert [batch.fault for batch in second.batches] == [fault] + [""] * (len(second.batches) - 1)
    assert [item.cause for item in second.source.faults] == [fault]
    assert start(path, positions=second.positions).read() == []


def test_a_lost_file_with_an_unread_end_is_a_gap(tmp_path: Path, start: Start) -> None:
    """A run broke off, then the file went away: the next batch of the stream says so, once."""
    path = tmp_path / "main.log"
    path.write_bytes(text(lines(0, 50)))
    first = start(path)
    batch = first.source.poll(10, 0, {})
    assert batch is not None
    commit(first.positions, batch, 10)
    path.unlink()
    path.write_bytes(text(lines(60, 5)))
    second = start(path, positions=first.positions)
    assert second.read() == lines(60, 5)
    assert second.faults == ["gap"]
    path.open("ab").close()
    assert start(path, positions=second.positions).read() == []


def test_lag_counts_the_bytes_not_delivered(tmp_path: Path, start: Start) -> None:
    """Per stream, down to nothing at the end."""
    path = tmp_path / "main.log"
    path.write_bytes(text(lines(0, 10, 19)))
    run = start(path)
    assert run.source.lag_bytes() == {str(path): 200}
    batch = run.source.poll(4, 0, {})
    assert batch is not None
    assert records(batch) == lines(0, 4, 19)
    assert (run.source.lag_bytes(), run.source.streams()) == ({str(path): 120}, {str(path): False})
    run.read()
    assert (run.source.lag_bytes(), run.source.streams()) == ({str(path): 0}, {str(path): True})
