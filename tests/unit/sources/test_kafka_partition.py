"""One partition: where reading begins, what its log is held to, and how batches are cut and given back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import SourceError
from pipeline.core.model import Position, RawBatch
from pipeline.sources.kafka.chunk import Chunk, Hole, chunk_of
from pipeline.sources.kafka.mark import Identity, earlier
from pipeline.sources.kafka.partition import COMPACTED, PROVEN, UNKNOWN, Bounds, Partition

LIFE = Identity("cluster", "topic-id", "audit", 3)


def chunk(first: int, values: Sequence[bytes], after: int | None = None, holes: Sequence[Hole] = ()) -> Chunk:
    offsets = np.arange(first, first + len(values), dtype=np.int64)
    return chunk_of(values, offsets, first + len(values) if after is None else after, holes, 0)


def partition(policy: str = PROVEN, check_records: int = 64, until: int | None = None) -> Partition:
    made = Partition(LIFE, policy, check_records)
    made.until = until
    return made


def values(count: int, first: int = 0) -> list[bytes]:
    return [f"value {number}".encode() for number in range(first, first + count)]


def drain(part: Partition, limit: int | None = None) -> list[RawBatch]:
    batches = []
    while part.has_news:
        batches.append(part.take(limit, 7))
    return batches


def after(batch: RawBatch) -> Position:
    return Position(batch.stream, batch.partition, int(batch.after[-1]), dict(batch.state))


def read(count: int, **parts: int) -> Position:
    """The position after `count` records were read from offset 0 on."""
    part = partition(**parts)
    part.begin(None, None, Bounds(0, count))
    part.put(chunk(0, values(count)))
    return after(drain(part)[-1])


def told(batches: Sequence[RawBatch]) -> list[tuple[str, int, int, int]]:
    return [(b.fault, b.lost.first, b.lost.last, b.lost.count) for b in batches if b.lost is not None]


def records(batches: Sequence[RawBatch]) -> list[tuple[int, bytes]]:
    return [(int(b.positions[row]), b.record(row)) for b in batches for row in range(len(b))]


def test_names() -> None:
    """The stream is topic/partition; the key of its position also holds cluster and topic id."""
    batch = partition_with(values(1))[0]
    assert (batch.stream, batch.file, batch.partition) == ("audit/3", "audit/3", "cluster/topic-id/3")


def partition_with(some: Sequence[bytes]) -> list[RawBatch]:
    part = partition()
    part.begin(None, None, Bounds(0, len(some)))
    part.put(chunk(0, some))
    return drain(part)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 7) | st.none())
def test_cuts(sizes: list[int], limit: int | None) -> None:
    """However chunks come and batches are cut, records are handed out once, in order, with the offset behind each."""
    part = partition()
    total = sum(sizes)
    part.begin(None, None, Bounds(0, total))
    at = 0
    for size in sizes:
        part.put(chunk(at, values(size, at)))
        at += size
    batches = drain(part, limit)
    assert records(batches) == list(enumerate(values(total)))
    assert all((batch.after == batch.positions + 1).all() for batch in batches)
    assert limit is None or all(len(batch) <= limit for batch in batches)
    assert part.buffered == 0


@given(st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=6), min_size=1, max_size=6), st.integers(1, 120))
def test_no_more_bytes_are_handed_out_than_asked_for(sizes: list[list[int]], size: int) -> None:
    """A batch holds as many records as fit, one at least, and of a larger chunk only its part is copied."""
    part = partition()
    texts = [[b"x" * width for width in some] for some in sizes]
    every = [text for some in texts for text in some]
    part.begin(None, None, Bounds(0, len(every)))
    at = 0
    for some in texts:
        part.put(chunk(at, some))
        at += len(some)
    batches = []
    while part.has_news:
        batches.append(part.take(None, 7, size))
    assert records(batches) == list(enumerate(every))
    for batch, behind in zip(batches, [*(b.record(0) for b in batches[1:]), b"y" * size], strict=True):
        assert len(batch) == 1 or len(batch.data) <= size + 1  # the LF behind the last record is nobody's
        assert len(batch.data) + len(behind) >= size  # the next one would not have fitted


@pytest.mark.parametrize("consumed", [0, 2, 3])
def test_what_is_given_back_comes_again(consumed: int) -> None:
    """Records the decoder could not finish wait for more behind them, and come first."""
    part = partition()
    part.begin(None, None, Bounds(0, 9))
    part.put(chunk(0, values(3)))
    batch = part.take(None, 7)
    if consumed < 3:
        part.rewind(batch, consumed)
    assert not part.has_news
    part.put(chunk(3, values(2, 3)))
    again = part.take(None, 7)
    assert records([again]) == list(enumerate(values(5)))[consumed:]


def test_nothing_more_comes_at_the_end() -> None:
    """At the end of a run, and before a fault, what was given back is final; to give it back again is an error."""
    part = partition(until=3)
    part.begin(None, None, Bounds(0, 3))
    part.put(chunk(0, values(3)))
    first = part.take(2, 7)
    assert not first.final
    part.rewind(first, 0)
    last = part.take(None, 7)
    assert last.final
    assert part.ended
    with pytest.raises(SourceError):
        part.rewind(last, 0)


def test_a_position_is_gone_on_from() -> None:
    """Records before the position are read once more to compare them, and not handed out."""
    position = read(100)
    part = partition(until=105)
    assert part.begin(position, None, Bounds(0, 105)) == 36
    part.put(chunk(36, values(30, 36)))
    assert not part.has_news
    part.put(chunk(66, values(39, 66)))
    assert records(drain(part)) == list(enumerate(values(105)))[100:]
    assert part.ended


def test_a_shorter_look_back_when_the_log_lost_its_beginning() -> None:
    """Of the records to compare, those that retention took are left out."""
    part = partition()
    assert part.begin(read(100), None, Bounds(90, 100)) == 90
    part.put(chunk(90, values(10, 90)))
    assert drain(part) == []


@given(st.integers(36, 99), st.booleans())
def test_changed_history(place: int, cut: bool) -> None:
    """The first offset that has changed is found, told, and read from there on, changed or replaced."""
    part = partition()
    part.begin(read(100), None, Bounds(0, 110))
    now = values(110)
    now[place] = b"another"
    at = 36
    for size in (20, 54) if cut else (74,):
        back = part.put(chunk(at, now[at : at + size]))
        at += size
        if back is not None:
            break
    assert back == place
    part.put(chunk(place, now[place:]))
    batches = drain(part)
    assert told(batches) == [("history_changed", place, 99, 100 - place)]
    assert batches[0].lost is not None
    assert batches[0].lost.resume == place
    assert records(batches) == list(enumerate(now))[place:]


def test_history_is_not_compared_where_records_may_vanish() -> None:
    """A compacted topic proves nothing; where the policy is not known, a change is told as a doubt."""
    assert partition(COMPACTED).begin(read(100), None, Bounds(0, 100)) == 100
    part = partition(UNKNOWN)
    part.begin(read(10), None, Bounds(0, 10))
    assert part.put(chunk(0, [b"x", *values(9, 1)])) == 0
    assert told(drain(part)) == [("history_in_doubt", 0, 9, 10)]


def test_retention_and_truncation_at_start() -> None:
    """A position before the log's beginning is a loss, one behind its end a truncation; reading goes on at the edge."""
    part = partition()
    assert part.begin(read(10), None, Bounds(14, 20)) == 14
    assert told(drain(part)) == [("retention", 10, 13, 4)]
    part = partition()
    assert part.begin(read(10), None, Bounds(0, 6)) == 6
    (batch,) = drain(part)
    assert told([batch]) == [("log_truncated", 6, 9, 4)]
    assert batch.lost is not None
    assert batch.lost.resume == 6


