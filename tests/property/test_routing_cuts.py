"""The router under any cut: the same alerts, revisions and messages however an ordered stream is handed over."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.findings import uid_of
from pipeline.core.schema import FINDING, SEVERITIES
from pipeline.routing import Config, Router, Suppression

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
CONFIG = Config(
    group_hours=3,
    quiet_minutes=40,
    suppressions=(
        Suppression(reason="move", expires="2026-03-02T10:00:00Z", secret="kv/0"),
        Suppression(reason="again", expires="2026-03-02T13:00:00Z", principal="p1"),
    ),
)


@st.composite
def findings(draw: st.DrawFn) -> list[dict[str, Any]]:
    minutes = draw(st.lists(st.integers(0, 600), min_size=1, max_size=40))
    rows = []
    for number, minute in enumerate(minutes):
        family = draw(st.sampled_from(["rate", "breadth", "invariant"]))
        rows.append(
            dict.fromkeys(FINDING)
            | {
                "uid": uid_of(str(number)),
                "time": START + timedelta(minutes=minute),
                "detector": f"d_{family}",
                "cause": f"d_{family}",
                "family": family,
                "severity": draw(st.sampled_from(SEVERITIES)),
                "confidence": draw(st.sampled_from([0.5, 0.9])),
                "score": 0.5,
                "principal": draw(st.sampled_from(["p0", "p1", "anonymous"])),
                "secret": draw(st.sampled_from(["kv/0", "kv/1"])),
            }
        )
    return sorted(rows, key=lambda row: (row["time"], row["uid"]))


def micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)


def run(rows: list[dict[str, Any]], cuts: list[int]) -> tuple[dict[str, Any], list[Any]]:
    """The last row of each alert and all messages, when `rows` are cut at `cuts`."""
    router, alerts, messages = Router(CONFIG), {}, []
    edges = [0, *sorted({cut % len(rows) for cut in cuts} - {0}), len(rows)]
    for left, right in itertools.pairwise(edges):
        mark = micros(rows[right]["time"]) if right < len(rows) else micros(START) + 20 * 3_600_000_000
        result = router.push(pl.DataFrame(rows[left:right], schema=FINDING), mark)
        alerts |= {row["uid"]: row for row in result.alerts.iter_rows(named=True)}
        messages += result.messages
    return alerts, messages


@settings(deadline=None)
@given(rows=findings(), cuts=st.lists(st.integers(0, 40), max_size=8))
def test_the_cut_decides_nothing(rows: list[dict[str, Any]], cuts: list[int]) -> None:
    """Rows, revisions and messages in their order are those of one push of everything."""
    assert run(rows, cuts) == run(rows, [])


@settings(deadline=None)
@given(rows=findings())
def test_every_finding_is_counted_and_revisions_have_no_holes(rows: list[dict[str, Any]]) -> None:
    """Counts add up to the findings; each alert's revisions are consecutive from the first told."""
    alerts, messages = run(rows, [])
    assert sum(row["count"] for row in alerts.values()) == len(rows)
    told: dict[str, list[int]] = {}
    for message in messages:
        told.setdefault(message.alert_uid, []).append(message.revision)
    for uid, revisions in told.items():
        assert revisions == list(range(revisions[0], alerts[uid]["revision"] + 1))
        assert revisions[0] in (1, 2)


@settings(deadline=None)
@given(rows=findings(), seed=st.randoms(use_true_random=False))
def test_held_findings_may_come_in_disorder(rows: list[dict[str, Any]], seed: Any) -> None:
    """Findings up to an hour out of order, held until the watermark passes them, fold as if they had been in order."""
    arrival = sorted(rows, key=lambda row: (row["time"] + timedelta(minutes=seed.randint(0, 60)), row["uid"]))
    router, alerts, messages = Router(CONFIG), {}, []
    for i, row in enumerate(arrival):
        mark = min(micros(later["time"]) for later in arrival[i + 1 :] or [row])
        result = router.push(pl.DataFrame([row], schema=FINDING), mark, hold=True)
        alerts |= {r["uid"]: r for r in result.alerts.iter_rows(named=True)}
        messages += result.messages
    result = router.push(pl.DataFrame(schema=FINDING), micros(START) + 20 * 3_600_000_000)
    alerts |= {r["uid"]: r for r in result.alerts.iter_rows(named=True)}
    assert (alerts, messages + result.messages) == run(rows, [])


WINDOW = 60
SETTLED = 10  # minutes after its time within which every operation is complete


def as_the_line_does(
    operations: list[tuple[int, dict[str, Any]]], windows: list[dict[str, Any]], cuts: list[int]
) -> Any:
    """Chunks of (minute complete, finding) in order of completion, and what each window's own detectors found.

    At the end of every window: its rest of the operations' findings, then the window's; in between, findings are held
    until no operation can precede them.
    """
    router, alerts, messages = Router(CONFIG), {}, []

    def push(rows: list[dict[str, Any]], minute: int, *, hold: bool) -> None:
        mark = micros(START + timedelta(minutes=minute))
        result = router.push(pl.DataFrame(rows, schema=FINDING), mark, hold=hold)
        alerts.update({row["uid"]: row for row in result.alerts.iter_rows(named=True)})
        messages.extend(result.messages)

    edges = [0, *sorted({cut % (len(operations) + 1) for cut in cuts} - {0}), len(operations)]
    done = 0
    for left, right in itertools.pairwise(edges):
        chunk = operations[left:right]
        reached = operations[right][0] if right < len(operations) else 40 * WINDOW
        while (done + 1) * WINDOW <= reached:
            end = (done + 1) * WINDOW
            push([row for minute, row in chunk if done * WINDOW <= minute < end], end, hold=False)
            inside = [row for row in windows if START + timedelta(minutes=end - WINDOW) <= row["time"]]
            push([row for row in inside if row["time"] < START + timedelta(minutes=end)], end, hold=False)
            done += 1
        push([row for minute, row in chunk if minute >= done * WINDOW], reached - SETTLED, hold=True)
    return alerts, messages


@settings(deadline=None)
@given(rows=findings(), random=st.randoms(use_true_random=False), cuts=st.lists(st.integers(0, 60), max_size=12))
def test_the_line_may_cut_between_windows_as_it_likes(rows: list[dict[str, Any]], random: Any, cuts: list[int]) -> None:
    """Findings of operations as they complete, findings of windows at their end: any cut gives the same alerts."""
    windows = [row for row in rows if row["family"] == "breadth"]
    operations = [
        (int((row["time"] - START).total_seconds() // 60) + random.randint(0, SETTLED - 1), row)
        for row in rows
        if row["family"] != "breadth"
    ]
    operations.sort(key=lambda pair: pair[0])
    assert as_the_line_does(operations, windows, cuts) == as_the_line_does(operations, windows, [])
