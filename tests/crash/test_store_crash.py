"""Death at every numbered step of a commit, and at any moment: the reopened lake is exactly its positions' worth."""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from pipeline.store import Lake, StoreConfig, query
from tests.crash.line_nursery import Nursery
from tests.unit.store.store_frames import alert, commit_of, events, operations, raw, slis

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


def write_forever() -> None:
    """What the child does: commits of `STEP` entries, each with everything that a commit can hold."""
    with opened(Path(sys.argv[1])) as lake:
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


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("nursery"), f"{__name__}:{write_forever.__name__}") as nursery:
        yield nursery


@pytest.mark.parametrize("step", STEPS)
def test_death_at_a_step_leaves_one_commit_or_the_other(nursery: Nursery, tmp_path: Path, step: str) -> None:
    """Killed at a numbered step, at once or later, the lake holds whole commits, and a restart goes on from there."""
    path = tmp_path / "lake"
    done = 0
    for count in (1, 4):
        child = nursery.start(path, fault=f"store.{step}:{count}")
        assert child.wait() == -signal.SIGKILL, child.text()
        told = [int(line) for line in child.text().split()]
        after = check(path)
        assert after in {max([done, *told]), max([done, *told]) + STEP}
        done = after
    assert done > 0


def test_death_at_any_moment_leaves_whole_commits(nursery: Nursery, tmp_path: Path) -> None:
    """Killed at random moments, nothing that was told is lost, and nothing is there twice."""
    path = tmp_path / "lake"
    dice = random.Random(7)
    done = 0
    for _ in range(6):
        child = nursery.start(path)
        while "\n" not in child.text():
            assert not child.ended(0.01), child.text()
        time.sleep(dice.random() * 0.4)
        child.send(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL, child.text()
        told = [int(line) for line in child.text().splitlines(keepends=True) if line.endswith("\n")]
        after = check(path)
        assert after >= max([done, *told])
        done = after
    assert done > 0
