"""Several devices of one store: what one lost, another has."""

from __future__ import annotations

import polars as pl

from pipeline.core.clock import ALWAYS
from pipeline.core.schema import INTEGRITY, empty
from pipeline.integrity.devices import Devices
from pipeline.integrity.order import Sequencer
from pipeline.integrity.pairing import Pairing
from tests.streams import entry, frame


def told(*streams: list[dict[str, object]], filtered: tuple[str, ...] = ()) -> pl.DataFrame:
    """What comparing these streams says, read at once."""
    order, pairing, devices = Sequencer(), Pairing(), Devices(filtered)
    for rows in streams:
        order.push(str(rows[0]["source"]), frame(rows))
    order.confirm()
    events = order.release(ALWAYS)
    found = devices.push(pairing.push(events, ALWAYS), events.filter("probe"))
    return pl.concat([empty(INTEGRITY), found, devices.finish()])


def both(source: str, requests: range, **other: object) -> list[dict[str, object]]:
    """Request and response of each number, a second apart."""
    return [
        entry(source, f"r{n}", phase, n + (0.01 if phase == "response" else 0), **other)
        for n in requests
        for phase in ("request", "response")
    ]


def test_devices_that_agree_are_quiet() -> None:
    """Two devices with the same entries give no verdict."""
    assert told(both("a", range(20)), both("b", range(20))).is_empty()


def test_a_hole_in_one_device_is_a_gap_between_its_neighbours() -> None:
    """Entries that only the sibling has are one gap, from the device's line before to its line after."""
    short = [row for row in both("b", range(20)) if row["correlation_uid"] not in ("r7", "r8", "r9")]
    found = told(both("a", range(20)), short)
    assert found.select("source", "verdict", "cause", "count", "from_position", "to_position").rows() == [
        ("b", "gap", "device_loss", 6, 1300, 1400)
    ]
    assert [t.second for t in found.select("from_time", "to_time").row(0)] == [7, 9]
    assert "a has" in found["evidence"][0]


def test_a_lost_half_counts() -> None:
    """A response that only one device wrote is missing on the other."""
    short = [row for row in both("b", range(9)) if (row["correlation_uid"], row["phase"]) != ("r4", "response")]
    assert told(both("a", range(9)), short)["count"].to_list() == [1]


def test_a_device_that_ends_early_is_truncated() -> None:
    """A device that stops while its sibling goes on, without having been disabled, is truncated."""
    found = told(both("a", range(20)), both("b", range(12)))
    assert found.select("source", "verdict", "cause", "count").rows() == [("b", "truncated", "ends_early", 16)]


def test_a_disabled_device_lost_nothing() -> None:
    """The request that disables a device is in it, its answer is not, and what follows is none of its business."""
    off = {"path": "sys/audit/b", "api_operation": "delete"}
    main = both("a", range(10)) + both("a", range(10, 11), **off) + both("a", range(11, 20))
    assert told(main, both("b", range(10)) + both("b", range(10, 11), **off)[:1]).is_empty()


def start(source: str, seconds: float) -> dict[str, object]:
    """The line a device starts with."""
    return entry(source, f"test-{source}", "request", seconds, probe=True, path="sys/audit/test")


def test_between_two_lives_nothing_is_expected() -> None:
    """A device enabled again, by request or with its siblings, is not asked for what happened while it was off."""
    short = [*both("b", range(8)), start("b", 14.5), *both("b", range(15, 20))]
    asked = [entry("a", "on", phase, 14.4 + (phase == "response") / 5, path="sys/audit/b", api_operation="update")
             for phase in ("request", "response")]  # fmt: skip
    whole, answer = both("a", range(20)), {**asked[1], "source": "b", "file": "b"}
    assert told([*whole[:30], *asked, *whole[30:]], [*short[:17], answer, *short[17:]]).is_empty()
    for seconds in (14.49, 14.51):
        assert told([*whole[:30], start("a", seconds), *whole[30:]], short).is_empty()


def test_a_start_alone_covers_no_hole() -> None:
    """A first line in the place of what was taken out, with nobody who switched the device, is no second life."""
    for seconds in (7.5, 14.5):
        found = told(both("a", range(20)), [*both("b", range(8)), start("b", seconds), *both("b", range(15, 20))])
        assert found.select("source", "verdict", "cause", "count").rows() == [("b", "gap", "device_loss", 14)]


def test_devices_of_different_stores_are_not_compared() -> None:
    """Streams that share no request owe each other nothing."""
    other = [{**row, "correlation_uid": f"x{row['correlation_uid']}"} for row in both("b", range(20))]
    assert told(both("a", range(20)), other).is_empty()


