"""What happens to a followed log: it grows, is renamed, copied, cut back, replaced, deleted."""

from __future__ import annotations

import gzip
import os
import threading
import time
from pathlib import Path

import pytest

from pipeline.core.errors import NoInputError

from .conftest import Start, commit, lines, records, text


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_an_unterminated_line_waits_for_its_end(tmp_path: Path, start: Start) -> None:
    """Under follow half a line is not delivered, and a whole one once."""
    path = tmp_path / "main.log"
    path.write_bytes(b"one\ntw")
    run = start(path, follow=True)
    assert run.read() == [b"one"]
    assert run.source.streams() == {str(path): True}
    _append(path, b"o")
    assert run.read() == []
    _append(path, b"\nthree\n")
    assert run.read() == [b"two", b"three"]
    assert [batch.final for batch in run.batches] == [False, False]
    assert not run.source.exhausted


def test_a_folder_without_a_log_is_waited_for(tmp_path: Path, start: Start) -> None:
    """Whoever follows may begin before the store has written; what can never be read is refused all the same."""
    folder = tmp_path / "logs"
    folder.mkdir()
    run = start(folder, follow=True)
    assert run.read() == []
    assert run.source.waits_for.startswith(f"nothing to read in {folder}")
    _append(folder / "main.log", b"one\n")
    assert run.read() == [b"one"]
    with pytest.raises(NoInputError, match="no such file or folder"):
        start(tmp_path / "absent", follow=True)
    (tmp_path / "pipes").mkdir()
    os.mkfifo(tmp_path / "pipes" / "pipe.log")
    with pytest.raises(NoInputError, match="not a regular file"):
        start(tmp_path / "pipes", follow=True)


def test_an_entry_given_back_waits_for_more_lines(tmp_path: Path, start: Start) -> None:
    """Records the decoder could not finish are not shown again before there are more of them."""
    path = tmp_path / "main.log"
    path.write_bytes(b"{\n")
    run = start(path, follow=True)
    batch = run.source.poll(None, 0, {})
    assert batch is not None
    run.source.rewind(batch, 0)
    assert run.source.poll(None, 0, {}) is None
    _append(path, b"}\n")
    assert run.read() == [b"{", b"}"]


def test_a_renamed_log_is_read_to_its_end_before_the_new_one(tmp_path: Path, start: Start) -> None:
    """What the writer still adds to the renamed file is found, under its new name and its old partition."""
    path, old = tmp_path / "main.log", tmp_path / "main.log.1"
    path.write_bytes(b"one\n")
    run = start(path, follow=True)
    assert run.read() == [b"one"]
    path.rename(old)
    _append(old, b"two\n")
    path.write_bytes(b"three\n")
    assert run.read() == [b"two", b"three"]
    _append(old, b"late\n")
    assert run.read() == [b"late"]
    assert [(Path(b.file).name, b.stream) for b in run.batches[1:]] == [
        ("main.log.1", str(path)), ("main.log", str(path)), ("main.log.1", str(path)),
    ]  # fmt: skip
    assert run.batches[0].partition == run.batches[1].partition == run.batches[3].partition
    assert [batch.state["generation"] for batch in run.batches] == [1, 1, 2, 1]
    assert run.source.faults == []


def test_a_rotated_file_that_ends_within_a_line_is_finished_after_a_while(tmp_path: Path, start: Start) -> None:
    """The new file waits until nobody can be completing the old one any more; then the rest is a record, final."""
    path = tmp_path / "main.log"
    path.write_bytes(b"one\nhalf")
    run = start(path, follow=True, settle_seconds=0.2)
    assert run.read() == [b"one"]
    path.rename(tmp_path / "main.log.1")
    path.write_bytes(b"next\n")
    assert run.read() == []
    time.sleep(0.25)
    assert run.read() == [b"half", b"next"]
    assert [(b.final, b.fault) for b in run.batches] == [(False, ""), (True, ""), (False, "")]


def test_a_copied_and_truncated_log_is_finished_in_its_copy(tmp_path: Path, start: Start) -> None:
    """The unread end is read from the copy under the same partition, then the file from its start; nothing is lost."""
    path, copy = tmp_path / "main.log", tmp_path / "main.log.1"
    path.write_bytes(b"one\n")
    run = start(path, follow=True)
    assert run.read() == [b"one"]
    _append(path, b"two\n")
    copy.write_bytes(path.read_bytes())
    os.truncate(path, 0)
    _append(path, b"three is longer than what there was before\n")
    assert run.read() == [b"two", b"three is longer than what there was before"]
    assert run.batches[1].partition == run.batches[0].partition
    assert run.source.faults == []


