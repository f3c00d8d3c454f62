"""What the entries of one request must share."""

from __future__ import annotations

import pytest

from pipeline.core.clock import ALWAYS
from pipeline.core.schema import INTEGRITY, empty
from pipeline.integrity.continuity import Continuity
from pipeline.integrity.order import Sequencer
from pipeline.integrity.pairing import Pairing
from tests.streams import entry, frame

Rows = list[dict[str, object]]


def both(source: str, **other: object) -> Rows:
    """Five requests; the third has `other`."""
    return [
        entry(source, f"r{n}", phase, n + (0.01 if phase == "response" else 0), **(other if n == 2 else {}))
        for n in range(5)
        for phase in ("request", "response")
    ]


def told(*streams: Rows) -> list[tuple[object, ...]]:
    """(source, verdict, cause, evidence) when the streams are read at once."""
    order, pairing = Sequencer(), Pairing()
    for rows in streams:
        order.push(str(rows[0]["source"]), frame(rows))
    order.confirm()
    found = Continuity().operations(pairing.push(order.release(ALWAYS), ALWAYS))
    return found.sort("source").select("source", "verdict", "cause", "evidence").rows()


@pytest.mark.parametrize(
    ("column", "value", "word"),
    [
        ("path", "kv/data/app/other", "path"), ("client_ip", "10.9.9.9", "address"),
        ("principal", "approle/x", "caller"),
        ("outcome", "denied", "outcome"), ("operation", "list", "operation"), ("entity", "e2", "entity"),
        ("error", "permission denied", "error"), ("secret", "kv/app/other", "secret"),
        ("token_type", "batch", "token type"), ("policies", ["root"], "policies"),
        ("login_principal", "approle/x", "login principal"), ("login_policies", ["root"], "login policies"),
        ("token_ttl", 60, "token ttl"), ("wrap_ttl", 60, "wrap ttl"), ("mount_type", "pki", "mount type"),
        ("discloses_value", True, "discloses value"), ("flags", ["exportable"], "flags"),
    ],
)  # fmt: skip
def test_devices_that_tell_a_request_differently_are_altered(column: str, value: str, word: str) -> None:
    """Whatever is not hashed must be the same on both; the place is told on each, with the field."""
    said = f"entries of one request disagree in {word}"
    expected = [(source, "altered", "devices_differ", said) for source in ("a", "b")]
    assert told(both("a"), both("b", **{column: value})) == expected


def test_halves_that_disagree_are_altered() -> None:
    """A response with another address than its request was changed, whoever else tells of it."""
    rows = both("a")
    rows[5] = {**rows[5], "client_ip": "10.9.9.9"}
    said = "entries of one request disagree in address"
    assert told(rows) == [("a", "altered", "halves_differ", said)]
    assert [row[2] for row in told(rows, both("b"))] == ["halves_differ"] * 2


def test_what_devices_may_tell_differently() -> None:
    """Hashes differ by device, halves may differ in caller and outcome, and a hashed error says nothing."""
    rows = both("b", session="hmac-2", token_hash="hmac-3")
    rows[5] = {**rows[5], "principal": "approle/new", "outcome": "denied", "error": "hmac-sha256:1"}
    sibling = both("a", session="hmac-1", token_hash="hmac-4")
    sibling[5] = {**sibling[5], "principal": "approle/new", "outcome": "denied", "error": "permission denied"}
    assert told(sibling, rows) == []


def test_a_device_in_clear_may_show_more_options() -> None:
    """An option that one device hashes shows on one that logs in clear: that is no difference."""
    assert told(both("a", flags=[]), both("b", flags=["exportable"], clear=True)) == []
    assert told(both("a", flags=["log_raw=?"]), both("b", flags=["log_raw"], clear=True)) == []


def test_a_standby_may_carry_a_request_on() -> None:
    """Entries of a forwarded request come from two nodes and may name either's address (V8)."""
    forwarded = both("a", forwarded=True, client_ip="10.9.9.9")
    assert told(both("b"), forwarded) == []


def test_a_copy_read_later_is_held_against_what_was_told() -> None:
    """A device read in a later run whose entries do not fit the stored operation is altered."""
    first, second = frame(both("a")), frame(both("b", path="kv/data/app/other"))
    pairing = Pairing()
    stored = pairing.push(first.with_columns(order_time="time"), ALWAYS).operations
    later = Pairing(lambda ids, low, high: stored, lake_until_us=ALWAYS)
    found = Continuity().operations(later.push(second.with_columns(order_time="time"), ALWAYS))
    assert found.filter(verdict="altered").select("source", "cause", "count").rows() == [("b", "devices_differ", 2)]
    calm = Pairing(lambda ids, low, high: stored, lake_until_us=ALWAYS)
    whole = calm.push(frame(both("b")).with_columns(order_time="time"), ALWAYS)
    assert Continuity().operations(whole).filter(verdict="altered").equals(empty(INTEGRITY))


@pytest.mark.parametrize(
    ("changed", "count"),
    [
        ({"principal": "approle/x"}, 1), ({"outcome": "denied", "error": "permission denied"}, 1),
        ({"secret": "kv/app/other"}, 1), ({"policies": ["root"]}, 1), ({"entity": "e2"}, 1),
        ({"token_type": "batch"}, 1), ({"error": "hmac-sha256:1"}, 0), ({"client_ip": "10.9.9.9"}, 2), ({}, 0),
    ],
)  # fmt: skip
def test_a_later_copy_is_held_to_everything_told_in_clear(changed: dict[str, object], count: int) -> None:
    """Each half is held to what the stored operation has of it: the request its caller, the response the rest."""
    clear = {"policies": ["default"], "entity": "e1", "token_type": "service", "error": ""}
    first = frame(both("a", **clear)).with_columns(order_time="time")
    second = frame(both("b", **{**clear, **changed})).with_columns(order_time="time")
    stored = Pairing().push(first, ALWAYS).operations
    later = Pairing(lambda ids, low, high: stored, lake_until_us=ALWAYS)
    found = Continuity().operations(later.push(second, ALWAYS)).filter(verdict="altered")
    assert found["count"].to_list() == [count] * bool(count)


def test_an_answer_that_only_a_later_copy_has_is_no_difference() -> None:
    """A log-in whose response the first device lost takes it from the second, and a third may tell it again."""
    log_in = {"operation": "auth", "path": "auth/approle/login", "principal": "anonymous", "token_type": "default"}
    known = {**log_in, "principal": "approle/x", "token_type": "service", "entity": "e", "login_principal": "approle/x"}
    stored = Pairing().push(frame([entry("a", "r", "request", 0, **log_in)]).with_columns(order_time="time"), ALWAYS)
    operations = stored.operations
    for name in ("b", "c"):
        rows = [entry(name, "r", "request", 0, **log_in), entry(name, "r", "response", 0.01, **known)]
        later = Pairing(lambda ids, low, high: operations, lake_until_us=ALWAYS)  # noqa: B023
        paired = later.push(frame(rows).with_columns(order_time="time"), ALWAYS)
        assert Continuity().operations(paired).filter(verdict="altered").is_empty(), name
        operations = paired.corrections
