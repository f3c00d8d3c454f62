from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipeline.core.ports import Stateful
from pipeline.core.schema import OPERATION, SLI, TIME, conform, empty
from pipeline.sli import Config, Objective, Slis

SECOND = 1_000_000
WINDOW = 300 * SECOND
START = 1_700_000_100_000_000 // WINDOW * WINDOW
NONE = empty(OPERATION)


def operations(*rows: dict[str, Any]) -> pl.DataFrame:
    default = {"store": "vault", "namespace": "team-a", "mount": "kv/", "operation": "read", "outcome": "success"}
    full = []
    for row in rows:
        at = START + round(row.get("at", 0.0) * SECOND)
        complete = START + round(row.get("complete", row.get("at", 0.0)) * SECOND)
        full.append({**default, **row, "time": at, "complete_time": complete, "latency_ms": row.get("ms")})
    frame = pl.DataFrame(full, infer_schema_length=None).with_columns(pl.col("time", "complete_time").cast(TIME))
    return conform(frame, OPERATION)


def pick(frame: pl.DataFrame, sli: str, scope: str = "store") -> dict[str, Any]:
    return frame.row(by_predicate=(pl.col("sli") == sli) & (pl.col("scope") == scope), named=True)


def test_a_part_with_memory() -> None:
    """Slis satisfies the port of parts with memory."""
    assert isinstance(Slis(Config()), Stateful)


def test_a_window_closes_after_its_grace() -> None:
    """A window's rows come once, when the watermark is its end and a minute."""
    slis = Slis(Config())
    assert slis.push(operations({}), START).is_empty()
    assert slis.push(NONE, START + WINDOW + 60 * SECOND - 1).is_empty()
    closed = slis.push(NONE, START + WINDOW + 60 * SECOND)
    assert closed.schema == SLI
    assert pick(closed, "M9")["window_start"].timestamp() * SECOND == START
    assert slis.push(NONE, START + WINDOW + 61 * SECOND).is_empty()


def test_retrieval_success() -> None:
    """M1 is successes of reads that succeeded or failed; denied, missing and other operations stand apart."""
    slis = Slis(Config())
    rows = [{"outcome": outcome} for outcome in ["success"] * 7 + ["failure"] + ["denied"] * 2 + ["not_found"] * 3]
    slis.push(operations(*rows, {"operation": "write", "outcome": "failure"}, {"operation": "list"}), START)
    m1 = pick(slis.flush(), "M1")
    assert (m1["good"], m1["total"], m1["value"], m1["objective"], m1["met"]) == (7, 8, 7 / 8, 0.999, False)
    assert m1["coverage"].startswith("2 denied and 3 not found")
    assert not m1["estimate"]


def test_no_reads_no_retrieval_success() -> None:
    """A window without a read that succeeded or failed says nothing of M1, and none timed says nothing of M2."""
    slis = Slis(Config())
    slis.push(operations({"outcome": "denied"}), START)
    assert sorted(set(slis.flush()["sli"])) == ["M4", "M9"]


def test_latency() -> None:
    """M2 is the p95 in ms with the exact share below the objective."""
    slis = Slis(Config())
    slis.push(operations(*({"ms": float(ms)} for ms in range(1, 301)), {"ms": None}), START)
    m2 = pick(slis.flush(), "M2")
    assert (m2["good"], m2["total"], m2["objective"], m2["met"]) == (199, 300, 200.0, False)
    assert m2["value"] == pytest.approx(285, rel=0.0101)
    assert "300 of 301 operations timed" in m2["coverage"]


def test_refused_attempts_and_access_rate() -> None:
    """M4 counts denials of all attempts without an objective, M9 operations a minute."""
    slis = Slis(Config())
    slis.push(operations(*[{"outcome": "denied", "operation": "list"}] * 3, *[{}] * 7), START)
    m4, m9 = pick(slis.flush(), "M4"), pick(slis.flush(), "M9")
    assert (m4["good"], m4["total"], m4["value"], m4["objective"], m4["met"]) == (7, 10, 3, None, None)
    assert (m9["good"], m9["total"], m9["value"], m9["objective"]) == (None, 10, 2.0, None)


def test_scopes() -> None:
    """Each operation counts for its store, its namespace and its mount; the root namespace is empty."""
    slis = Slis(Config())
    rows = [
        {},
        {"namespace": ""},
        {"namespace": "", "mount": "pki/"},
        {"namespace": None, "mount": None},
        {"store": "aws"},
    ]
    slis.push(operations(*rows), START)
    got = slis.flush().filter(sli="M9").select("store", "scope", "total").rows()
    assert got == [
        ("aws", "mount:team-a/kv/", 1), ("aws", "namespace:team-a", 1), ("aws", "store", 1),
        ("vault", "mount:kv/", 1), ("vault", "mount:pki/", 1), ("vault", "mount:team-a/kv/", 1),
        ("vault", "namespace:", 3), ("vault", "namespace:team-a", 1), ("vault", "store", 4),
    ]  # fmt: skip