def test_a_device_cannot_exempt_its_own_entries() -> None:
    """A request marked as carried on by one device and not by its sibling is missing, as such, on either."""
    marked = [{**row, "forwarded": row["correlation_uid"] == "r7"} for row in both("a", range(20))]
    found = told(marked, both("b", range(20)))
    assert found.select("source", "verdict", "cause").unique().sort("source").rows() == [
        ("a", "gap", "device_loss"),
        ("b", "gap", "device_loss"),
    ]
    assert found.group_by("source").agg(pl.col("count").sum())["count"].to_list() == [2, 2]


def test_an_entry_that_only_one_device_has_is_missed_whatever_it_says() -> None:
    """An operation put into one device is missing on the other, marked as carried on or without an id."""
    for other in ({"forwarded": True}, {"correlation_uid": None}):
        forged = [entry("a", "f", phase, 7.5, **other) for phase in ("request", "response")]
        rows = both("a", range(20))
        found = told(rows[:16] + forged + rows[16:], both("b", range(20)))
        assert found.select("source", "cause", "count").rows() == [("b", "device_loss", 2)], other


def test_nodes_that_carry_requests_on_are_no_siblings() -> None:
    """Two devices of a standby and two of the active node share ids, and are held to their own kind only (V8)."""
    first = [both(name, range(20)) for name in ("a1", "a2")]
    carried = [{**row, "forwarded": True} for rows in first for row in rows]
    own = [[*both(name, range(20)), *both(name, range(30, 40))] for name in ("s1", "s2")]
    other = [both(name, range(20, 30)) for name in ("a1", "a2")]
    active = [[*(row for row in carried if row["source"] == rows[0]["source"]), *rows] for rows in other]
    assert told(*active, *own).is_empty()
    short = [row for row in active[1] if row["correlation_uid"] != "r25"]
    assert told(active[0], short, *own).select("source", "count").rows() == [("a2", 2)]


def test_help_is_written_without_an_id() -> None:
    """Which of two requests for help is which on another device cannot be told (V7)."""
    asked = [
        entry("a", "f", phase, 7.5, correlation_uid=None, api_operation="help") for phase in ("request", "response")
    ]
    rows = both("a", range(20))
    assert told(rows[:16] + asked + rows[16:], both("b", range(20))).is_empty()


def test_a_filtered_device_is_held_to_nothing() -> None:
    """A device declared as filtered may lack what it likes."""
    assert told(both("a", range(20)), both("b", range(0, 20, 2)), filtered=("b",)).is_empty()


def test_an_outage_is_told_before_it_ends() -> None:
    """A hole older than a minute is told while it is open, and again, whole, when it closes."""
    short = [row for row in both("b", range(200)) if not 20 <= int(str(row["correlation_uid"])[1:]) < 150]
    found = told(both("a", range(200)), short)
    assert found["uid"].n_unique() == 1
    assert found["count"].to_list() == [121, 260]


class Runs:
    """Several runs over growing streams, with the lake's operations at hand as in the line."""

    def __init__(self) -> None:
        self.lake: list[pl.DataFrame] = []
        self.order, self.devices = Sequencer(), Devices()
        self.pairing = Pairing(lambda ids, low, high: pl.concat(self.lake).filter(pl.col("correlation_uid").is_in(ids)))
        self.rows = empty(INTEGRITY)

    def read(self, *frames: pl.DataFrame) -> list[tuple[object, ...]]:
        """One run that ends: the places as they stand after it."""
        for part in frames:
            self.order.push(str(part["source"][0]), part)
        self.order.confirm()
        events = self.order.release(ALWAYS)
        paired = self.pairing.push(events, ALWAYS)
        self.lake += [paired.corrections, paired.operations]
        told = [self.rows, self.devices.push(paired, events.filter("probe")), self.devices.finish()]
        self.rows = pl.concat(told).unique("uid", keep="last", maintain_order=True)
        return self.rows.select("source", "verdict", "count").rows()


def test_a_tail_that_comes_in_a_later_run_is_late() -> None:
    """A device that seemed to end early and brings the rest afterwards lost nothing: the verdict is taken back."""
    runs, first, second = Runs(), frame(both("a", range(20))), frame(both("b", range(20)))
    assert runs.read(first, second[:24]) == [("b", "truncated", 16)]
    assert runs.read(second[24:30]) == [("b", "truncated", 10)]
    assert runs.read(second[30:]) == [("b", "late", 16)]


def test_what_never_comes_stays_lost() -> None:
    """Of a tail that comes later with a hole in it, the hole remains."""
    runs, first, second = Runs(), frame(both("a", range(20))), frame(both("b", range(20)))
    runs.read(first, second[:24])
    rest = second[24:].filter(~pl.col("correlation_uid").is_in(["r15", "r16"]))
    assert runs.read(rest) == [("b", "truncated", 4)]
