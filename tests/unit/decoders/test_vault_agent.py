"""Logs of agents and proxies: both parsers see the same, and what their caches answered is measured, not estimated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.decoders import vault_agent
from pipeline.decoders.vault_agent import Config, create
from tests.decoding import Speeds, batch_of
from tests.lakes import run, view

CASES = sorted((Path(vault_agent.__file__).parent / "cases").glob("*.in"))
BOTH = Speeds(lambda: create(Config()))
LOOKUPS = next(path for path in CASES if path.stem == "lookups")


def line(**parts: Any) -> bytes:
    """An answer out of the cache, with other parts."""
    body = {
        "@level": "debug", "@message": "returning cached response", "@module": "agent.cache.leasecache",
        "@timestamp": "2026-03-02T08:00:00.000101Z", "path": "/v1/kv/data/shop/db",
    }  # fmt: skip
    return json.dumps({**body, **parts}).encode()


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_cases_read_alike(path: Path) -> None:
    """Every case gives the same by either parser."""
    BOTH.alike(batch_of(path.read_bytes()))


def test_ordinary_lines_stay_on_the_quick_path() -> None:
    """A log of the usual shape is believed at once."""
    batch = batch_of(LOOKUPS.read_bytes())
    assert BOTH.believed(batch) == len(batch)


@pytest.mark.parametrize(
    "parts",
    [
        {"@message": 5}, {"@message": None}, {"@message": ""}, {"@module": 5}, {"@module": None}, {"@module": "agent"},
        {"@module": "proxyx.cache"}, {"@level": "ERROR"}, {"@level": 3}, {"path": 1}, {"path": None},
        {"path": "//v1//a/b"}, {"error": ["a"]}, {"more": {"@module": "core"}}, {"@timestamp": 5},
        {"@timestamp": "2026-03-02T08:00:00+25:00"},
    ],
)  # fmt: skip
def test_odd_lines_read_alike(parts: dict[str, Any]) -> None:
    """Whatever stands where something else belongs, both parsers say the same of it."""
    BOTH.alike(batch_of(line(**parts)))


def test_the_hit_rate_is_measured(tmp_path: Path) -> None:
    """M10 of a cache's own log is no estimate, counts looks into the cache alone, and stands before the estimate."""
    reads = [
        {
            "time": f"2026-03-02T08:00:0{second}Z", "type": kind, "auth": {"display_name": "ci", "accessor": "a"},
            "request": {"id": f"r{second}", "operation": "read", "path": "kv/data/shop/db", "mount_type": "kv"},
            **({"response": {"data": {"data": {"v": "hmac-sha256:00"}}}} if kind == "response" else {}),
        }
        for second in (1, 2)
        for kind in ("request", "response")
    ]  # fmt: skip
    log = tmp_path / "mixed.log"
    log.write_bytes(LOOKUPS.read_bytes() + "".join(json.dumps(one) + "\n" for one in reads).encode())
    told = run(tmp_path / "lake", log)["slis"]["M10"]
    assert (told["good"], told["total"], told["estimate"], told["met"]) == (2, 5, False, False)
    rows = view(tmp_path / "lake", "slis").filter(sli="M10", scope="store")
    assert rows.select("store", "good", "total", "estimate").sort("store").rows() == [
        ("vault", 1, 2, True),
        ("vault_agent", 2, 5, False),
    ]
    assert "by its own log" in rows.filter(store="vault_agent")["coverage"][0]
    assert view(tmp_path / "lake", "operations").filter(store="vault_agent").height == 5
    assert view(tmp_path / "lake", "findings").filter(store="vault_agent").is_empty()


def test_looks_into_a_cache_are_no_access(tmp_path: Path) -> None:
    """Neither a pause in such a log nor what was looked up concerns a detector or another indicator."""
    hours = (*range(72), 75)
    log = tmp_path / "agent.log"
    log.write_bytes(
        b"".join(
            line(**{"@timestamp": f"2026-03-{2 + hour // 24:02}T{hour % 24:02}:{minute:02}:00.000001Z", "path": path})
            + b"\n"
            for hour in hours
            for minute in range(60)
            for path in ("/v1/kv/data/shop/db", "/v1/sys/wrapping/unwrap")
        )
    )
    run(tmp_path / "lake", log)
    assert view(tmp_path / "lake", "operations").height == 2 * 60 * len(hours)
    assert view(tmp_path / "lake", "findings").is_empty()
    assert view(tmp_path / "lake", "baselines").is_empty()
    assert view(tmp_path / "lake", "slis")["sli"].unique().to_list() == ["M10"]
