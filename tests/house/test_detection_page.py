"""The page on detection and its drawing say what the measured figures say, to the letter."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pipeline.evaluate import Plan, conditions_page
from pipeline.evaluate.page import page
from pipeline.evaluate.plot import svg
from tests.house.documents import ROOT

if TYPE_CHECKING:
    from pathlib import Path

MEASURED = ROOT / "docs" / "detection.json"
COMPARED = ROOT / "docs" / "conditions.json"
RESERVED = range(500, 1_000)  # seeds that nothing is tuned on; some from 400 to 499 were used for it


def test_page_and_drawing_are_made_of_the_figures() -> None:
    """`docs/detection.md` and `.svg` are what `keytrail evaluate` makes of `docs/detection.json`."""
    figures = json.loads(MEASURED.read_text("utf-8"))
    assert (ROOT / "docs" / "detection.md").read_text("utf-8") == page(figures)
    assert (ROOT / "docs" / "detection.svg").read_text("utf-8") == svg(figures)


def test_the_page_on_conditions_is_made_of_its_figures() -> None:
    """`docs/conditions.md` is what `keytrail evaluate --conditions` makes of `docs/conditions.json`."""
    figures = json.loads(COMPARED.read_text("utf-8"))
    assert (ROOT / "docs" / "conditions.md").read_text("utf-8") == conditions_page(figures)


def test_what_was_measured_is_what_is_drawn() -> None:
    """Without names a seed stages the attacks of the published figures, and none that is younger."""
    families = {one["attack"] for one in json.loads(MEASURED.read_text("utf-8"))["families"]}
    assert {one.name for one in Plan().roster()} == families
    assert "dead_token" not in families
    assert [one.name for one in Plan(attacks=("dead_token:hard",)).roster()] == ["dead_token"]


@pytest.mark.parametrize("file", [MEASURED, COMPARED])
def test_seeds_are_those_kept_for_measuring(file: Path) -> None:
    """No seed below 500: those are for tuning."""
    seeds = json.loads(file.read_text("utf-8"))["plan"]["seeds"]
    assert seeds
    assert all(seed in RESERVED for seed in seeds)


@pytest.mark.parametrize("name", ["detection.md", "detection.svg", "conditions.md"])
def test_nothing_of_the_place_it_was_made_in(name: str) -> None:
    """No path of a machine."""
    assert "/tmp/" not in (ROOT / "docs" / name).read_text("utf-8")  # noqa: S108  looked for, not written to
