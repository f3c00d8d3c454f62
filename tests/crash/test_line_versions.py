"""Upgrades: earlier versions of this code write to a lake, then this one does, each killed in between."""

from __future__ import annotations

import io
import random
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import polars as pl
import pytest

from pipeline import edition
from pipeline.core.clock import system_clock
from pipeline.store import Lake, StoreConfig
from tests.chaos.table import NAME
from tests.crash.line_nursery import ROOT
from tests.crash.line_story import BATCH, alert_states, broken, sent, write_config, write_logs
from tests.crash.test_line_follow import same
from tests.lakes import view
from tests.processes import ENTRY, surroundings

EARLIER: Final = ("c913faeba3d5e877d7dc0c0637a0d7ec02ceab0a", "ab5d87d869518249c2616b6bc9473dfc748e6812")
STORED: Final = ("events", "operations", "rejected", "raw", "integrity", "coverage")
KNOWN: Final = ("M1", "M2", "M4", "M9")  # indicators of the earlier versions, and what is compared of them
ORDER: Final = ("sli", "store", "scope", "window_start", "window_seconds", "good", "total", "value", "met")
STEPS: Final = ("store.synced", "store.transaction", "store.committed", "ledger.tiles", "line.after_commit")


def _unpacked(commit: str, folder: Path) -> Path:
    """The code of a commit of this repository. Skips where its history is not there."""
    if shutil.which("git") is None:
        pytest.skip("git is not there to ask for earlier versions")
    words = ["git", "archive", commit, "pipeline", "detectors", "pyproject.toml"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"the history is not there: {done.stderr.decode().strip()[-200:]}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as packed:
        packed.extractall(folder, filter="data")
    return folder


class Story:
    """Logs that grow by shares, and the versions that read them."""

    def __init__(self, home: Path, shares: int) -> None:
        self.home, self.logs, self.shares = home, home / "logs", shares
        write_logs(home / "story")
        self.logs.mkdir()

    def grown(self) -> Iterator[int]:
        """There is a share more of every log, until all is there."""
        for share in range(1, self.shares + 1):
            for path in (self.home / "story").glob("audit*.log"):
                lines = path.read_bytes().splitlines(keepends=True)
                (self.logs / path.name).write_bytes(b"".join(lines[: len(lines) * share // self.shares]))
            yield share

    def run(self, code: Path, home: Path, fault: str = "") -> bool:
        """One run of a version into a lake of its own; whether it died at `fault`."""
        environment = surroundings(home, KEYTRAIL_FAULT=fault) | {"PYTHONPATH": str(code)}
        words = ("run", self.logs, "--lake", home / "lake", "--signing-key", home / "keys" / "key", "--config")
        done = subprocess.run(
            [sys.executable, "-c", ENTRY, *map(str, words), str(write_config(home, BATCH))], cwd=home,
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode in {0, 10, -signal.SIGKILL}, done.stderr
        return done.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "earlier", "shares"),
    [
        (1, EARLIER[0], 2),
        *((seed, commit, 5) for seed in (2, 3, 4) for commit in EARLIER),
    ],
)
def test_an_upgrade(
    tmp_path: Path, record_property: Callable[[str, object], None], seed: int, earlier: str, shares: int
) -> None:
    """What they have stored and shown together is what this one stores alone, and it verifies. What is found is each
    version's own, so of that it must only be told what stands; so are indicators that the earlier one did not have.
    """
    story, dice = Story(tmp_path, shares), random.Random(seed)
    older = _unpacked(earlier, tmp_path / "earlier")
    alone, both = tmp_path / "alone", tmp_path / "both"
    alone.mkdir()
    both.mkdir()
    for _ in story.grown():
        story.run(ROOT, alone)
    deaths = 0
    for share in story.grown():
        code = older if share <= shares // 2 else ROOT
        deaths += story.run(code, both, f"{dice.choice(STEPS)}:{dice.randint(1, 2)}")
        story.run(older if share < shares // 2 else ROOT, both)  # once it finds what the other, killed, has left
    record_property(NAME, ["earlier version, then this one, each killed", shares, 0, 0, 0])
    assert deaths
    assert [name for name in STORED if not same(both / "lake", alone / "lake", name)] == []
    known, now = (view(home / "lake", "slis").filter(pl.col("sli").is_in(KNOWN)) for home in (both, alone))
    assert known.sort(ORDER).select(ORDER).equals(now.sort(ORDER).select(ORDER))
    assert alert_states(both) <= sent(both).keys()
    assert broken(both) == []
    with Lake.open(both / "lake", StoreConfig(), writer=False, clock=system_clock) as lake:
        assert edition.of(lake.states()) == edition.EDITION
