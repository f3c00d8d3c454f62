"""Recorded and hand-made Vault logs of strangers: nothing in them is lost, and what they prove is told."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl
import pytest

from tests.lakes import real_logs, run, view

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Expected:
    """What a person who read the file says of it. `integrity`: (verdict, from, to, count), by position."""

    entries: int
    operations: int
    paired: int
    rejected: tuple[tuple[int, str, int], ...] = ()  # position, reason, size
    integrity: tuple[tuple[str, int, int, int], ...] = ()
    outcomes: dict[str, int] = field(default_factory=dict)


FILES = {
    # A server started twice: each start is a probe of its device and the answer that enabled it. Reads bring no data.
    "vault-didentity/audit.log": Expected(
        38, 19, 17, integrity=(("device_change", 1626, 1626, 1),), outcomes={"not_found": 17, "success": 2}
    ),
    # Made by hand, partly pretty-printed. Three answers name no request; nothing answers the four requests, one of
    # which would delete a mount and three of which would enable a device.
    "vault-ops-agent/input.log": Expected(
        8, 7, 0, outcomes={"success": 7},
        integrity=tuple(("unpaired", at, at, 1) for at in (189, 433, 572, 778, 966, 1211, 1350)),
    ),
    # A volume's zero bytes before the first entry, on the same line. Three failures stand as a hashed `data.error`.
    "vault-testdrivenio/audit.log": Expected(
        109, 54, 54, rejected=((0, "nul_run", 43074),), integrity=(("torn", 0, 0, 1),),
        outcomes={"success": 42, "denied": 3, "failure": 9},
    ),
    # One line of prose; a list of keys and an alias's name stand in clear.
    "vault-trenner/sample.ndjson": Expected(
        23, 11, 11, rejected=((9915, "unknown_format", 53),), integrity=(("in_clear", 3896, 5673, 2),),
        outcomes={"success": 6, "denied": 1, "not_found": 4},
    ),
    "vault-trenner/test.log": Expected(
        24, 12, 12, integrity=(("in_clear", 0, 9588, 24),), outcomes={"success": 6, "not_found": 6}
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=list(FILES))
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Path]:
    """(name, file, lake of a run over it)."""
    name: str = request.param
    folder, _, leaf = name.partition("/")
    file = real_logs(folder) / leaf
    lake = tmp_path_factory.mktemp(folder) / "lake"
    run(lake, file)
    return name, file, lake


def test_every_byte_is_accounted_for(recording: tuple[str, Path, Path]) -> None:
    """Each byte that is not blank lies in exactly one entry, which is an event or rejected with its reason and size."""
    _, file, lake = recording
    body = file.read_bytes()
    left = bytearray(b"".join(b" " if body[i : i + 1].isspace() else b"x" for i in range(len(body))))
    events, rejected, raw = view(lake, "events"), view(lake, "rejected"), view(lake, "raw")
    spans = [(position, position + size) for position, size in rejected.select("position", "size").iter_rows()]
    spans += [(position, _end(body, position)) for position in events["position"]]
    for start, end in spans:
        assert b"x" in left[start:end], f"two entries lay claim to byte {start}"
        left[start:end] = b" " * (end - start)
    assert not left.strip()
    assert sorted(raw["position"]) == sorted(start for start, _ in spans)
    assert set(raw["file"]) == {str(file)}


def _end(body: bytes, position: int) -> int:
    """Where the JSON object that begins at `position` ends."""
    text = body[position:].decode("utf-8")
    return position + len(text[: json.JSONDecoder().raw_decode(text)[1]].encode())


def test_events_say_what_their_lines_say(recording: tuple[str, Path, Path]) -> None:
    """Time, phase, id, path and address of each event are those of the object at its position."""
    _, file, lake = recording
    body = file.read_bytes()
    for row in view(lake, "events").to_dicts():
        entry = json.loads(body[row["position"] : _end(body, row["position"])])
        asked = entry.get("request") or {}
        moment = row["time"].isoformat(timespec="microseconds")[:26]
        assert (moment, row["phase"]) == (entry["time"].rstrip("Z")[:26].ljust(26, "0"), entry["type"])
        told = (row["correlation_uid"], row["path"], row["client_ip"], row["api_operation"])
        expected = tuple(asked.get(key) for key in ("id", "path", "remote_address", "operation"))
        assert told == expected


def test_counts_and_verdicts(recording: tuple[str, Path, Path]) -> None:
    """Entries, operations, pairs, outcomes, rejected remains and integrity are what a reader of the file finds."""
    name, _, lake = recording
    expected = FILES[name]
    operations, rejected, integrity = view(lake, "operations"), view(lake, "rejected"), view(lake, "integrity")
    assert len(view(lake, "raw")) == expected.entries
    assert (len(operations), int(operations["paired"].sum())) == (expected.operations, expected.paired)
    assert Counter(operations["outcome"]) == expected.outcomes
    assert tuple(rejected.select("position", "reason", "size").iter_rows()) == expected.rejected
    places = integrity.sort("from_position").select("verdict", "from_position", "to_position", "count")
    assert tuple(places.iter_rows()) == expected.integrity


def test_latency_is_the_time_between_the_lines(recording: tuple[str, Path, Path]) -> None:
    """Each pair's latency is its answer's time less its request's; without both there is none."""
    _, _, lake = recording
    phases = view(lake, "events").filter(pl.col("correlation_uid").is_not_null())
    times = {(row["correlation_uid"], row["phase"]): row["time"] for row in phases.to_dicts()}
    for row in view(lake, "operations").to_dicts():
        asked, answered = (times.get((row["correlation_uid"], phase)) for phase in ("request", "response"))
        if row["paired"]:
            assert asked is not None
            assert answered is not None
            assert row["latency_ms"] == pytest.approx((answered - asked).total_seconds() * 1000, abs=1e-9)
        else:
            assert row["latency_ms"] is None
