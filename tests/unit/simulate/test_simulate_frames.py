"""Frames made without the lines are what the pipeline makes of the lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipeline.core.model import RawBatch
from pipeline.core.schema import OPERATION
from pipeline.decoders.vault import Config, create
from pipeline.enrich import create as enricher
from pipeline.simulate import Attack, Scenario, attacks, simulate, workload
from pipeline.simulate.world import known

COMPARED = (
    "operation", "discloses_value", "api_operation", "principal", "principal_type", "client_ip", "user_agent",
    "namespace", "mount", "secret", "secret_version", "outcome", "error", "path", "mount_type", "zone", "entity",
    "policies", "token_type", "login_principal", "token_ttl", "wrap_ttl", "flags", "clear", "store", "cluster",
)  # fmt: skip


def decoded(path: Path) -> pl.DataFrame:
    data = np.frombuffer(path.read_bytes(), np.uint8)
    ends = np.flatnonzero(data == 10).astype(np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)
    batch = RawBatch("s", "f", "p", data, starts, ends, starts, ends + 1, 0, final=True)
    result = create(Config()).decode(batch)
    assert result.rejected.is_empty()
    return enricher().resolve(result.events)


@pytest.mark.parametrize("difficulty", [pytest.param("easy", marks=pytest.mark.slow), "hard"])
def test_frames_agree_with_the_lines(tmp_path: Path, difficulty: str) -> None:
    """Column by column, an operation of the workload equals its response entry decoded and named."""
    staged = tuple(Attack(n, difficulty) for n in known(attacks) if not n.startswith("audit"))
    scenario = Scenario(days=2, preset="xs", attacks=staged)
    simulate(scenario, tmp_path)
    frame = pl.concat([f for f, _ in workload(scenario)])
    events = decoded(tmp_path / "audit.log").filter(pl.col("phase") == "response")
    both = frame.join(events, on="correlation_uid", suffix="_line")
    assert len(both) == len(events) == frame["paired"].sum()
    for name in COMPARED:
        unequal = both.filter(~pl.col(name).eq_missing(pl.col(f"{name}_line")))
        assert unequal.is_empty(), (name, unequal.select("path", name, f"{name}_line").head(3).rows())
    assert (both["complete_time"] == both["time_line"]).all()


def test_frames_have_the_schema_and_are_in_order() -> None:
    """Each hour is a frame in schema OPERATION, by time, within its hour."""
    start = Scenario(days=1, preset="xs")
    frames = [f for f, _ in workload(start)]
    assert len(frames) == 24
    for frame in frames:
        assert frame.schema == OPERATION
        assert frame["time"].is_sorted()
    whole = pl.concat(frames)
    assert whole["time"].is_sorted()
    assert whole["uid"].n_unique() == len(whole)


def test_what_no_device_tells_is_not_in_the_frames() -> None:
    """With its only device off, an operation is in no frame; with a second device on, it is."""
    staged = (Attack("audit_off", "easy", 0.5),)
    alone, seen = (
        sum(len(f) for f, _ in workload(Scenario(days=1, preset="xs", devices=n, attacks=staged))) for n in (1, 2)
    )
    assert alone < seen