def test_faults_keep_their_place_among_records() -> None:
    """What was fetched before a loss is handed out before it is told, what comes after it, after."""
    part = partition()
    part.begin(None, None, Bounds(0, 5))
    part.put(chunk(0, values(5)))
    assert part.lost_place(Bounds(8, 20), None) == 8
    part.put(chunk(8, values(2, 8)))
    batches = drain(part)
    assert [b.fault or records([b])[0][0] for b in batches] == [0, "retention", 8]
    assert batches[0].final
    assert part.lost_place(Bounds(0, 20), 9) == 9
    assert told(drain(part)) == [("log_truncated", 9, 9, 1)]


def test_an_earlier_life() -> None:
    """A topic made again is told of, and read from its beginning."""
    old = Position("audit/3", "cluster/old-id/3", 55)
    part = partition()
    assert earlier({("audit/3", "cluster/old-id/3"): old, ("audit/4", "cluster/old-id/4"): old}, LIFE) is old
    assert earlier({("audit/3", LIFE.partition): old}, LIFE) is None
    assert part.begin(None, old, Bounds(2, 9)) == 2
    (batch,) = drain(part)
    assert told([batch]) == [("topic_recreated", 0, 0, 1)]
    assert batch.lost is not None
    assert "55" in batch.lost.note
    assert batch.lost.resume == 2


