"""What operations and SLI windows add to the metrics: right counts, bounded labels, nothing that a log could name."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest
from prometheus_client import generate_latest

from pipeline.core.metrics import LATENCIES, Metrics
from pipeline.core.schema import OPERATION, SLI, conform
from pipeline.exported import MOUNTS, Exported
from pipeline.totals import Totals

START = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)


def operations(*rows: dict[str, Any]) -> pl.DataFrame:
    """Operations, of Vault's mount kv/ and successful unless said otherwise."""
    usual = {
        "store": "vault", "namespace": "", "mount": "kv/", "operation": "read", "outcome": "success", "latency_ms": 3.0
    }  # fmt: skip
    return conform(pl.DataFrame([usual | row for row in rows], infer_schema_length=None), OPERATION)


@pytest.fixture
def metrics() -> Metrics:
    """A registry of its own."""
    return Metrics("1")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """One sample."""
    return metrics.registry.get_sample_value(f"keytrail_{name}", labels)


def test_operations_are_counted_by_their_words(metrics: Metrics) -> None:
    """By store, operation and outcome; no operations are no news."""
    told = Exported(metrics)
    told.operations(operations({}, {}, {"outcome": "denied"}, {"operation": "write"}, {"store": "aws", "mount": None}))
    told.operations(operations({}).clear())
    counts = {"store": "vault", "operation": "read"}
    assert value(metrics, "line_operations_total", **counts, outcome="success") == 2
    assert value(metrics, "line_operations_total", **counts, outcome="denied") == 1
    assert value(metrics, "line_operations_total", store="aws", operation="read", outcome="success") == 1


def test_latencies_fall_into_their_buckets(metrics: Metrics) -> None:
    """A latency at a bound is in its bucket; what is past the last one, too slow for any; what is unknown, nowhere."""
    told = Exported(metrics)
    times = (0.2, 1.0, 200.0, 200.1, 99_000.0, None, float("nan"))
    told.operations(operations(*({"latency_ms": time} for time in times)))
    told.operations(operations({"latency_ms": 0.5}))
    name = "line_operation_latency_seconds"
    assert value(metrics, f"{name}_bucket", store="vault", le="0.001") == 3
    assert value(metrics, f"{name}_bucket", store="vault", le="0.1") == 3
    assert value(metrics, f"{name}_bucket", store="vault", le="0.2") == 4
    assert value(metrics, f"{name}_bucket", store="vault", le="10.0") == 5
    assert value(metrics, f"{name}_bucket", store="vault", le="+Inf") == value(metrics, f"{name}_count", store="vault")
    assert value(metrics, f"{name}_count", store="vault") == 6
    assert value(metrics, f"{name}_sum", store="vault") == pytest.approx(99.4018)
    assert 0.2 in LATENCIES  # the objective's default, so that its share can be read off


def test_only_mounts_that_answer_have_a_name(metrics: Metrics) -> None:
    """A mount made up is `other` until something in it succeeds; those past the bound stay so."""
    told = Exported(metrics)
    told.operations(operations({"mount": "s.token-in-a-path/", "outcome": "denied"}, {"namespace": "team-a"}))
    assert value(metrics, "line_mount_operations_total", store="vault", mount="other", outcome="denied") == 1
    assert value(metrics, "line_mount_operations_total", store="vault", mount="team-a/kv", outcome="success") == 1
    told.operations(operations({"namespace": "team-a", "outcome": "denied"}))
    assert value(metrics, "line_mount_operations_total", store="vault", mount="team-a/kv", outcome="denied") == 1
    told.operations(operations(*({"mount": f"m{n}/"} for n in range(3 * MOUNTS))))
    text = generate_latest(metrics.registry).decode()
    assert b"token-in" not in text.encode()
    labels = {line.split('mount="')[1].split('"')[0] for line in text.splitlines() if 'mount="' in line}
    assert len(labels) == MOUNTS + 1
    assert value(metrics, "line_mount_operations_total", store="vault", mount="other", outcome="success") == 201


def test_a_mounts_name_does_nothing(metrics: Metrics) -> None:
    """What acts in it is spelled out, and it ends somewhere."""
    Exported(metrics).operations(operations({"mount": 'a"\n\x1b[2J}/'}, {"mount": "x" * 5_000 + "/"}))
    text = generate_latest(metrics.registry).decode()
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) < 300


def sli(minute: int, good: float | None, total: float, sli: str = "M1", **more: Any) -> dict[str, Any]:
    """An SLI row of the whole store."""
    return {
        "sli": sli, "store": "vault", "scope": "store", "window_start": START + dt.timedelta(minutes=minute),
        "good": good, "total": total, "objective": 0.999,
    } | more  # fmt: skip


def test_windows_count_once(metrics: Metrics) -> None:
    """A window told again adds what came late; mounts, and SLIs without good and total, add nothing."""
    totals = Totals(metrics)
    told = [sli(0, 9, 10), sli(5, 4, 4), sli(0, 11, 13), sli(5, 9, 9, scope="mount:kv/"), sli(0, None, 7, "M9")]
    told += [sli(0, 3, 5, "M2", objective=200.0), sli(0, 3, 5, "M5", objective=0.5), sli(0, 1, 1, "M8", objective=0.5)]
    for row in told:
        totals.measured(conform(pl.DataFrame([row]), SLI))
    assert value(metrics, "sli_good_events_total", sli="M1", store="vault") == 15
    assert value(metrics, "sli_events_total", sli="M1", store="vault") == 17
    assert value(metrics, "sli_events_total", sli="M9", store="vault") is None
    assert value(metrics, "sli_objective_ratio", sli="M1", store="vault") == 0.999
    assert value(metrics, "sli_objective_ratio", sli="M2", store="vault") == 0.95
    assert value(metrics, "sli_good_events_total", sli="M5", store="vault") == 3
    assert [value(metrics, "sli_objective_ratio", sli=sli, store="vault") for sli in ("M5", "M8")] == [None, None]


def test_a_window_that_an_earlier_process_told_is_not_counted_again(metrics: Metrics) -> None:
    """After a restart only what closes from then on counts."""
    told = Exported(metrics)
    told.known_until_us = int((START + dt.timedelta(minutes=5)).timestamp() * 1_000_000)
    for row in (sli(5, 4, 4), sli(10, 2, 3)):
        told.window(row, None)
    assert value(metrics, "sli_events_total", sli="M1", store="vault") == 3


def test_alerts_and_verdicts_begin_at_zero(metrics: Metrics) -> None:
    """So that the first of them is an increase to whoever scrapes."""
    metrics.expect(["rate"])
    assert value(metrics, "routing_alerts_total", detector="rate", severity="critical") == 0
    assert value(metrics, "integrity_verdicts_total", verdict="torn") == 0
    assert value(metrics, "integrity_verdicts_total", verdict="ok") is None
