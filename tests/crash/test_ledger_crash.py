"""kill -9 at every step of the ledger's write order: the restart goes on, nothing forks, verification is clean."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from pipeline.ledger import checkpoint as checkpoints
from pipeline.ledger import note, policy
from pipeline.ledger.checkpoint import Checkpoint
from pipeline.ledger.tiles import TileReader
from pipeline.ledger.verify import verify
from tests.crash.line_nursery import ROOT, Nursery
from tests.unit.ledger.small_lake import SmallLake, records

POINTS = (
    "lake.files",
    "ledger.file",
    "ledger.entries",
    "ledger.tiles",
    "ledger.control",
    "ledger.intent",
    "lake.commit",
    "ledger.guard",
    "ledger.signed",
    "ledger.copy",
    "ledger.checkpoint",
    "ledger.tidied",
)
COUNT = 1500


class Story:
    """One lake through several lives, and every head that anybody could have seen in them."""

    def __init__(self, nursery: Nursery, folder: Path) -> None:
        self.nursery, self.folder = nursery, folder / "lake"
        self.source = folder / "audit.log"
        self.source.write_bytes(b"".join(line + b"\n" for line in records(COUNT)))
        self.seen: dict[int, bytes] = {}

    def live(self, lines: int, fault: str = "") -> int:
        child = self.nursery.start(self.folder, self.source, str(lines), fault=fault)
        assert child.wait() in {0, -signal.SIGKILL}, child.text()
        self.look()
        return child.wait()

    def look(self) -> None:
        """Signed heads, wherever they lie: one root per size, for ever."""
        for path in [self.folder / "ledger/checkpoint", *(self.folder / "ledger/checkpoints").glob("[0-9]*")]:
            if path.exists():
                self.remember(checkpoints.parse(note.parse(path.read_bytes()).text))
        with sqlite3.connect(self.folder / "control.sqlite") as db:
            for (text,) in db.execute("select head from commits"):
                head = json.loads(text)
                self.remember(Checkpoint("", head["size"], bytes.fromhex(head["root_hex"])))

    def remember(self, head: Checkpoint) -> None:
        assert self.seen.setdefault(head.size, head.root) == head.root, f"two roots for size {head.size}"

    def verified(self) -> SmallLake:
        lake = SmallLake.__new__(SmallLake)
        lake.folder, lake._db = self.folder, sqlite3.connect(self.folder / "control.sqlite")
        return lake

    def finish(self) -> None:
        """What the uninterrupted run would have: every line once, every head a beginning of the last one."""
        lake = SmallLake(self.folder)
        report = lake.verify()
        assert report.exit_code == 0, report.rows
        reader = TileReader(self.folder / "ledger", report.size)
        for size, root in self.seen.items():
            assert reader.root(size) == root
        rows = pl.concat(lake.rows()).sort("position")
        assert b"".join(rows["raw"].to_list()) == self.source.read_bytes()
        lake.close()


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("nursery"), "tests.crash.ledger_driver:main") as nursery:
        yield nursery


def test_every_step_of_the_ledger_that_is_in_the_code_is_died_at() -> None:
    """A fault point that is added to the ledger has to be added here, and one that is gone taken out."""
    code = "".join(path.read_text("utf-8") for path in sorted((ROOT / "pipeline/ledger").rglob("*.py")))
    there = set(re.findall(r'faults\.point\("([a-z._]+)"\)', code))
    assert there == {point for point in POINTS if point.startswith("ledger.")}
    assert len(re.findall(r"faults\.point\(", code)) == len(there)


def verify_untouched(story: Story) -> None:
    """Verification between death and restart, by a reader that repairs nothing."""
    known = policy.read(story.folder / "ledger/policy")
    if known is not None:
        report = verify(story.folder, known.logs[0], story.verified().snapshot)
        assert report.exit_code == 0, report.rows


@pytest.mark.parametrize("point", POINTS)
def test_a_death_at_any_step_is_survived(nursery: Nursery, tmp_path: Path, point: str) -> None:
    """Die at the third commit's step, verify what is there, restart with other batches, verify again."""
    story = Story(nursery, tmp_path)
    assert story.live(210, fault=f"{point}:3") == -signal.SIGKILL
    verify_untouched(story)
    assert story.live(333) == 0
    story.finish()


def test_deaths_at_every_step_one_after_another_are_survived(nursery: Nursery, tmp_path: Path) -> None:
    """One lake that dies at each step in turn, each time cutting its batches differently."""
    story = Story(nursery, tmp_path)
    for life, point in enumerate((*POINTS, *reversed(POINTS))):
        story.live(20 + 17 * life, fault=point)
        verify_untouched(story)
    assert story.live(500) == 0
    story.finish()


def test_a_death_in_the_first_commit_leaves_nothing_behind(nursery: Nursery, tmp_path: Path) -> None:
    """Before anything was committed there is no log yet, and the second life starts it."""
    story = Story(nursery, tmp_path)
    assert story.live(300, fault="ledger.intent") == -signal.SIGKILL
    assert not (story.folder / "ledger/checkpoint").exists()
    assert story.live(299) == 0
    story.finish()
