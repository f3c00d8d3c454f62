"""What is read of the paths a user gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.errors import NoInputError, SourceError
from pipeline.core.model import Position
from pipeline.sources.file_tail.discover import discover

from .conftest import Start


def test_a_folder_is_read_recursively_without_what_is_no_log(tmp_path: Path, start: Start) -> None:
    """Hidden files, labels, code, tables and lakes are left out and named; the rest is read in sorted order."""
    for name in (
        "b.log", "a.json", "sub/c.txt", ".hidden", ".git/config.log", "labels.jsonl", "story.md", "x.py", "m.prom",
        "m.prom.1", "t.csv.gz", "state.sqlite3-wal", "edit.log~", "lake/audit.duckdb", "lake/commit.sqlite",
        "lake/ledger/checkpoint",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(f"{name}\n")
    run = start(tmp_path)
    assert run.read() == [b"a.json", b"b.log", b"sub/c.txt"]
    skipped = {os.path.relpath(path, tmp_path) for path in run.source.skipped}
    assert skipped == {
        ".hidden", "labels.jsonl", "story.md", "x.py", "m.prom", "m.prom.1", "t.csv.gz", "state.sqlite3-wal",
        "edit.log~", "lake",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["audit.duckdb", "commit.sqlite"])
def test_half_a_lake_is_none(tmp_path: Path, start: Start, name: str) -> None:
    """A file that only has the name of one of a lake's does not keep a folder from being read."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/main.log").write_text("one\n")
    (tmp_path / "logs" / name).touch()
    run = start(tmp_path)
    assert run.read() == [b"one"]
    assert run.source.skipped == [str(tmp_path / "logs" / name)]


def test_an_excluded_pattern_is_left_out_of_folders_only(tmp_path: Path, start: Start) -> None:
    """`exclude` speaks of names met in folders; a file given by name is read."""
    (tmp_path / "debug.log").write_text("debug\n")
    (tmp_path / "main.log").write_text("main\n")
    assert start(tmp_path, exclude=("debug*",)).read() == [b"main"]
    assert start(tmp_path / "debug.log", exclude=("debug*",)).read() == [b"debug"]


def test_a_file_given_by_name_is_read_whatever_its_name(tmp_path: Path, start: Start) -> None:
    """Only folders are sifted."""
    (tmp_path / "story.md").write_text("told\n")
    assert start(tmp_path / "story.md").read() == [b"told"]


def test_links_that_lead_round_in_a_circle_are_walked_once(tmp_path: Path, start: Start) -> None:
    """A folder linked into itself, and a second name of a file, bring every record once."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/main-20260101.log").write_text("one\n")
    (tmp_path / "logs/current.log").symlink_to("main-20260101.log")
    (tmp_path / "logs/again").symlink_to("..", target_is_directory=True)
    (tmp_path / "logs/broken.log").symlink_to("nowhere")
    run = start(tmp_path)
    assert run.read() == [b"one"]
    assert [batch.file for batch in run.batches] == [str(tmp_path / "logs/main-20260101.log")]
    assert [fault.file for fault in run.source.faults] == [str(tmp_path / "logs/broken.log")]


def test_a_link_given_by_name_is_the_stream(tmp_path: Path, start: Start) -> None:
    """The stream is the path as given, also when it is a link."""
    (tmp_path / "real.log").write_text("one\n")
    (tmp_path / "live.log").symlink_to("real.log")
    run = start(tmp_path / "live.log")
    assert run.read() == [b"one"]
    assert run.batches[0].stream == run.batches[0].file == str(tmp_path / "live.log")


def test_a_path_that_does_not_exist_is_no_input(tmp_path: Path, start: Start) -> None:
    """The message names the path."""
    with pytest.raises(NoInputError, match=r"no such file or folder: .*absent\.log"):
        start(tmp_path / "absent.log")


def test_a_folder_without_logs_is_no_input(tmp_path: Path, start: Start) -> None:
    """The message says what was looked for and that something else was there."""
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(NoInputError, match=r"plain, \.gz or \.zst.*a file was left out"):
        start(tmp_path)


def test_a_pipe_in_a_folder_is_reported_and_passed_over(tmp_path: Path, start: Start) -> None:
    """What is no regular file is never opened, which could block."""
    os.mkfifo(tmp_path / "pipe.log")
    (tmp_path / "main.log").write_text("one\n")
    run = start(tmp_path)
    assert run.read() == [b"one"]
    assert [(fault.cause, "give `-`" in fault.message) for fault in run.source.faults] == [("unreadable", True)]


def test_a_compression_that_is_not_read_is_reported(tmp_path: Path, start: Start) -> None:
    """Bytes of an xz file are not taken for a log."""
    (tmp_path / "old.log").write_bytes(b"\xfd7zXZ\0rest")
    (tmp_path / "main.log").write_text("one\n")
    run = start(tmp_path)
    assert run.read() == [b"one"]
    assert ["compressed with xz" in fault.message for fault in run.source.faults] == [True]


_UNPRIVILEGED = """
import os, sys
from pipeline.core.errors import NoInputError
from pipeline.sources.file_tail import Config, create
if os.getuid() == 0:
    os.setuid(65534)
