"""A followed device that is caught up late: in the end all is as if both devices had been read at once."""

from __future__ import annotations

from pathlib import Path

from pipeline import config as conf
from pipeline.app import RunOptions
from pipeline.job import Run
from pipeline.line import Line
from tests.lakes import run, view
from tests.scenarios.vault_lines import pairs

TABLES = {"line": {"idle_seconds": 60.0, "commit_seconds": 0}, "detection": {"disabled": ["integrity"]}}
LEAVES = ("leaf_index", "request_leaf", "response_leaf")  # they count what was read, in the order of reading
ENTRIES, PART = 600, 100  # of each device; five hours of it
STEP = 60.0


class Shipped:
    """Two devices of one store: one is there from the start, of the other a part comes whenever all is read."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.first, second = folder / "a.log", folder / "b.log"
        requests = range(ENTRIES // 2)
        self.rest = pairs(requests, step=STEP, start=-0.001).splitlines(keepends=True)  # a moment before the other
        second.write_bytes(pairs(requests, step=STEP))
        self.written = ENTRIES
        self.go_on()

    def go_on(self) -> bool:
        """Write the next part; whether there was one."""
        part, self.rest = self.rest[:PART], self.rest[PART:]
        with self.first.open("ab") as file:
            file.writelines(part)
        self.written += len(part)
        return bool(part)


def follow(devices: Shipped, lake: Path, folder: Path) -> None:
    """Until both are read."""
    options = RunOptions((str(folder),), lake, signing_key=str(lake.parent / "signing.key"), follow=True)
    following = Run(options, conf.Settings(None, TABLES))

    def read(line: Line) -> None:
        if line.totals.entries == devices.written and not devices.go_on():
            following.stop()

    following.execute(read)


def test_a_device_that_is_caught_up_tells_of_the_same_operations(tmp_path: Path) -> None:
    """Hours behind, a hundred entries at a time: operations have the ids that a run over the whole files gives."""
    devices = Shipped(tmp_path / "logs")
    live, once = tmp_path / "live" / "lake", tmp_path / "once" / "lake"
    follow(devices, live, tmp_path / "logs")
    run(live, tmp_path / "logs", tables=TABLES)
    run(once, tmp_path / "logs", tables=TABLES)
    for name in ("operations", "integrity", "coverage"):
        ours, theirs = (view(lake, name).drop(LEAVES, strict=False) for lake in (live, once))
        assert ours.equals(theirs), name
    assert len(view(once, "operations")) == ENTRIES // 2
    assert set(view(live, "operations")["devices"].list.len()) == {2}
