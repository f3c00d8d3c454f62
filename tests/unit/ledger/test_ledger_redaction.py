"""Redaction records, legal holds, and the spans they are made of."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.ledger import leaf, redaction
from pipeline.ledger.control import Record
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.redaction import HeldError, Hold, Spans

HOLD = Hold("case-7", ("audit.log",), 100, 200)


def placed(hold: Hold, index: int = 0) -> Record:
    return Record(index, leaf.CONFIG, redaction.hold_body(hold, reason="claim", authority="counsel"), b"")


@pytest.mark.parametrize(
    ("stream", "first", "last", "held"),
    [
        ("audit.log", 150, 160, True), ("audit.log", 0, 100, True), ("audit.log", 199, 300, True),
        ("audit.log", 200, 300, False), ("audit.log", 0, 99, False), ("other.log", 150, 160, False),
    ],
)  # fmt: skip
def test_a_hold_forbids_what_overlaps_it_and_nothing_else(stream: str, first: int, last: int, held: bool) -> None:
    """By stream and by time."""
    standing = redaction.Declared([placed(HOLD)]).holds
    if held:
        with pytest.raises(HeldError, match="case-7"):
            redaction.refuse_held(standing, stream, first, last)
    else:
        redaction.refuse_held(standing, stream, first, last)


def test_a_hold_without_streams_covers_all_of_them_until_it_is_released() -> None:
    """The release is a record as well."""
    release = Record(5, leaf.CONFIG, redaction.release_body("all", reason="settled", authority="counsel"), b"")
    standing = redaction.Declared([placed(Hold("all", (), 0, 10))]).holds
    with pytest.raises(HeldError):
        redaction.refuse_held(standing, "anything", 3, 3)
    assert redaction.Declared([placed(Hold("all", (), 0, 10)), release]).holds == {}


def test_a_redaction_names_spans_reason_and_authority() -> None:
    """And no leaf that comes after it."""
    body = redaction.redaction_body(redaction.ERASED, [5, 3, 4, 9, 5], reason="art-17", authority="dpo")
    assert body["leaves"] == [[3, 6], [9, 10]]
    spans = redaction.Declared([Record(6, leaf.REDACTION, body, b"")]).erased
    assert list(spans) == [(3, 6)]
    assert list(redaction.Declared([Record(60, leaf.REDACTION, body, b"")]).expired) == []
    with pytest.raises(LedgerError):
        redaction.redaction_body("lost", [1], reason="", authority="")


def test_spans_join_and_tell_what_was_there_already() -> None:
    """They stay few while what they hold is unbroken."""
    spans = Spans()
    assert spans.add(0, 10) == []
    assert spans.add(20, 30) == []
    assert spans.add(10, 20) == []
    assert list(spans) == [(0, 30)]
    assert spans.add(25, 40) == [(25, 30)]
    assert spans.add(50, 50) == []
    assert spans.holes(0, 50) == [(40, 50)]
    assert spans.contains(np.array([0, 39, 40])).tolist() == [True, True, False]
    assert Spans().contains(np.array([0])).tolist() == [False]
    assert len(spans) == 40
