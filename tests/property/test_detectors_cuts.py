"""Detectors that see operations as they become complete: any cut of any stream gives the same findings."""

from __future__ import annotations

from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import plugins
from pipeline.core.model import Window
from pipeline.core.ports import Stateful
from pipeline.core.schema import FINDING, INTEGRITY, OPERATION, conform, empty

START = 1_772_409_600_000_000
KINDS = ("token_lifecycle", "break_glass", "leak_echo")
ACTS: dict[str, dict[str, Any]] = {
    "create": {"path": "auth/token/create-orphan", "mount": "auth/token/", "operation": "auth", "made": True},
    "login": {"path": "auth/approle/login", "mount": "auth/approle/", "operation": "auth", "made": True},
    "wrap": {"path": "kv/data/a", "mount": "kv/", "operation": "read", "wrap_ttl": 120, "made": True},
    "look": {"path": "sys/wrapping/lookup", "mount": "sys/", "operation": "list"},
    "open": {"path": "sys/wrapping/unwrap", "mount": "sys/", "operation": "read"},
    "late": {"path": "sys/wrapping/unwrap", "mount": "sys/", "operation": "read", "outcome": "denied"},
    "revoke": {"path": "auth/token/revoke-accessor", "mount": "auth/token/", "operation": "revoke", "made": True},
    "broken": {
        "path": "db/config",
        "mount": "db/",
        "operation": "write",
        "outcome": "failure",
        "error": "pg://a:b12345@c/",
    },
}
STEP = st.tuples(
    st.sampled_from([*ACTS, "create", "create", "open"]),
    st.integers(1, 2_400),  # seconds since the one before
    st.integers(0, 3),  # whose
    st.sampled_from([60, 3_600, 86_400, 2_592_000]),
)


def operations(steps: list[tuple[str, int, int, int]]) -> pl.DataFrame:
    rows, at = [], START
    for number, (act, pause, who, ttl) in enumerate(steps):
        at += pause * 1_000_000
        told = dict(ACTS[act])
        made = told.pop("made", False)
        rows.append(
            {
                "outcome": "success", "error": None, "wrap_ttl": None, **told,
                "uid": f"{number:032x}", "time": at, "complete_time": at, "store": "vault",
                "principal": ("approle/a", "approle/b", "approle/break-glass", "oidc/c")[who],
                "principal_type": "service", "client_ip": f"10.0.{who}.9", "zone": f"10.0.{who}.0/24",
                "session": f"t{who}", "login_session": f"t{(who + 1) % 4}" if made else None, "token_ttl": ttl,
                "secret": "", "discloses_value": False, "api_operation": "update",
            }
        )  # fmt: skip
    return conform(pl.DataFrame(rows), OPERATION)


def findings(kind: str, rows: pl.DataFrame, sizes: list[int]) -> pl.DataFrame:
    """What a detector finds in pieces of these sizes, with a restart after each."""
    module = plugins.load("detectors", kind)
    config = (
        module.Config(life_surprise=1.0, wrap_surprise=0.5, p=0.2) if kind == "token_lifecycle" else module.Config()
    )
    detector, at, found = module.create(config), 0, [empty(FINDING)]
    for size in [*sizes, len(rows)]:
        part = rows[at : at + size]
        at += size
        if part.is_empty():
            continue
        times = part["complete_time"].to_physical()
        found.append(detector.inspect(Window(times[0], times[-1] + 1, part, empty(INTEGRITY), None, closed=True)))
        assert isinstance(detector, Stateful)
        frames, detector = detector.snapshot(), module.create(config)
        detector.restore(frames)
    return pl.concat(found).unique("uid", keep="first", maintain_order=True).sort("time", "uid")


@given(st.lists(STEP, min_size=5, max_size=60), st.lists(st.integers(1, 9), max_size=30), st.sampled_from(KINDS))
def test_cuts_decide_nothing(steps: list[tuple[str, int, int, int]], sizes: list[int], kind: str) -> None:
    """Pieces and restarts against one piece: the same findings in every field, `ready` with them."""
    rows = operations(steps)
    assert findings(kind, rows, sizes).equals(findings(kind, rows, []))
