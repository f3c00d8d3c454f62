"""Canary numbers: what is missing, wrong, repeated or out of order, and whose loss it is."""

from __future__ import annotations

import hashlib
import hmac

import polars as pl
import pytest

from pipeline.core.clock import ALWAYS
from pipeline.core.schema import INTEGRITY, empty
from pipeline.integrity.canaries import Canaries
from pipeline.integrity.order import Sequencer
from pipeline.integrity.topics import by_topic
from tests.streams import entry, frame

KEY = b"a key of these tests"
Rows = list[dict[str, object]]


def mac(number: int, key: bytes = KEY) -> str:
    """The header's value of a number."""
    return f"{number}.{hmac.new(key, str(number).encode(), hashlib.sha256).hexdigest()[:32]}"


def canary(source: str, number: int, seconds: float, request: str = "", **other: object) -> Rows:
    """Request and response of one canary request."""
    told = {"canary": mac(number), "token_hash": "hmac-sha256:1", "session": "s1", **other}
    request = request or f"c{number}"
    return [
        entry(source, request, "request", seconds, **told),
        entry(source, request, "response", seconds + 0.01, **told),
    ]


def client(source: str, numbers: list[int], **other: object) -> Rows:
    """A canary request every ten seconds with these numbers; number n is due at 10 n seconds."""
    return [row for n in numbers for row in canary(source, n, 10 * n, **other)]


def told(
    *streams: Rows, key: bytes | None = KEY, cut: int = 1000, reload: bool = False, until: float = ALWAYS
) -> pl.DataFrame:
    """What the canaries of these streams say, read in batches of `cut` entries of the canonical order."""
    order, canaries = Sequencer(), Canaries(key)
    for rows in streams:
        order.push(str(rows[0]["source"]), frame(rows))
    order.confirm()
    events = order.release(ALWAYS)
    parts = [empty(INTEGRITY)]
    for at in range(0, len(events), cut):
        batch = events[at : at + cut]
        following = events[at + cut : at + cut + 1]["order_time"].to_physical()
        mark = int(following[0]) if len(following) else int(until)
        parts.append(canaries.push(batch, mark))
        if reload:
            saved, canaries = canaries.snapshot(), Canaries(key)
            canaries.restore(saved)
    return pl.concat(parts)


def places(found: pl.DataFrame) -> list[tuple[object, ...]]:
    """(source, verdict, cause, count) of each place in the end."""
    last = found.unique("uid", keep="last", maintain_order=True)
    return last.select("source", "verdict", "cause", "count").rows()


def test_numbers_that_follow_each_other_are_quiet() -> None:
    """Every number on every device says nothing."""
    assert told(client("a", [*range(1, 30)]), client("b", [*range(1, 30)])).is_empty()


def test_a_missing_number_is_a_gap_between_its_neighbours() -> None:
    """From the last line of the number before to the first line of the number after, with their times."""
    found = told(client("a", [1, 2, 3, 4, 7, 8]))
    assert places(found) == [("a", "gap", "canary_gap", 2)]
    row = found.row(0, named=True)
    assert (row["from_position"], row["to_position"]) == (700, 800)
    assert (row["to_time"] - row["from_time"]).total_seconds() == pytest.approx(29.99)
    assert row["evidence"] == "canary numbers 5 to 6 are missing; no device has them"


def test_two_gaps_are_two_places() -> None:
    """Holes that a number parts are told apart."""
    assert places(told(client("a", [1, 3, 4, 8]))) == [("a", "gap", "canary_gap", 1), ("a", "gap", "canary_gap", 3)]


def test_a_number_that_a_sibling_has_is_one_devices_loss() -> None:
    """The device that lacks it has the gap, and the evidence names the sibling that has it."""
    found = told(client("a", [1, 2, 3, 4, 5]), client("b", [1, 2, 4, 5]))
    assert places(found) == [("b", "gap", "canary_gap", 1)]
    assert found["evidence"][0] == "canary numbers 3 are missing; a has them"


def test_devices_of_different_stores_do_not_vouch_for_each_other() -> None:
    """The same numbers in other requests belong to another client."""
    other = [row for n in range(1, 6) for row in canary("b", n, 10 * n, request=f"x{n}")]
    assert told(client("a", [1, 2, 4, 5]), other)["evidence"][0].endswith("no device has them")


def test_a_wrong_mac_is_altered_and_its_number_not_believed() -> None:
    """A forged number opens no hole; the entries that carry it are one place."""
    forged = [row for n in (900, 901) for row in canary("a", n, n - 855, canary=f"{n}.{'0' * 32}")]
    found = told([*client("a", [1, 2, 3, 4]), *forged, *client("a", [5, 6])])
    assert places(found) == [("a", "altered", "canary_mac", 4)]
    last = found.unique("uid", keep="last")
    assert last.select("from_position", "to_position").row(0) == (800, 1100)


def test_a_value_that_is_no_canary_is_altered() -> None:
    """Text that is not `<number>.<mac>` is told like a wrong MAC."""
    assert places(told(canary("a", 1, 10, canary="hello"))) == [("a", "altered", "canary_mac", 2)]


def test_a_number_in_another_request_is_a_replay() -> None:
    """A recorded header sent again is a duplicate, however old the number is."""
    found = told([*client("a", [*range(1, 9)]), *canary("a", 2, 85, request="again"), *client("a", [9, 10])])
    assert places(found) == [("a", "duplicate", "canary_replay", 2)]


