"""The page on detection says what its figures say."""

from __future__ import annotations

import msgspec

from pipeline.evaluate import page, svg
from tests.house import documents
from tests.house.documents import ROOT


def test_the_page_and_the_plot_are_made_of_the_figures_beside_them() -> None:
    """docs/detection.md and detection.svg are what `keytrail evaluate` makes of docs/detection.json."""
    figures = msgspec.json.decode((ROOT / "docs" / "detection.json").read_bytes())
    for name, text in (("detection.md", page(figures)), ("detection.svg", svg(figures))):
        path = ROOT / "docs" / name
        if documents.WRITE:
            path.write_text(text, "utf-8")
        assert path.read_text("utf-8") == text, f"{name} is out of date: KEYTRAIL_WRITE_DOCS=1 writes it"
