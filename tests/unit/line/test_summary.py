"""What a run says of its SLIs, over all its windows and stores."""

from __future__ import annotations

from typing import Any

from pipeline.summary import sli_summary


def summed(*rows: dict[str, Any]) -> dict[str, dict[str, Any]]:
    base = {"store": "vault", "window_seconds": 300, "good": 0.0, "value": None, "objective": None, "estimate": False}
    return sli_summary({(i, row["sli"]): {**base, **row} for i, row in enumerate(rows)})


def test_counts_add_up_and_are_measured() -> None:
    """Good and total over the windows; the objective is held against what they come to."""
    told = summed(
        {"sli": "M10", "good": 9.0, "total": 10.0, "objective": 0.95, "estimate": True},
        {"sli": "M10", "good": 10.0, "total": 10.0, "objective": 0.95, "estimate": True},
        {"sli": "M3", "good": 1.0, "total": 1.0, "objective": 0.99},
        {"sli": "M9", "total": 50.0},
    )
    assert list(told) == ["M3", "M9", "M10"]
    assert told["M10"] == {
        "good": 19.0, "total": 20.0, "value": 0.95, "objective": 0.95, "estimate": True, "met": True,
    }  # fmt: skip
    assert (told["M3"]["value"], told["M3"]["met"]) == (1.0, True)
    assert (told["M9"]["value"], told["M9"]["met"]) == (10.0, None)


def test_the_longest_clock_is_told() -> None:
    """Of the time to revoke the worst window, and how many clocks still run at the end."""
    row = {"sli": "M8", "objective": 1800.0, "total": 0.0}
    told = summed(
        {**row, "value": 1900.0, "coverage": "1 of 1 still running; more"},
        {**row, "value": 100.0, "coverage": "0 of 1 still running; more"},
    )["M8"]
    assert (told["value"], told["met"], told["note"]) == (1900.0, False, "0 of 1 still running")
    other = {**row, "value": 5.0, "coverage": "2 of 2 still running; more"}
    both = summed({**other, "store": "vault"}, {**other, "store": "aws"})["M8"]
    assert both["note"] == "2 of 2 still running in aws, 2 of 2 still running in vault"


def test_reads_past_a_lifetime_are_a_number() -> None:
    """One is too many where none may be; of secrets that were all left out nothing is known."""
    row = {"sli": "M5", "objective": 0.0}
    late = summed({**row, "good": 5.0, "total": 5.0}, {**row, "good": 4.0, "total": 5.0})["M5"]
    assert (late["value"], late["met"]) == (1.0, False)
    none = summed({**row, "good": 5.0, "total": 5.0})["M5"]
    assert (none["value"], none["met"]) == (0.0, True)
    unknown = summed({**row, "total": 0.0})["M5"]
    assert (unknown["value"], unknown["met"]) == (None, None)