def test_a_copy_in_the_making_is_not_read(tmp_path: Path, start: Start) -> None:
    """Between copy and truncation both files hold the same: it is read once."""
    path = tmp_path / "main.log"
    path.write_bytes(text(lines(0, 9)))
    run = start(tmp_path, follow=True)
    assert run.read() == lines(0, 9)
    (tmp_path / "main.log.1").write_bytes(text(lines(0, 5)))
    (tmp_path / "main.log.2.gz").write_bytes(gzip.compress(text(lines(0, 9))))
    assert run.read() == []
    assert [os.path.basename(name) for name in run.source.skipped] == ["main.log.1", "main.log.2.gz"]


def test_a_log_cut_back_in_place_is_read_anew_and_told(tmp_path: Path, start: Start) -> None:
    """Nothing unread was known, so bytes may have been lost: `truncated`, once, on the first batch after."""
    path = tmp_path / "main.log"
    path.write_bytes(b"one\ntwo\n")
    run = start(path, follow=True)
    assert run.read() == [b"one", b"two"]
    path.write_bytes(b"new\n")
    assert run.read() == [b"new"]
    _append(path, b"newer\n")
    assert run.read() == [b"newer"]
    assert [batch.fault for batch in run.batches] == ["", "truncated", ""]
    assert len({batch.partition for batch in run.batches}) == 2


def test_a_log_cut_back_with_an_unread_end_is_a_gap(tmp_path: Path, start: Start) -> None:
    """Records were seen and not read before they went away: `gap`, and no word of them is delivered."""
    path = tmp_path / "main.log"
    path.write_bytes(text(lines(0, 200)))
    run = start(path, follow=True, block_bytes=1024)
    batch = run.source.poll(5, 0, {})
    assert batch is not None
    assert records(batch) == lines(0, 5)
    path.write_bytes(b"new\n")
    assert run.read()[-1] == b"new"
    assert run.faults == ["gap"]


def test_a_log_cut_back_and_written_on_past_the_offset_is_read_anew_and_told(tmp_path: Path, start: Start) -> None:
    """Between two looks it lost its end and grew beyond it again: `altered`, and no new line goes unread."""
    path = tmp_path / "main.log"
    path.write_bytes(text(lines(0, 400)))
    run = start(path, follow=True)
    assert run.read() == lines(0, 400)
    os.truncate(path, 300 * 21)
    _append(path, text(lines(500, 200)))
    assert run.read() == [*lines(0, 300), *lines(500, 200)]
    _append(path, b"newer\n")
    assert run.read() == [b"newer"]
    assert [fault for fault in run.faults if fault] == ["altered"]
    assert run.source.lag_bytes() == {str(path): 0}


def test_a_copied_and_truncated_log_that_grew_past_the_offset_is_finished_in_its_copy(
    tmp_path: Path, start: Start
) -> None:
    """The file's beginning is that of the copy, its end is not: both are read once, and nothing is told."""
    path, copy = tmp_path / "main.log", tmp_path / "main.log.1"
    path.write_bytes(text(lines(0, 400)))
    run = start(path, follow=True)
    assert run.read() == lines(0, 400)
    copy.write_bytes(path.read_bytes() + text(lines(400, 5)))
    path.write_bytes(b"#" + text(lines(500, 600)))
    assert run.read() == [*lines(400, 5), b"#" + lines(500, 1)[0], *lines(501, 599)]
    assert run.source.faults == []


def test_a_deleted_log_is_read_on_while_its_writer_has_it(tmp_path: Path, start: Start) -> None:
    """An unlinked file keeps being written until its writer reopens; no fault, since nothing is lost."""
    path = tmp_path / "main.log"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"one\n")
        run = start(path, follow=True)
        assert run.read() == [b"one"]
        path.unlink()
        writer.write(b"two\n")
        assert run.read() == [b"two"]
        path.write_bytes(b"three\n")
        writer.write(b"last\n")
        assert run.read() == [b"last", b"three"]
    assert run.source.faults == []


def test_a_log_replaced_while_nobody_read_is_told(tmp_path: Path, start: Start) -> None:
    """Between runs the file became another one and no sibling holds the old: `recreated`, on the first batch."""
    path = tmp_path / "main.log"
    path.write_bytes(b"one\n")
    first = start(path, follow=True)
    assert first.read() == [b"one"]
    (tmp_path / "new").write_bytes(b"new\n")
    (tmp_path / "new").rename(path)
    second = start(path, positions=first.positions, follow=True)
    assert second.read() == [b"new"]
    assert [batch.fault for batch in second.batches] == ["recreated"]
    assert start(path, positions=second.positions, follow=True).read() == []