def test_small_disorder_is_honest() -> None:
    """Numbers that change places within two seconds say nothing."""
    rows = [*client("a", [1, 2]), *canary("a", 4, 30.0), *canary("a", 3, 29.9), *client("a", [5])]
    assert told(rows).is_empty()


def test_numbers_out_of_order_are_reordered() -> None:
    """Two canary requests far apart that have changed places are told as one place of disorder, and no loss."""
    rows = [*client("a", [1, 2, 6, 4, 5, 3]), *client("a", [7, 8])]
    found = told(rows)
    assert places(found) == [("a", "reordered", "canary_order", 3)]
    last = found.unique("uid", keep="last")
    assert last.select("from_position", "to_position").row(0) == (400, 1000)


def test_numbers_that_come_after_the_gap_was_told_take_it_back() -> None:
    """A hole that fills later is `late`, and the disorder is told."""
    rows = [*client("a", [1, 2]), *client("a", [5, 6]), *canary("a", 3, 70), *canary("a", 4, 80), *client("a", [9])]
    found = told(rows)
    assert ("a", "gap", "canary_gap", 2) in found.select("source", "verdict", "cause", "count").rows()
    assert ("a", "late", "canary_gap", 1) in places(found)
    assert ("a", "reordered", "canary_order", 2) in places(found)


def test_between_two_lives_a_sibling_excuses() -> None:
    """Numbers of the time a device was off are no loss when a sibling has them; without a sibling they are."""
    probe = entry("b", "p", "request", 65, probe=True, canary=None)
    off = [*client("b", [1, 2, 3]), probe, *client("b", [7, 8])]
    assert told(client("a", [*range(1, 9)]), off).is_empty()
    assert places(told(off)) == [("b", "gap", "canary_gap", 3)]


def test_a_topic_is_one_device() -> None:
    """Numbers spread over the partitions of a topic are all there; one that is in none of them is missing."""
    spread = [row | {"source": f"t/{n % 3}", "file": f"t/{n % 3}"} for n in (1, 2, 3, 5) for row in canary("t/0", n, n)]
    canaries = Canaries(KEY)
    found = canaries.push(by_topic(frame(spread).with_columns(order_time="time")), ALWAYS)
    assert places(found) == [("t", "gap", "canary_gap", 1)]
    assert found.select("from_position", "to_position").rows()


def test_without_a_key_the_sequence_is_read_and_said_to_be_unverified_once() -> None:
    """The MAC is not judged, the numbers are; one row says so, however many canaries there are."""
    found = told(client("a", [1, 2, 4]), client("b", [1, 2, 4]), key=None)
    assert sorted(places(found)) == [
        ("a", "gap", "canary_gap", 1), ("a", "unverifiable", "canary_unkeyed", 1), ("b", "gap", "canary_gap", 1),
    ]  # fmt: skip


def test_a_new_salt_on_one_device_is_a_device_made_anew() -> None:
    """The canary's token hashes differently on one device and not on its sibling: that device has a new salt."""
    salted = [*client("b", [1, 2, 3]), *client("b", [4, 5], token_hash="hmac-sha256:2", session="s2")]
    found = told(client("a", [1, 2, 3, 4, 5]), salted)
    assert places(found) == [("b", "device_change", "salt_changed", 1)]
    assert found.select("from_position", "to_position").row(0) == (500, 600)


def test_a_new_token_is_no_new_salt() -> None:
    """A token that hashes anew on every device, or that a log-in just made, is the client's new token."""
    fresh = {"token_hash": "hmac-sha256:2", "session": "s2"}
    both = [[*client(d, [1, 2, 3]), *client(d, [4, 5], **fresh)] for d in "ab"]
    assert told(*both).is_empty()
    log_in = entry("a", "in", "response", 35, login_session="s2", canary=None)
    assert told([*client("a", [1, 2, 3]), log_in, *client("a", [4, 5], **fresh)]).is_empty()
    assert places(told(both[0])) == [("a", "device_change", "salt_changed", 1)]


@pytest.mark.parametrize("cut", [1, 3, 7])
def test_cuts_and_restarts_change_nothing(cut: int) -> None:
    """Batches of any size, with the memory saved and loaded between them, end with the same places and first rows."""
    rows = [
        *client("a", [1, 2, 6, 4, 5, 3, 7]), *canary("a", 2, 75, request="again"), *client("a", [8, 11, 12]),
        *canary("a", 13, 130, canary=f"13.{'1' * 32}"), *canary("a", 9, 140), *client("a", [15, 16]),
    ]  # fmt: skip
    sibling = client("b", [1, 2, 3, 9, 10, 11, 14, 15, 16], token_hash="x")
    whole, parts = told(rows, sibling), told(rows, sibling, cut=cut, reload=True)
    assert sorted(places(whole)) == sorted(places(parts))
    keys = ["uid", "verdict"]
    first, again = (f.unique(keys, keep="first", maintain_order=True).sort(keys) for f in (whole, parts))
    assert first.equals(again)
    assert whole.unique("uid", keep="last").sort("uid").equals(parts.unique("uid", keep="last").sort("uid"))


def test_evidence_is_the_stretch_without_a_hole_or_a_silence() -> None:
    """A hole parts two spans, and so does a silence of more than five minutes."""
    canaries = Canaries(KEY)
    events = frame([*client("a", [1, 2, 4, 5]), *[row for n in (6, 7) for row in canary("a", n, 1000 + n)]])
    canaries.push(events.with_columns(order_time="time"), ALWAYS)
    assert canaries.evidence()["note"].to_list() == ["canaries 1 to 2", "canaries 4 to 5", "canaries 6 to 7"]
    assert canaries.evidence().is_empty()
