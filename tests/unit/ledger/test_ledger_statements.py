"""What a commit's rows become in the log over files: what is missing, what vouches, and nothing else."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl

from pipeline.core.schema import COVERAGE, INTEGRITY, conform
from pipeline.ledger import leaf
from pipeline.ledger.statements import PER_COMMIT, Completeness, Configuration

AT = dt.datetime(2026, 3, 2, 10, 0, tzinfo=dt.UTC)


def integrity(*rows: tuple[str, str, str]) -> pl.DataFrame:
    """(uid, verdict, cause), with a line's text in the evidence."""
    frame = pl.DataFrame(rows, schema=["uid", "verdict", "cause"], orient="row")
    return conform(
        frame.with_columns(
            source=pl.lit("audit.log"), count=pl.lit(3), from_position=pl.lit(1 << 60), from_time=pl.lit(AT),
            evidence=pl.lit("s.TOKEN of a line"),
        ),
        INTEGRITY,
    )  # fmt: skip


def coverage(*rows: tuple[str, str, int]) -> pl.DataFrame:
    """(grade, evidence, missing) of one hour, each in the place of the one before."""
    frame = pl.DataFrame(rows, schema=["completeness", "evidence_kind", "missing_operations"], orient="row")
    return conform(frame.with_columns(source=pl.lit("audit.log"), store=pl.lit("vault"), hour=pl.lit(AT)), COVERAGE)


def told(part: Completeness, **shown: pl.DataFrame) -> dict[int, list[dict[str, Any]]]:
    return {kind: list(body.get("gaps", body.get("results"))) for kind, body in part.records(shown)}


def test_what_is_missing_and_what_speaks_against_the_trail() -> None:
    """By verdict and cause; clocks, devices and what stands in clear are no gaps. Nothing of a line's text."""
    rows = integrity(
        ("a", "gap", "device_loss"), ("b", "truncated", "ends_early"), ("c", "unpaired", "unpaired"),
        ("d", "torn", "nul_run"), ("e", "late", "canary_gap"), ("f", "late", "clock"), ("g", "clock_step", "clock"),
        ("h", "altered", "counter_surplus"), ("i", "duplicate", "canary_replay"), ("j", "altered", "devices_differ"),
        ("k", "in_clear", "in_clear"), ("l", "gap", "counter_mismatch"),
    )  # fmt: skip
    found = told(Completeness(), integrity=rows)
    assert ["".join(item["uid"] for item in found[kind]) for kind in (leaf.GAP, leaf.RECONCILIATION)] == [
        "abcdel",
        "hi",
    ]
    assert "TOKEN" not in str(found)
    first = found[leaf.GAP][0]
    assert (first["from_position"], first["to_position"]) == (str(1 << 60), None)
    assert first["from_us"] == int(AT.timestamp() * 1e6)


def test_a_place_told_twice_in_a_commit_is_as_it_stands_last() -> None:
    """A gap that is filled in the same commit is a gap no more."""
    found = told(Completeness(), integrity=integrity(("a", "gap", "device_loss"), ("a", "late", "device_loss")))
    assert [(item["uid"], item["verdict"]) for item in found[leaf.GAP]] == [("a", "late")]


def test_a_commit_tells_of_so_many_places_and_counts_the_rest() -> None:
    """However much is damaged, a record stays small."""
    rows = integrity(*((f"u{i}", "torn", "nul_run") for i in range(PER_COMMIT + 7)))
    ((kind, body),) = Completeness().records({"integrity": rows})
    assert (kind, len(body["gaps"]), body["more"]) == (leaf.GAP, PER_COMMIT, 7)


def test_an_hour_is_told_when_its_grade_moves() -> None:
    """Not while it stands; also when what vouched for it does so no more. One device alone says nothing."""
    part, grades = Completeness(), []
    for row in (
        ("unknown", "one device", 0), ("bounded", "canaries", 0), ("bounded", "canaries", 0),
        ("violated", "entries", 2), ("violated", "entries", 3), ("violated", "counters", 3), ("proven", "counters", 0),
    ):  # fmt: skip
        found = told(part, coverage=coverage(row)).get(leaf.RECONCILIATION, [])
        grades += [(item["completeness"], item["evidence"], item["count"]) for item in found]
    assert grades == [
        ("bounded", "canaries", 0), ("violated", "entries", 2), ("violated", "counters", 3), ("proven", "counters", 0)
    ]  # fmt: skip
    last = told(Completeness(), coverage=coverage(("unknown", "one device", 0), ("proven", "counters", 0)))
    assert [item["completeness"] for item in last[leaf.RECONCILIATION]] == ["proven"]


def test_nothing_said_is_no_record() -> None:
    """Commits without such rows add no leaf."""
    assert told(Completeness()) == {}
    assert told(Completeness(), integrity=INTEGRITY.to_frame(), coverage=COVERAGE.to_frame()) == {}


def test_a_configuration_is_told_apart_by_all_it_holds() -> None:
    """The order of keys is none of it."""
    first = Configuration.of({"a": 1, "b": 2.5}, [["rate", "1", {}]], "1.0")
    assert first.sha256 == Configuration.of({"b": 2.5, "a": 1}, [["rate", "1", {}]], "1.0").sha256
    others = (
        Configuration.of({"a": 2, "b": 2.5}, [["rate", "1", {}]], "1.0"),
        Configuration.of({"a": 1, "b": 2.5}, [["rate", "2", {}]], "1.0"),
        Configuration.of({"a": 1, "b": 2.5}, [["rate", "1", {}]], "1.1"),
    )
    assert len({first.sha256, *(other.sha256 for other in others)}) == 4