def test_a_rewritten_log_with_the_same_content_is_the_same_log(tmp_path: Path, start: Start) -> None:
    """An editor that writes a new file and renames it over the old one changes no history."""
    path = tmp_path / "main.log"
    path.write_bytes(b"one\n")
    run = start(path, follow=True)
    assert run.read() == [b"one"]
    (tmp_path / "new").write_bytes(b"one\ntwo\n")
    (tmp_path / "new").rename(path)
    assert run.read() == [b"two"]
    assert run.faults == []


def test_a_link_that_is_pointed_elsewhere_is_followed(tmp_path: Path, start: Start) -> None:
    """The old target is read to its end, then the new one, all of it one stream."""
    live = tmp_path / "live.log"
    (tmp_path / "a").write_bytes(b"one\n")
    live.symlink_to("a")
    run = start(live, follow=True)
    assert run.read() == [b"one"]
    _append(tmp_path / "a", b"two\n")
    (tmp_path / "b").write_bytes(b"three\n")
    live.unlink()
    live.symlink_to("b")
    assert run.read() == [b"two", b"three"]
    assert {batch.stream for batch in run.batches} == {str(live)}
    assert run.faults == []


def test_a_new_file_in_a_followed_folder_is_found(tmp_path: Path, start: Start) -> None:
    """A device added later, in a new folder too, becomes a stream of its own."""
    (tmp_path / "main.log").write_bytes(b"one\n")
    run = start(tmp_path, follow=True)
    assert run.read() == [b"one"]
    (tmp_path / "node2").mkdir()
    (tmp_path / "node2/audit.log").write_bytes(b"two\n")
    assert run.read() == [b"two"]
    assert set(run.source.streams()) == {str(tmp_path / "main.log"), str(tmp_path / "node2/audit.log")}


def test_poll_waits_for_news_and_no_longer_than_asked(tmp_path: Path, start: Start) -> None:
    """A line written by another thread ends the wait; without one, poll comes back empty-handed."""
    path = tmp_path / "main.log"
    path.write_bytes(b"")
    run = start(path, follow=True, poll_seconds=0.01)
    assert run.source.poll(None, 0.05, {}) is None
    writer = threading.Timer(0.05, _append, (path, b"one\n"))
    writer.start()
    batch = run.source.poll(None, 30, {})
    writer.join()
    assert batch is not None
    assert records(batch) == [b"one"]


def test_a_line_written_in_many_pieces_is_read_once_over(tmp_path: Path, start: Start) -> None:
    """A long line that grows piece by piece, past the cap, arrives as one record with its whole size."""
    path = tmp_path / "main.log"
    path.write_bytes(b"")
    run = start(path, follow=True, max_record_bytes=4096)
    for _ in range(50):
        _append(path, b"x" * 1000)
        assert run.read() == []
    _append(path, b"\nnext\n")
    assert run.read() == [b"x" * 4096, b"next"]
    assert [item.size for batch in run.batches for item in batch.oversize] == [50_000]


def test_a_compressed_file_still_being_written_is_waited_for(tmp_path: Path, start: Start) -> None:
    """Under follow a compressed file that ends too early may only be unfinished; it is read on when it grows."""
    data = gzip.compress(text(lines(0, 5000)))
    path = tmp_path / "main.log.1.gz"
    path.write_bytes(data[:4000])
    run = start(tmp_path, follow=True, settle_seconds=30)
    got = run.read()
    assert 0 < len(got) < 5000
    _append(path, data[4000:])
    assert got + run.read() == lines(0, 5000)
    assert (run.faults, run.batches[-1].final) == ([], True)


def test_a_log_that_vanished_with_its_run_is_taken_up_in_its_rotated_file(tmp_path: Path, start: Start) -> None:
    """Killed in the middle, rotated twice while down: the next run goes on in the right file at the right byte."""
    path = tmp_path / "main.log"
    path.write_bytes(text(lines(0, 100)))
    first = start(path, follow=True)
    batch = first.source.poll(40, 0, {})
    assert batch is not None
    commit(first.positions, batch, 33)
    first.source.close()
    (tmp_path / "main.log.2.gz").write_bytes(gzip.compress(text(lines(0, 110))))
    path.write_bytes(text(lines(110, 5)))
    path.rename(tmp_path / "main.log.1")
    path.write_bytes(text(lines(115, 5)))
    second = start(path, positions=first.positions, follow=True)
    assert second.read(8) == lines(33, 87)
    assert second.faults == []
