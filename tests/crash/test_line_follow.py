"""`run --follow` on logs that grow and rotate, stopped and killed: in the end all is as if read once, at the end."""

from __future__ import annotations

import gzip
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.crash.line_nursery import Nursery
from tests.crash.line_story import WIDE, sent, words, write_config, write_logs
from tests.lakes import VIEWS, view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.crash.line_nursery import Child

FILE = ("file",)  # a line is read before its file is renamed, or after


class Devices:
    """Two audit files that are written bit by bit; the first is renamed and begun anew twice."""

    def __init__(self, story: Path, folder: Path, dice: random.Random) -> None:
        self.folder, self.dice = folder, dice
        folder.mkdir()
        packed = gzip.decompress((story / "audit.log.2.gz").read_bytes())
        self.parts = [packed, (story / "audit.log.1").read_bytes(), (story / "audit.log").read_bytes()]
        self.other = (story / "audit-2.log").read_bytes()
        self.steps = self._steps()

    def _steps(self) -> Iterator[None]:
        """Writes on, a little further each time it is asked; both devices reach the end together."""
        total, done, other = sum(map(len, self.parts)), 0, 0
        for number, part in enumerate(self.parts):
            if number:
                self._rotate()
            start = 0
            while start < len(part):
                end = start + self.dice.randrange(1, 12_000)
                self._append("audit.log", part[start:end])
                done, start = done + len(part[start:end]), end
                upto = len(self.other) * done // total
                self._append("audit-2.log", self.other[other:upto])
                other = upto
                yield

    def _append(self, name: str, data: bytes) -> None:
        with (self.folder / name).open("ab") as file:
            file.write(data)

    def _rotate(self) -> None:
        live = self.folder / "audit.log"
        if (first := self.folder / "audit.log.1").exists():
            first.rename(self.folder / "audit.log.2")
        live.rename(first)
        live.touch()


def write_on(devices: Devices, steps: int) -> bool:
    """So many steps with short pauses; whether there are more."""
    for _ in range(steps):
        if next(devices.steps, "end") == "end":
            return False
        time.sleep(devices.dice.random() * 0.02)
    return True


def wait_until(what: Callable[[], bool], child: Child) -> None:
    """Until something is so; the child goes on running meanwhile."""
    for _ in range(1200):
        if what():
            return
        assert not child.ended(0.05), child.text()
    raise AssertionError(f"a minute has gone by: {child.text()}")


def entries(home: Path) -> int:
    """How many the lake holds."""
    return len(view(home / "lake", "raw")) if (home / "lake" / "audit.duckdb").exists() else 0


@pytest.mark.parametrize("seed", [3, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 14))])
def test_followed_and_interrupted(nursery: Nursery, tmp_path: Path, seed: int) -> None:
    """Followed through rotations, terminated and killed in turn, the lake is that of one run over what was written."""
    dice = random.Random(seed)
    write_logs(tmp_path / "story")
    devices = Devices(tmp_path / "story", tmp_path / "logs", dice)
    (home := tmp_path / "followed").mkdir()
    (once := tmp_path / "once").mkdir()
    for folder, batch in ((home, 43), (once, WIDE)):  # nobody is idle here: both devices speak until the end
        config = write_config(folder, batch)
        config.write_text(config.read_text("utf-8").replace("[line]\n", "[line]\nidle_seconds = 1000\n"), "utf-8")
    more, stops = write_on(devices, 5), 0
    while more:
        child = nursery.start(*words(home, home / "keytrail.toml", tmp_path / "logs", "--follow"))
        wait_until(child.listens, child)
        if stops == 0:
            wait_until(lambda: entries(home) > 0, child)
        more = write_on(devices, dice.randrange(20, 60))
        time.sleep(dice.random() * 0.5)
        kind = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[stops % 3]
        child.send(kind)
        assert child.wait() in ((-signal.SIGKILL,) if kind == signal.SIGKILL else (0, 10)), child.text()
        stops += 1
    for folder in (home, once):
        child = nursery.start(*words(folder, folder / "keytrail.toml", tmp_path / "logs"))
        assert child.wait() in {0, 10}, child.text()
    assert stops >= 3
    assert [name for name in VIEWS if not same(home / "lake", once / "lake", name)] == []
    assert sent(home) == sent(once)


def same(left: Path, right: Path, name: str) -> bool:
    """Whether two lakes have the same rows, whatever their files were called and in which order they were taken in."""
    leaves = ("leaf_index", "request_leaf", "response_leaf")
    frames = [view(lake, name).drop(*FILE, *leaves, strict=False) for lake in (left, right)]
    ours, theirs = (f.sort([c for c, kind in f.schema.items() if not kind.is_nested()]) for f in frames)
    return ours.equals(theirs)