def test_objectives_of_a_scope() -> None:
    """A scope's own objective goes before its store's, and that before the default."""
    config = Config(objectives={"vault": Objective(m1=0.5, m2=50.0), "mount:team-a/kv/": Objective(m2=10.0)})
    slis = Slis(config)
    slis.push(operations(*({"ms": float(ms)} for ms in (5, 20, 100)), {"store": "aws", "ms": 100.0}), START)
    rows = slis.flush()
    vault, aws = rows.filter(store="vault"), rows.filter(store="aws")
    assert [pick(vault, "M2", s)["good"] for s in ("mount:team-a/kv/", "namespace:team-a", "store")] == [1, 2, 2]
    assert pick(vault, "M1", "mount:team-a/kv/")["objective"] == 0.5
    assert (pick(aws, "M2")["good"], pick(aws, "M2")["objective"], pick(aws, "M1")["objective"]) == (1, 200.0, 0.999)


def test_late_operations_revise() -> None:
    """A late operation brings the rows of its closed window again, whole, and only of the scopes it belongs to."""
    slis = Slis(Config())
    slis.push(operations({}, {"mount": "pki/"}), START + WINDOW + 60 * SECOND)
    late = slis.push(operations({"at": 5, "complete": 400}), START + 400 * SECOND)
    assert late.filter(sli="M9").select("scope", "total").rows() == [
        ("mount:team-a/kv/", 2),
        ("namespace:team-a", 3),
        ("store", 3),
    ]
    assert slis.late == 0


def test_too_late_is_counted() -> None:
    """An operation whose window is forgotten is counted as late and changes nothing."""
    slis = Slis(Config(late_windows=2))
    slis.push(operations({}), START)
    assert not slis.push(NONE, START + 960 * SECOND).is_empty()
    assert slis.push(operations({"at": 1, "complete": 960}), START + 960 * SECOND).is_empty()
    assert (slis.late, slis.flush().height) == (1, 0)
    assert slis.snapshot()["totals"].is_empty()


def test_a_clock_ahead_opens_no_window() -> None:
    """An operation dated in the future counts in the window in which the line knew of it."""
    slis = Slis(Config())
    slis.push(operations({"at": 9e8, "complete": 3}), START)
    assert pick(slis.flush(), "M9")["window_start"].timestamp() * SECOND == START


def test_flush_forgets_nothing() -> None:
    """Rows of an open window can be had at any time, and it still closes with all of it."""
    slis = Slis(Config())
    slis.push(operations({}), START)
    first = slis.flush()
    assert_frame_equal(slis.flush(), first)
    slis.push(operations({"at": 1}), START)
    closed = slis.push(NONE, START + 360 * SECOND)
    assert (pick(first, "M9")["total"], pick(closed, "M9")["total"]) == (1, 2)
    assert slis.flush().is_empty()


def test_too_many_places_become_other() -> None:
    """Mounts and namespaces past the limits are told as `other`, and how many operations that were is known."""
    slis = Slis(Config(max_mounts=2, max_namespaces=2))
    names = [("a", "m1/"), ("a", "m2/"), ("a", "m3/"), ("b", "m1/"), ("c", "m1/"), ("a", "m1/")]
    slis.push(operations(*({"namespace": n, "mount": m} for n, m in names)), START)
    got = dict(slis.flush().filter(sli="M9").select("scope", "total").rows())
    assert got == {
        "mount:a/m1/": 2, "mount:a/m2/": 1, "mount:other": 3,
        "namespace:a": 4, "namespace:b": 1, "namespace:other": 1, "store": 6,
    }  # fmt: skip
    assert slis.capped == 3


def test_quantiles() -> None:
    """p50, p95 and p99 of every scope can be had apart, also when there is nothing."""
    slis = Slis(Config())
    nothing = slis.quantiles()
    slis.push(operations(*({"ms": float(ms)} for ms in range(1, 101))), START)
    got = slis.quantiles()
    assert nothing.schema == got.schema
    row = got.row(by_predicate=pl.col("scope") == "store", named=True)
    assert [row[name] for name in ("p50", "p95", "p99")] == pytest.approx([50, 95, 99], rel=0.0101)


def test_merge_adds() -> None:
    """Two halves counted apart tell, merged, what counting all of it tells."""
    rows = [{"at": i, "ms": float(i + 1), "mount": f"m{i % 3}/"} for i in range(60)]
    one, other, whole = Slis(Config()), Slis(Config()), Slis(Config())
    one.push(operations(*rows[::2]), START)
    other.push(operations(*rows[1::2]), START)
    whole.push(operations(*rows), START)
    one.merge(other)
    assert_frame_equal(one.flush(), whole.flush())


def test_windows_of_different_sizes_do_not_merge() -> None:
    """Counts of different windows are not added."""
    with pytest.raises(ValueError, match="different sizes"):
        Slis(Config()).merge(Slis(Config(window_seconds=60)))


def test_restored_under_another_objective() -> None:
    """A latency objective set anew is judged for windows already counted, to within a hundredth."""
    slis, again = Slis(Config()), Slis(Config(m2=50.0))
    slis.push(operations(*({"ms": float(ms)} for ms in range(1, 101))), START)
    again.restore(slis.snapshot())
    assert pick(again.flush(), "M2")["good"] == pytest.approx(49, abs=1)
    assert pick(again.flush(), "M2")["objective"] == 50.0
