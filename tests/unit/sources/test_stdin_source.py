"""Reading a pipe."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pipeline.core.errors import SourceError
from pipeline.sources.stdin import Config, Stdin, create

from .conftest import Positions, commit, lines, records, text


@contextmanager
def _pipe(data: bytes, positions: Positions, *, piece: int = 1 << 16) -> Iterator[Stdin]:
    """A source over a pipe into which another thread writes."""
    outlet, inlet = os.pipe()

    def write() -> None:
        with os.fdopen(inlet, "wb", buffering=0) as file:
            for at in range(0, len(data), piece):
                file.write(data[at : at + piece])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield create(Config(), positions, follow=True, clock=lambda: 7, fd=outlet)
    finally:
        while os.read(outlet, 1 << 16):
            pass
        writer.join()
        os.close(outlet)


def _read(source: Stdin, positions: Positions, limit: int | None = None) -> list[bytes]:
    got: list[bytes] = []
    while not source.exhausted:
        batch = source.poll(limit, 30, {})
        if batch is not None:
            got += records(batch)
            commit(positions, batch, len(batch))
    return got


@pytest.mark.parametrize("limit", [1, 7, None])
@pytest.mark.parametrize("piece", [5, 1 << 16])
def test_a_pipe_is_read_to_its_end(limit: int | None, piece: int) -> None:
    """Every record comes once, the unterminated last one too, however the pipe delivers; then the source is done."""
    positions: Positions = {}
    with _pipe(text(lines(0, 90)) + b"end", positions, piece=piece) as source:
        assert _read(source, positions, limit) == [*lines(0, 90), b"end"]
        assert source.poll(None, 0, {}) is None
        assert source.streams() == {"-": True}
    ((stream, _), position) = next(iter(positions.items()))
    assert (stream, position.offset) == ("-", len(text(lines(0, 90))) + 3)


def test_the_same_bytes_again_bring_only_what_is_new() -> None:
    """A killed run is resumed by piping the same log in again; the position is exact."""
    positions: Positions = {}
    with _pipe(text(lines(0, 500)), positions) as source:
        batch = source.poll(400, 30, {})
        assert batch is not None
        commit(positions, batch, 123)
    with _pipe(text(lines(0, 700)), positions) as source:
        assert _read(source, positions) == lines(123, 577)
        assert source.faults == []
    assert len(positions) == 1


def test_another_pipe_is_another_partition() -> None:
    """What begins otherwise is read from its start, also when only the first line is the same."""
    positions: Positions = {}
    for first in (0, 100, 200):
        with _pipe(b"# banner\n" + text(lines(first, 90)), positions) as source:
            assert _read(source, positions) == [b"# banner", *lines(first, 90)]
    assert len(positions) == 3
    assert sorted(position.state["generation"] for position in positions.values()) == [1, 2, 3]


def test_changed_history_is_told() -> None:
    """The same beginning with other bytes before the offset: `altered` on the next batch."""
    positions: Positions = {}
    with _pipe(text(lines(0, 500)), positions) as source:
        _read(source, positions)
    changed = text(lines(0, 510)).replace(b"line 490 ", b"line 49X ")
    with _pipe(changed, positions) as source:
        batch = source.poll(None, 30, {})
        assert batch is not None
        assert (batch.fault, records(batch)) == ("altered", lines(500, 10))
        assert [fault.cause for fault in source.faults] == ["altered"]


def test_a_pipe_that_ends_before_the_offset_brings_nothing() -> None:
    """It is reported as `truncated`, and the position stays where it was."""
    positions: Positions = {}
    with _pipe(text(lines(0, 500)), positions) as source:
        _read(source, positions)
    with _pipe(text(lines(0, 400)), positions) as source:
        assert _read(source, positions) == []
        assert [fault.cause for fault in source.faults] == ["truncated"]


def test_records_given_back_come_again_and_at_the_end_for_good() -> None:
    """A decoder that waits for more gets it; at the end of the pipe the batch is final and must be taken."""
    with _pipe(text(lines(0, 5)), {}) as source:
        sizes = []
        while not (batch := source.poll(2, 30, {})) or not batch.final:
            assert batch is not None
            sizes.append(len(batch))
            source.rewind(batch, 0)
        assert (sizes, len(batch)) == ([2, 4], 5)
        with pytest.raises(SourceError, match="did not finish"):
            source.rewind(batch, 0)


def test_an_empty_pipe_ends_at_once() -> None:
    """No batch, no position, no fault."""
    with _pipe(b"", {}) as source:
        assert source.poll(None, 30, {}) is None
        assert (source.exhausted, source.faults) == (True, [])


def test_a_silent_pipe_does_not_hold_poll() -> None:
    """With nothing written poll comes back when its time is up."""
    outlet, inlet = os.pipe()
    source = create(Config(), {}, follow=False, clock=lambda: 7, fd=outlet)
    assert source.poll(None, 0.02, {}) is None
    assert not source.exhausted
    os.close(inlet)
    os.close(outlet)


def test_a_compressed_pipe_is_refused_with_advice() -> None:
    """Compressed bytes are not taken for a log."""
    with _pipe(gzip.compress(text(lines(0, 5))), {}) as source, pytest.raises(SourceError, match="zcat"):
        source.poll(None, 30, {})
