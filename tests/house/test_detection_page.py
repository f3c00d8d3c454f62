"""The page on detection and its drawing say what the measured figures say, to the letter."""

from __future__ import annotations

import json

import pytest

from pipeline.evaluate.page import page
from pipeline.evaluate.plot import svg
from tests.house.documents import ROOT

MEASURED = ROOT / "docs" / "detection.json"
RESERVED = range(200, 1_000)  # seeds that nothing is tuned on


def test_page_and_drawing_are_made_of_the_figures() -> None:
    """`docs/detection.md` and `.svg` are what `keytrail evaluate` makes of `docs/detection.json`."""
    figures = json.loads(MEASURED.read_text("utf-8"))
    assert (ROOT / "docs" / "detection.md").read_text("utf-8") == page(figures)
    assert (ROOT / "docs" / "detection.svg").read_text("utf-8") == svg(figures)


def test_seeds_are_those_kept_for_measuring() -> None:
    """No seed below 200: those are for tuning."""
    seeds = json.loads(MEASURED.read_text("utf-8"))["plan"]["seeds"]
    assert seeds
    assert all(seed in RESERVED for seed in seeds)


@pytest.mark.parametrize("name", ["detection.md", "detection.svg"])
def test_nothing_of_the_place_it_was_made_in(name: str) -> None:
    """No path of a machine."""
    assert "/tmp/" not in (ROOT / "docs" / name).read_text("utf-8")  # noqa: S108  looked for, not written to
