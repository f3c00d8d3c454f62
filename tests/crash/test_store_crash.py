"""Death at every numbered step of a commit, and at any moment: the reopened lake is exactly its positions' worth."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from pipeline.store import Lake, StoreConfig, query
from tests.unit.store.store_frames import alert, commit_of, events, operations, raw, slis

ROOT = Path(__file__).parents[2]
STEP = 20
STEPS = (
    "drained", "synced", "revised", "transaction", "committed", "tidied", "published", "compact.written",
    "compact.committed", "retain.committed", "expired",
)  # fmt: skip


def clock() -> int:
    return time.time_ns()


def opened(path: Path) -> Lake:
    config = StoreConfig(
        publish_seconds=0, compact_files=3, fold_files=2, compact_rows=2_000, keep_removed_seconds=0, group_rows=30
    )
    lake = Lake.open(path, config, writer=True, clock=clock)
    lake.set_sinks(["siem"])
    return lake


def write_forever(path: Path) -> None:
    """What the child does: commits of `STEP` entries, each with everything that a commit can hold."""
    with opened(path) as lake:
        done = sum(place.offset for place in lake.positions())
        while True:
            numbers = range(done, done + STEP)
            lake.write("events", events(numbers))
            lake.write("operations", operations(numbers))
            lake.write("raw", raw(numbers))
            done += STEP
            turn = done // STEP
            lake.commit(
                commit_of(
                    done,
                    revise={"slis": slis(range(turn, turn + 1)), "operations": _corrected(done)},
                    states={"count": {"done": events(range(done - 1, done)).select("leaf_index")}},
                    messages=[alert(f"a{done}", 1)],
                    ledger={"size": done},
                )
            )
            if turn % 2 == 0:
                lake.retain(0)
            print(done, flush=True)


def _corrected(done: int) -> pl.DataFrame:
    """The commit before corrects its first operation: the outcome says when."""
    first = max(0, done - 2 * STEP)
    return operations(range(first, first + 2)).with_columns(outcome=pl.lit(f"corrected {done}"))


def check(path: Path) -> int:
    """The reopened lake, held against what its position says must be in it."""
    with opened(path) as lake:
        done = sum(place.offset for place in lake.positions())
        everything = list(range(done))
        assert query(path, "SELECT leaf_index FROM events ORDER BY 1")["leaf_index"].to_pylist() == everything
        assert query(path, "SELECT leaf_index FROM raw ORDER BY 1")["leaf_index"].to_pylist() == everything
        found = query(path, "SELECT epoch_us(time) AS t, outcome FROM operations ORDER BY time").to_pylist()
        assert len(found) == done // 2
        assert len({row["t"] for row in found}) == done // 2
        assert sum(row["outcome"] != "success" for row in found) == max(min(done // STEP, 1), done // STEP - 1)
        assert query(path, "SELECT count(*) AS n FROM slis")["n"].to_pylist() == [done // STEP]
        assert lake.depth("siem") == done // STEP
        assert lake.ledger_head() == ({"size": done} if done else {})
        kept = [frames["done"]["leaf_index"].to_list() for frames in lake.states().values()]
        assert kept == ([[done - 1]] if done else [])
        named = {file.segment.path for file in lake._catalogue.files()}
        with lake._catalogue.reading() as sql:
            named |= {name for (name,) in sql.execute("SELECT path FROM removed")}
        assert {str(p.relative_to(path)) for p in path.rglob("*.parquet")} <= named
        return done


def start(path: Path, fault: str = "") -> subprocess.Popen[str]:
    code = (
        "import sys, pathlib; from tests.crash.test_store_crash import write_forever as w; w(pathlib.Path(sys.argv[1]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        cwd=ROOT,
        env={**os.environ, "KEYTRAIL_FAULT": fault, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("step", STEPS)
def test_death_at_a_step_leaves_one_commit_or_the_other(tmp_path: Path, step: str) -> None:
    """Killed at a numbered step, at once or later, the lake holds whole commits, and a restart goes on from there."""
    path = tmp_path / "lake"
    done = 0
    for count in (1, 4):
        with start(path, f"store.{step}:{count}") as child:
            output, _ = child.communicate(timeout=60)
        assert child.returncode == -signal.SIGKILL
        told = [int(line) for line in output.split()]
        after = check(path)
        assert after in {max([done, *told]), max([done, *told]) + STEP}
        done = after
    assert done > 0


def test_death_at_any_moment_leaves_whole_commits(tmp_path: Path) -> None:
    """Killed at random moments, nothing that was told is lost, and nothing is there twice."""
    path = tmp_path / "lake"
    dice = random.Random(7)
    done = 0
    for _ in range(6):
        with start(path) as child:
            assert child.stdout is not None
            line = child.stdout.readline()
            time.sleep(dice.random() * 0.4)
            child.send_signal(signal.SIGKILL)
            told = [int(text) for text in (line, *child.stdout) if text.endswith("\n")]
        after = check(path)
        assert after >= max([done, *told])
        done = after
    assert done > 0
