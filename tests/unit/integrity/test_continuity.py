"""What one stream shows of its own wholeness."""

from __future__ import annotations

import polars as pl

from pipeline.core.clock import ALWAYS
from pipeline.core.schema import INTEGRITY, REJECTED, empty
from pipeline.integrity.clocks import Clocks
from pipeline.integrity.continuity import Continuity
from pipeline.integrity.order import Sequencer
from pipeline.integrity.pairing import Pairing
from tests.streams import entry, frame


def verdicts(rows: list[dict[str, object]], cut: int = 1000) -> list[tuple[str, str, int]]:
    """(verdict, cause, count) of each place of one stream, read in batches of `cut`."""
    order, pairing, continuity, clocks = Sequencer(), Pairing(), Continuity(), Clocks()
    events = frame(rows)
    parts = [empty(INTEGRITY)]

    def advance(mark: int) -> None:
        released = order.release(mark)
        paired = pairing.push(released, mark)
        parts.extend((clocks.push(released, paired, mark), continuity.operations(paired)))

    for at in range(0, len(events), cut):
        batch = events[at : at + cut]
        parts.append(continuity.stream("a", batch, empty(REJECTED), "", "a", "f1"))
        order.push("a", batch)
        advance(order.watermark({"a": True}))
    order.confirm()
    advance(ALWAYS)
    found = pl.concat(parts).unique("uid", keep="last", maintain_order=True)
    return sorted(found.select("verdict", "cause", "count").rows())


def pairs(start: int, stop: int) -> list[dict[str, object]]:
    """Paired entries, one request a second."""
    return [
        entry("a", f"r{n}", p, n + (p == "response") * 0.01)
        for n in range(start, stop)
        for p in ("request", "response")
    ]


def test_a_whole_stream_has_no_verdict() -> None:
    """Requests with their responses, in order, say nothing."""
    assert verdicts(pairs(0, 30)) == []


def test_small_steps_back_are_normal() -> None:
    """Entries that step back by less than two seconds are no verdict (V10)."""
    rows = pairs(0, 30)
    rows[20], rows[24] = rows[24], rows[20]
    rows[20]["time"], rows[24]["time"] = rows[24]["time"], rows[20]["time"]
    assert verdicts(rows) == []


def test_a_lone_request_is_unpaired() -> None:
    """A request that is never answered is one unpaired place."""
    assert verdicts([*pairs(0, 5), entry("a", "lone", "request", 5), *pairs(6, 9)]) == [("unpaired", "unpaired", 1)]


def test_requests_without_response_by_design_are_quiet() -> None:
    """Seal, step-down and the request that disables a device have no response (V2, V4), nor an enabling its request."""
    asked = (("sys/seal", "update"), ("sys/step-down", "update"), ("sys/audit/file", "delete"))
    lone = [
        entry("a", f"x{i}", "request", 5 + i, path=path, api_operation=word) for i, (path, word) in enumerate(asked)
    ]
    enabled = entry("a", "on", "response", 9, path="sys/audit/other/", api_operation="update")
    assert verdicts([*pairs(0, 5), *lone, enabled]) == []


def test_the_wrong_half_of_a_device_change_is_unpaired() -> None:
    """Enabling another device is answered here, and disabling one is asked here first: a half alone is a loss."""
    on = entry("a", "on", "request", 5, path="sys/audit/other", api_operation="update")
    off = entry("a", "off", "response", 6, path="sys/audit/other", api_operation="delete")
    assert verdicts([*pairs(0, 5), on, off]) == [("unpaired", "unpaired", 1)] * 2


def test_a_clock_set_back_is_a_step() -> None:
    """A sustained regression of time is a clock step, whatever the cuts; a single late entry is late."""
    back = pairs(30, 34)
    for row in back:
        row["time"] = entry("a", "", "request", 10)["time"]
    stepped = [*pairs(0, 30), *back]
    assert ("clock_step", "clock", 8) in verdicts(stepped)
    assert verdicts(stepped, cut=1) == verdicts(stepped)
    late = [*pairs(0, 30), {**back[0], "correlation_uid": "r29", "phase": "response"}]
    assert ("late", "clock", 1) in verdicts(late)


def test_halves_that_disagree_are_altered() -> None:
    """A response that names another path than its request was changed (V14)."""
    rows = pairs(0, 10)
    rows[9] = {**rows[9], "path": "kv/data/other"}
    assert ("altered", "halves_differ", 2) in verdicts(rows)


def test_the_same_entry_twice_is_a_duplicate() -> None:
    """A line told twice by one stream is a duplicate; carried by a standby too, it is not (V8)."""
    rows = pairs(0, 10)
    assert ("duplicate", "duplicate", 2) in verdicts([*rows[:5], rows[4], *rows[5:]])
    forwarded = [{**row, "forwarded": True} for row in rows]
    assert verdicts([*forwarded[:5], forwarded[4], *forwarded[5:]]) == []


def test_a_device_enabled_again_is_told() -> None:
    """A second start line in one stream is a change of device: hashes before and after do not compare (V3, V5)."""
    probe = entry("a", "probe", "request", 5.5, probe=True, path="sys/audit/test")
    assert verdicts([*pairs(0, 5), probe, *pairs(6, 9)]) == [("device_change", "enabled_again", 1)]


def test_clear_text_is_one_growing_place() -> None:
    """A device that logs in clear is one place from its first to its last such line."""
    rows = [{**row, "clear": True} for row in pairs(0, 6)]
    assert verdicts(rows, cut=1) == [("in_clear", "in_clear", 12)]


def test_what_happens_to_each_file_of_a_stream_is_told() -> None:
    """Two files cut back under one name, and remains at the same position of both, are places of their own."""
    continuity = Continuity()
    remains = pl.DataFrame({"position": [0], "reason": ["nul_run"], "size": [9], "file": ["a"], "time": [None]})
    rejected = pl.concat([empty(REJECTED), remains], how="diagonal_relaxed").select(*REJECTED).cast(dict(REJECTED))
    read = [continuity.stream("a", frame(pairs(0, 5)), empty(REJECTED), "", "a", "f1")]
    for n, partition in enumerate(("f2", "f3"), 1):
        events = frame(pairs(n * 10, n * 10 + 5))
        read.append(continuity.stream("a", events, rejected, "truncated", "a", partition))
    places = pl.concat(read).unique("uid")
    assert sorted(places["cause"]) == ["nul_run", "nul_run", "truncated", "truncated"]