@pytest.mark.parametrize(("policy", "cause"), [(PROVEN, ["gap"]), (UNKNOWN, ["gap_in_doubt"]), (COMPACTED, [])])
def test_holes(policy: str, cause: list[str]) -> None:
    """A hole is a gap, a doubt or nothing, by the topic's policy; only its part behind the position counts."""
    part = partition(policy)
    part.begin(Position("audit/3", LIFE.partition, 4), None, Bounds(0, 9))
    part.put(chunk(6, values(3, 6), holes=[Hole(2, 5)]))
    assert [b.fault for b in drain(part) if b.fault] == cause


def test_markers_count_as_read() -> None:
    """An end that only markers and aborted records lead up to is reached without a record."""
    part = partition(until=9)
    part.begin(None, None, Bounds(0, 9))
    part.put(chunk(0, values(3), after=5))
    drain(part)
    assert not part.ended
    part.passed(9)
    assert part.ended
    part = partition(until=104)
    part.begin(read(100), None, Bounds(0, 104))
    part.put(chunk(36, values(60, 36)))
    assert part.passed(104) == 96
    assert told(drain(part)) == [("history_changed", 96, 99, 4)]


def test_a_state_of_another_make_is_refused() -> None:
    """A position whose state cannot be read stops the source instead of reading from a wrong place."""
    with pytest.raises(SourceError, match="tail"):
        partition().begin(Position("audit/3", LIFE.partition, 4, {"tail": 7}), None, Bounds(0, 9))


def test_line_ends_are_no_part_of_a_value() -> None:
    """One LF or CR LF at the end goes; one inside, or a second one, stays."""
    (batch,) = partition_with([b"a\n", b"b\r\n", b"c\nd", b"e\n\n", b"f\r"])
    assert [record for _, record in records([batch])] == [b"a", b"b", b"c\nd", b"e\n", b"f\r"]


@given(st.lists(st.sampled_from([b"a\n", b"bc\n", b"\n", b"\n\n", b"d\r\n", b"e", b"", None]), max_size=6))
def test_values_lie_side_by_side(some: list[bytes | None]) -> None:
    """Each without its line end, in its place; lines that bring their own LF get no second one."""
    laid = chunk_of(some, np.arange(len(some), dtype=np.int64), len(some), (), 0)
    whole = [value or b"" for value in some]
    assert [laid.value(row) for row in range(len(laid))] == [
        value.removesuffix(b"\n").removesuffix(b"\r") if value.endswith(b"\n") else value for value in whole
    ]
    assert laid.data[laid.ends].tobytes().replace(b"\r", b"\n") == b"\n" * len(some)
    if whole and all(value.endswith(b"\n") for value in whole):
        assert laid.data.tobytes() == b"".join(whole)
    assert set(laid.refused) == {row for row, value in enumerate(whole) if not value.strip()}
