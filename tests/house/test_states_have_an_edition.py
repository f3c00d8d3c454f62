"""What is remembered keeps its form, or is of another edition: an older keytrail then knows that it is not for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import edition
from pipeline.app import App
from pipeline.core.clock import system_clock
from pipeline.reading import ReadingLine
from pipeline.store import Lake, StoreConfig
from tests.house.documents import WRITE
from tests.lakes import SAMPLES, run

if TYPE_CHECKING:
    import pytest

RECORDED = Path(__file__).with_name("states.txt")


def _forms(lake: Path, worker: str) -> set[tuple[str, str, str]]:
    """Of each frame its part, its name, its columns with their types."""
    with Lake.open(lake, StoreConfig(), writer=False, clock=system_clock) as opened:
        states = opened.states(worker)
    assert states
    return {
        (part, name, ", ".join(f"{column} {kind}" for column, kind in frame.schema.items()))
        for part, frames in states.items()
        for name, frame in frames.items()
    }


def _reading(_app: App, parts: Any, source: Any, _positions: object, lake: Lake) -> ReadingLine:
    """The first half of the line, which takes a topic, over files."""
    return ReadingLine(parts, (), source.streams(), int, lake.epoch())


def test_a_change_of_form_is_a_new_edition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise `edition.EDITION` when a state changes its form; KEYTRAIL_WRITE_DOCS=1 then records the new forms."""
    run(tmp_path / "lake", SAMPLES / "vault" / "torn_file", worker="whole")
    monkeypatch.setattr(App, "_made", _reading)
    run(tmp_path / "lake", SAMPLES / "vault" / "torn_file", worker="reading")
    forms = _forms(tmp_path / "lake", "whole") | _forms(tmp_path / "lake", "reading")
    found = [f"edition {edition.EDITION}", *(f"{part} {name}: {columns}" for part, name, columns in sorted(forms))]
    known = RECORDED.read_text("utf-8").splitlines() if RECORDED.exists() else [""]
    if WRITE and known[0] != found[0]:
        RECORDED.write_text("\n".join(found) + "\n", "utf-8")
        known = found
    assert found == known
