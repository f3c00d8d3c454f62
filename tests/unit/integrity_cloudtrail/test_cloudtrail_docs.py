"""docs/cloudtrail.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.core.schema import VERDICTS
from pipeline.integrity.cloudtrail.causes import CAUSES

PAGE = (Path(__file__).parents[3] / "docs" / "cloudtrail.md").read_text("utf-8")


def test_the_page_lists_exactly_the_causes() -> None:
    """Every cause with its verdict and meaning, and no other."""
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (.+) \|$", PAGE, re.MULTILINE)
    assert {cause: (verdict, means) for verdict, cause, means in rows} == CAUSES


def test_every_verdict_is_of_the_vocabulary() -> None:
    """A cause is told with a word the lake knows."""
    assert {verdict for verdict, _ in CAUSES.values()} <= set(VERDICTS)
