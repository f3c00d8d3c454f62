"""The JSON-lines file through crashes, full disks and rotations."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.core.clock import system_clock
from pipeline.core.errors import DeliveryError
from pipeline.sinks.ocsf_jsonl import Config, create, wire
from tests.receivers.messages import message

HOUR = 3_600_000_000_000


class Clock:
    def __init__(self) -> None:
        self.ns = 500_000 * HOUR

    def __call__(self) -> int:
        return self.ns


SINKS: list[Any] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while SINKS:
        SINKS.pop().close()


def made(path: Path, clock: Clock | None = None, **given: Any) -> Any:
    SINKS.append(create(Config(path=str(path), **given), clock=clock or system_clock))
    return SINKS[-1]


def ids(path: Path) -> list[str]:
    return [json.loads(line)["metadata"]["uid"] for line in path.read_text("utf-8").splitlines()]


def test_is_private_and_appends(tmp_path: Path) -> None:
    """The file is 0600 in a folder 0700, one process writes it at a time, and what was there stays."""
    path = tmp_path / "out" / "alerts.jsonl"
    first = made(path)
    first.send([message(1)])
    with pytest.raises(DeliveryError, match="unavailable"):
        made(path).send([message(2)])
    first.close()
    made(path).send([message(2)])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert ids(path) == [message(1).event_id, message(2).event_id]


def test_a_torn_line_is_cut_and_known_ids_are_skipped(tmp_path: Path) -> None:
    """After a crash in the middle of a line, the rest of it goes; events that are whole are not written again."""
    path = tmp_path / "alerts.jsonl"
    whole, torn = wire(message(1), Config(path="x")), wire(message(2), Config(path="x"))
    path.write_bytes(whole + b"not json\n" + torn[:-20])
    sink = made(path)
    assert sink.send([message(1), message(2), message(2)]) == {}
    assert path.read_bytes() == whole + b"not json\n" + torn
    assert (sink.torn, sink.unreadable, sink.skipped, sink.sent) == (1, 1, 2, 1)


def test_only_the_tail_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file costs a bounded look: ids before the tail are not known, those in it are."""
    monkeypatch.setattr("pipeline.sinks.ocsf_jsonl.file.TAIL_BYTES", 3000)
    path = tmp_path / "alerts.jsonl"
    path.write_bytes(b"".join(wire(message(number), Config(path="x")) for number in range(1, 9)))
    sink = made(path)
    sink.send([message(1), message(8)])
    assert ids(path)[8:] == [message(1).event_id]


def test_rotates_by_size(tmp_path: Path) -> None:
    """A full file is set aside under the time of its last write; two in one second do not meet."""
    path, clock = tmp_path / "alerts.jsonl", Clock()
    sink = made(path, clock, max_bytes=100)
    for number in range(1, 4):
        sink.send([message(number)])
    assert ids(path) == [message(3).event_id]
    aside = sorted(p for p in tmp_path.iterdir() if p != path)
    assert [p.name for p in aside] == ["alerts.jsonl.20270115T080000Z", "alerts.jsonl.20270115T080000Z.1"]
    assert [ids(p) for p in aside] == [[message(1).event_id], [message(2).event_id]]
    assert sink.rotated == 2


def test_rotates_by_age_even_after_a_restart(tmp_path: Path) -> None:
    """A file last written in an earlier period is set aside before the next line."""
    path, clock = tmp_path / "alerts.jsonl", Clock()
    first = made(path, clock, max_age_hours=24)
    first.send([message(1)])
    first.close()
    os.utime(path, ns=(clock.ns, clock.ns))
    clock.ns += 24 * HOUR
    sink = made(path, clock, max_age_hours=24)
    sink.send([message(2)])
    sink.send([message(3)])
    assert ids(path) == [message(2).event_id, message(3).event_id]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_crash_inside_a_rotation_is_finished(tmp_path: Path) -> None:
    """A file found under both names gives up the old one, and nothing is written to it."""
    path, aside = tmp_path / "alerts.jsonl", tmp_path / "alerts.jsonl.aside"
    first = made(path)
    first.send([message(1)])
    first.close()
    os.link(path, aside)
    sink = made(path)
    sink.send([message(2)])
    assert (ids(aside), ids(path)) == ([message(1).event_id], [message(2).event_id])


def test_somebody_elses_rotation_is_noticed(tmp_path: Path) -> None:
    """When the file is moved away, the next line starts a new one."""
    path = tmp_path / "alerts.jsonl"
    sink = made(path)
    sink.send([message(1)])
    path.rename(tmp_path / "moved")
    sink.send([message(2)])
    assert ids(path) == [message(2).event_id]


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails midway is taken back, the error says why, and the next attempt writes everything."""
    path = tmp_path / "alerts.jsonl"
    sink = made(path)
    sink.send([message(1)])
    before, real = path.read_bytes(), os.write

    def short(fd: int, data: bytes) -> int:
        if len(data) > 100:
            return real(fd, data[:100])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.sinks.ocsf_jsonl.file.os.write", _after(short, real))
        with pytest.raises(DeliveryError, match="No space left") as raised:
            sink.send([message(2)])
    assert not raised.value.permanent
    assert path.read_bytes() == before
    sink.send([message(2)])
    assert ids(path) == [message(1).event_id, message(2).event_id]


def _after(first: Any, then: Any) -> Any:
    """Once through `first`, which writes a part, then an error."""
    calls = iter([first])

    def write(fd: int, data: bytes) -> int:
        function = next(calls, None)
        if function is None:
            raise OSError(28, "No space left on device")
        return int(function(fd, data))

    return write


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A symbolic link where the file should be is refused."""
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "alerts.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DeliveryError):
        made(tmp_path / "alerts.jsonl").send([message(1)])
    assert (tmp_path / "elsewhere").read_text() == "mine"


@pytest.mark.parametrize("given", [{"path": ""}, {"path": "x", "max_bytes": 0}, {"path": "x", "max_age_hours": 0}])
def test_a_config_that_makes_no_sense_is_refused(given: dict[str, Any]) -> None:
    """No path and no room are errors at once."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(given, Config)