folder = sys.argv[1]
source = create(Config(), [folder], {}, follow=False, clock=lambda: 1)
batch = source.poll(None, 0, {})
print([batch.record(i) for i in range(len(batch))], source.poll(None, 0, {}), source.exhausted)
print([fault.message.removeprefix(folder) for fault in source.faults])
try:
    create(Config(), [folder + "/secret.log"], {}, follow=False, clock=lambda: 1)
except NoInputError as error:
    print(str(error).removeprefix(folder))
"""


def test_a_file_that_may_not_be_read_does_not_stop_the_others(tmp_path: Path) -> None:
    """It is reported; given alone it is no input."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    (tmp_path / "main.log").write_text("one\n")
    (tmp_path / "secret.log").write_text("two\n")
    (tmp_path / "secret.log").chmod(0)
    done = subprocess.run(
        [sys.executable, "-c", _UNPRIVILEGED, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "[b'one'] None True", "['/secret.log: permission denied']", "/secret.log: permission denied",
    ]  # fmt: skip


def test_a_position_of_another_make_stops_the_source(tmp_path: Path, start: Start) -> None:
    """State that cannot be understood is not guessed at."""
    path = tmp_path / "main.log"
    path.write_text("one\n")
    bad = Position(str(path), "p", 4, {"head_len": "four"})
    with pytest.raises(SourceError, match="head_len"):
        start(path, positions={(str(path), "p"): bad})


@pytest.mark.parametrize("given", ["folder", "file"])
def test_a_name_that_is_no_utf8_is_told_and_its_neighbours_are_read(given: str, tmp_path: Path, start: Start) -> None:
    """No stream can have such a name: the reason shows its bytes, whether it was met in a folder or named."""
    odd = os.fsencode(tmp_path) + b"/odd-\xff.log"
    try:
        Path(os.fsdecode(odd)).write_text("odd\n")
    except OSError:
        pytest.skip("this file system takes no such names")
    (tmp_path / "main.log").write_text("main\n")
    paths = [tmp_path] if given == "folder" else [tmp_path / "main.log", Path(os.fsdecode(odd))]
    found = discover([str(path) for path in paths], ())
    assert [os.path.basename(path) for path in found.files] == ["main.log"]
    assert {os.path.basename(path): why for path, why in found.unreadable.items()} == {
        "odd-\\xff.log": "its name is not UTF-8; rename it, or pipe it in and give `-` as the path"
    }
    assert start(*paths).read() == [b"main"]


def test_digests_of_a_mirrored_trail_are_no_logs(tmp_path: Path, start: Start) -> None:
    """The folder of CloudTrail's digests is left out; the logs beside it are read."""
    for name in ("CloudTrail", "CloudTrail-Digest"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.json").write_bytes(b"x\n")
    run = start(tmp_path)
    assert list(run.source.streams()) == [str(tmp_path / "CloudTrail" / "one.json")]
    assert run.source.skipped == [str(tmp_path / "CloudTrail-Digest")]
