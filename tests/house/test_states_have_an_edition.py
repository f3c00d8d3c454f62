"""What is remembered keeps its form, or is of another edition: an older keytrail then knows that it is not for it."""

from __future__ import annotations

from pathlib import Path

from pipeline import edition
from pipeline.core.clock import system_clock
from pipeline.store import Lake, StoreConfig
from tests.house.documents import WRITE
from tests.lakes import SAMPLES, run

RECORDED = Path(__file__).with_name("states.txt")


def _forms(lake: Path) -> list[str]:
    """A line a frame: its part, its name, its columns with their types."""
    with Lake.open(lake, StoreConfig(), writer=False, clock=system_clock) as opened:
        states = opened.states()
    return [
        f"{part} {name}: {', '.join(f'{column} {kind}' for column, kind in frame.schema.items())}"
        for part, frames in sorted(states.items())
        for name, frame in sorted(frames.items())
    ]


def test_a_change_of_form_is_a_new_edition(tmp_path: Path) -> None:
    """Raise `edition.EDITION` when a state changes its form; KEYTRAIL_WRITE_DOCS=1 then records the new forms."""
    run(tmp_path / "lake", SAMPLES / "vault" / "torn_file")
    found = [f"edition {edition.EDITION}", *_forms(tmp_path / "lake")]
    known = RECORDED.read_text("utf-8").splitlines() if RECORDED.exists() else [""]
    if WRITE and known[0] != found[0]:
        RECORDED.write_text("\n".join(found) + "\n", "utf-8")
        known = found
    assert found == known
