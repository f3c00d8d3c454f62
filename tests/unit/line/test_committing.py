"""A commit under way holds nothing up, and what it runs into ends the run: the lake is that of commits one by one."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.committing import Still
from pipeline.core.errors import FencedError, StoreError
from pipeline.line import Line
from pipeline.store import Lake
from pipeline.verification import verify_lake
from tests.lakes import differences, run, view
from tests.scenarios.vault_lines import pairs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LINES, BATCH = range(60), 10
LONG = {"line": {"commit_seconds": 0.001}}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Sixty requests and their answers."""
    (tmp_path / "audit.log").write_bytes(pairs(LINES))
    return tmp_path / "audit.log"


def slowed(monkeypatch: pytest.MonkeyPatch, before: Callable[[], object]) -> list[str]:
    """Has `before` called in every commit of a lake, in its thread; what happened, in order: step, begin, end."""
    happened: list[str] = []
    commit, step = Lake.commit, Line.step

    def stepped(self: Line, taken: Any) -> None:
        happened.append("step")
        step(self, taken)

    def committed(self: Lake, *args: Any, **more: Any) -> int:
        happened.append("begin")
        before()
        number = commit(self, *args, **more)
        happened.append("end")
        return number

    monkeypatch.setattr(Lake, "commit", committed)
    monkeypatch.setattr(Line, "step", stepped)
    return happened


def test_the_line_goes_on_meanwhile(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches go through the stages while a commit is under way; lake and ledger are the same as without haste."""
    run(tmp_path / "one" / "lake", log)
    gone_on = threading.Event()
    happened = slowed(monkeypatch, lambda: gone_on.wait(30))
    step = Line.step

    def counted(self: Line, taken: Any) -> None:
        step(self, taken)
        if "begin" in happened and happened[happened.index("begin") :].count("step") >= 2:
            gone_on.set()

    monkeypatch.setattr(Line, "step", counted)
    summary = run(tmp_path / "many" / "lake", log, batch=BATCH, tables=LONG)
    first = happened[happened.index("begin") : happened.index("end")]
    assert first.count("step") >= 2
    assert summary["entries"] == 2 * len(LINES)
    assert differences(tmp_path / "one" / "lake", tmp_path / "many" / "lake") == []
    leaves = view(tmp_path / "many" / "lake", "raw").sort("position")["leaf_index"]
    assert leaves.to_list() == list(range(2 * len(LINES)))
    report = verify_lake(tmp_path / "many" / "lake", None, (), None)[0].report
    assert (report.exit_code, report.leaves) == (0, 2 * len(LINES)), report.rows.rows()


@pytest.mark.parametrize("failure", [StoreError("no space left"), FencedError("another has gone on")])
def test_its_failure_ends_the_run(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    """What a commit runs into comes out of the run as it is, whatever the line meets meanwhile; the next goes on."""

    def fail() -> None:
        raise failure

    with monkeypatch.context() as within:
        slowed(within, fail)
        with pytest.raises(type(failure), match=str(failure)):
            run(tmp_path / "lake", log, batch=BATCH, tables=LONG)
    assert len(view(tmp_path / "lake", "raw")) == 0
    assert run(tmp_path / "lake", log)["entries"] == 2 * len(LINES)
    assert len(view(tmp_path / "lake", "raw")) == 2 * len(LINES)


def test_with_every_batch(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`commit_seconds` 0 commits once for each batch, in turn."""
    happened = slowed(monkeypatch, lambda: None)
    run(tmp_path / "lake", log, batch=BATCH, tables={"line": {"commit_seconds": 0}})
    batches = 2 * len(LINES) // BATCH
    assert happened.count("begin") in {batches, batches + 1}
    assert [one for one in happened if one != "step"] == ["begin", "end"] * happened.count("begin")


def test_what_was_left_out_is_still_what_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lake has what every part remembers after each commit, also of the parts that a commit did not take.

    Six reads an hour for ten hours, and a commit for every two of them: some come after a window, and some between.
    """
    (tmp_path / "audit.log").write_bytes(pairs(LINES, step=600))
    begin, left, commits = Line._begin, Still.left, []

    def noted(self: Still, parts: Any) -> Any:
        taken = left(self, parts)
        commits.append(parts.keys() - taken.keys())
        return taken

    def compared(self: Line) -> bool:
        begun = begin(self)
        self._commits.wait()
        if begun:
            kept = self.parts.lake.states()
            for name, part in self.stateful().items():
                mine = part.snapshot()
                assert kept[name].keys() == mine.keys(), name
                assert all(mine[key].equals(kept[name][key]) for key in mine), name
        return begun

    monkeypatch.setattr(Still, "left", noted)
    monkeypatch.setattr(Line, "_begin", compared)
    run(tmp_path / "lake", tmp_path / "audit.log", batch=4, tables={"line": {"commit_seconds": 0}})
    assert commits[0] == set()
    assert any({"baselines", "detector.rate"} <= one for one in commits)
    assert any("baselines" not in one for one in commits[1:])
    assert all("router" not in one and "windows" not in one for one in commits)
