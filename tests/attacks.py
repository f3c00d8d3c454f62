"""Everything somebody can do to the trail of `tests.trail` before it is read, and what must be told of each.

An attack changes the lines in place and says what is to be found: (device, verdict, cause, from, to), the interval as
places of lines in the device as it is read. What else is told beside these is an error of its own, unless the attack
says that it may be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pytest

from tests.trail import MAIN, PREFIX, SECOND, Line, Request, Trail, canary_value, lines_of, requests, start_line


class Told(NamedTuple):
    """One row of `integrity`: `first` and `last` are places of lines; None where the place is not a pair of lines."""

    device: str
    verdict: str
    cause: str
    first: int | None = None
    last: int | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Attack:
    """What is done, to which layer it belongs, and what must be found."""

    name: str
    done: str  # in words, for the table
    harm: Callable[[Trail], list[Told]]
    devices: tuple[str, ...] = (MAIN, SECOND)


ATTACKS: list[Attack] = []

# What a topic's partition is not held to, as it may hold only some of a device's lines: numbers and counts.
NOT_OVER_KAFKA = ("counter_mismatch", "counter_surplus")


def sampled(attacks: list[Attack]) -> list[Any]:
    """Parameters of a test: every second attack, and the others among the slow tests."""
    slow = pytest.mark.slow
    return [pytest.param(a, id=a.name, marks=[slow] if n % 2 else []) for n, a in enumerate(attacks)]


def over_kafka(expected: list[Told]) -> list[Told]:
    """What is left of what is told when each device is a topic; nothing where only counts tell."""
    return [wanted for wanted in expected if wanted.cause not in NOT_OVER_KAFKA]


def attack(done: str, *devices: str) -> Callable[[Callable[[Trail], list[Told]]], Callable[[Trail], list[Told]]]:
    """Adds a function to the list."""

    def add(harm: Callable[[Trail], list[Told]]) -> Callable[[Trail], list[Told]]:
        ATTACKS.append(Attack(harm.__name__, done, harm, devices or (MAIN, SECOND)))
        return harm

    return add


def scrapes_around(t: Trail, device: str, first: int, last: int) -> tuple[int, int]:
    """Places of the requests of two scrapes."""
    return t.at(device, f"scrape-{first}"), t.at(device, f"scrape-{last}")


@attack("an operation deleted on one device")
def deleted_on_one(t: Trail) -> list[Told]:
    at = t.at(SECOND, "r-100")
    t.drop(SECOND, "r-100")
    return [
        Told(SECOND, "gap", "device_loss", at - 1, at, 2),
        Told(SECOND, "gap", "counter_mismatch", *scrapes_around(t, SECOND, 31, 151), 2),
    ]


@attack("an operation deleted on both devices")
def deleted_on_both(t: Trail) -> list[Told]:
    for device in t.lines:
        t.drop(device, "r-100")
    return [Told(d, "gap", "counter_mismatch", *scrapes_around(t, d, 31, 151), 2) for d in t.lines]


@attack("a response deleted on one device")
def response_deleted_on_one(t: Trail) -> list[Told]:
    at = t.at(MAIN, "r-100", "response")
    t.drop(MAIN, "r-100", phase="response")
    return [
        Told(MAIN, "gap", "device_loss", at - 1, at, 1),
        Told(MAIN, "gap", "counter_mismatch", *scrapes_around(t, MAIN, 31, 151), 1),
    ]


@attack("a response deleted on both devices")
def response_deleted_on_both(t: Trail) -> list[Told]:
    for device in t.lines:
        t.drop(device, "r-100", phase="response")
    return [
        *(Told(d, "unpaired", "unpaired", t.at(d, "r-100"), t.at(d, "r-100"), 1) for d in t.lines),
        *(Told(d, "gap", "counter_mismatch", *scrapes_around(t, d, 31, 151), 1) for d in t.lines),
    ]


@attack("the answer to an unwrapping deleted on the only device", MAIN)
def unwrapping_unanswered(t: Trail) -> list[Told]:
    for phase in ("request", "response"):
        t.edit(MAIN, "r-100", phase, lambda told: told["request"].update(path="sys/wrapping/unwrap"))
    at = t.at(MAIN, "r-100")
    t.drop(MAIN, "r-100", phase="response")
    return [
        Told(MAIN, "unpaired", "unpaired", at, at, 1),
        Told(MAIN, "gap", "counter_mismatch", *scrapes_around(t, MAIN, 31, 151), 1),
    ]


@attack("a request deleted on the only device", MAIN)
def request_deleted(t: Trail) -> list[Told]:
    t.drop(MAIN, "r-100", phase="request")
    at = t.at(MAIN, "r-100", "response")
    return [
        Told(MAIN, "unpaired", "unpaired", at, at, 1),
        Told(MAIN, "gap", "counter_mismatch", *scrapes_around(t, MAIN, 31, 151), 1),
    ]


def altered_on_each(t: Trail, request: str, cause: str = "devices_differ") -> list[Told]:
    return [Told(d, "altered", cause, t.at(d, request), t.at(d, request, "response")) for d in t.lines]


@attack("the path edited in one line of the only device", MAIN)
def path_edited_in_one_half(t: Trail) -> list[Told]:
    t.edit(MAIN, "r-100", "response", lambda told: told["request"].update(path="kv/data/checkout/harmless"))
    return altered_on_each(t, "r-100", "halves_differ")


@attack("the path edited in both halves on one device")
def path_edited(t: Trail) -> list[Told]:
    for phase in ("request", "response"):
        t.edit(MAIN, "r-100", phase, lambda told: told["request"].update(path="kv/data/checkout/harmless"))
    return altered_on_each(t, "r-100")


@attack("the caller's role edited in both halves on one device")
def caller_edited(t: Trail) -> list[Told]:
    for phase in ("request", "response"):
        t.edit(MAIN, "r-100", phase, lambda told: told["auth"]["metadata"].update(role_name="search"))
    return altered_on_each(t, "r-100")


@attack("a refusal turned into a success on one device")
def outcome_edited(t: Trail) -> list[Told]:
    def forgive(told: dict[str, object]) -> None:
        del told["error"]
        told["response"] = {"mount_point": "kv/", "data": {"data": {"password": f"hmac-sha256:{'0' * 64}"}}}

    t.edit(MAIN, "r-102", "response", forgive)
    return altered_on_each(t, "r-102")


@attack("the address edited in both halves on one device")
def address_edited(t: Trail) -> list[Told]:
    for phase in ("request", "response"):
        t.edit(SECOND, "r-100", phase, lambda told: told["request"].update(remote_address="10.0.0.99"))
    return altered_on_each(t, "r-100")


@attack("two lines far apart swapped on one device")
def swapped(t: Trail) -> list[Told]:
    lines = t.lines[SECOND]
    first, last = t.at(SECOND, "r-100"), t.at(SECOND, "r-140")
    lines[first], lines[last] = lines[last], lines[first]
    return [Told(SECOND, "reordered", "order", first, last)]


@attack("a stretch of 40 seconds moved behind the next on one device")
def stretch_moved(t: Trail) -> list[Told]:
    lines = t.lines[MAIN]
    a, b, c = t.at(MAIN, "r-161"), t.at(MAIN, "r-201"), t.at(MAIN, "r-241")
    lines[a:c] = lines[b:c] + lines[a:b]
    return [
        Told(MAIN, "reordered", "order", a + c - b - 1, c - 1),
        Told(MAIN, "reordered", "canary_order", None, None),
    ]


@attack("a stretch of 40 seconds moved behind the next on the only device", MAIN)
def stretch_moved_alone(t: Trail) -> list[Told]:
    lines = t.lines[MAIN]
    a, b, c = t.at(MAIN, "r-161"), t.at(MAIN, "r-201"), t.at(MAIN, "r-241")
    lines[a:c] = lines[b:c] + lines[a:b]
    return [
        Told(MAIN, "clock_step", "clock", a + c - b, c - 1),
        Told(MAIN, "reordered", "canary_order", None, None),
    ]


@attack("the tail cut off one device")
def tail_cut(t: Trail) -> list[Told]:
    at = t.at(SECOND, "r-281")
    missing = len(t.lines[SECOND]) - at
    del t.lines[SECOND][at:]
    return [Told(SECOND, "truncated", "ends_early", at - 1, at - 1, missing)]


@attack("a block of lines copied in again")
def block_replayed(t: Trail) -> list[Told]:
    lines = t.lines[MAIN]
    a, b, at = t.at(MAIN, "r-100"), t.at(MAIN, "r-110"), t.at(MAIN, "r-200")
    lines[at:at] = lines[a:b]
    return [
        Told(MAIN, "duplicate", "duplicate", at, at + b - a - 1, b - a),
        Told(MAIN, "altered", "counter_surplus", None, None, b - a),
    ]


def forged(t: Trail, device: str, request: Request, at: int) -> None:
    told = list(lines_of(request, f"salt of {device}", 0))
    prefix = PREFIX[device].encode()
    t.lines[device][at:at] = [replace(line, data=prefix + line.data) for line in told]


@attack("an operation that never was put into one device")
def forged_on_one(t: Trail) -> list[Told]:
    at = t.at(MAIN, "r-100")
    forged(t, MAIN, Request("forged", 99.9, "kv/data/billing/db", who="search"), at)
    here = t.at(SECOND, "r-100")
    return [
        Told(SECOND, "gap", "device_loss", here - 1, here, 2),
        Told(MAIN, "altered", "counter_surplus", *scrapes_around(t, MAIN, 31, 151), 2),
    ]


@attack("an operation that never was put into the only device", MAIN)
def forged_alone(t: Trail) -> list[Told]:
    forged(t, MAIN, Request("forged", 99.9, "kv/data/billing/db", who="search"), t.at(MAIN, "r-100"))
    return [Told(MAIN, "altered", "counter_surplus", *scrapes_around(t, MAIN, 31, 151), 2)]


@attack("a single line that never was put into the only device", MAIN)
def line_forged(t: Trail) -> list[Told]:
    at = t.at(MAIN, "r-100")
    forged(t, MAIN, Request("forged", 99.9, "kv/data/billing/db", who="search"), at)
    del t.lines[MAIN][at]
    return [
        Told(MAIN, "unpaired", "unpaired", at, at, 1),
        Told(MAIN, "altered", "counter_surplus", *scrapes_around(t, MAIN, 31, 151), 1),
    ]


@attack("the only device off for half a minute and on again", MAIN)
def off_and_on(t: Trail) -> list[Told]:
    a, b = t.at(MAIN, "r-101"), t.at(MAIN, "r-131")
    gone = b - a
    t.lines[MAIN][a:b] = [start_line(MAIN, 131.1, 1)]
    return [
        Told(MAIN, "device_change", "enabled_again", a, a, 1),
        Told(MAIN, "gap", "canary_gap", t.at(MAIN, "canary-10", "response"), t.at(MAIN, "canary-14"), 3),
        Told(MAIN, "gap", "counter_mismatch", None, None, gone),
    ]


@attack("a device made anew with another salt, its first line removed")
def new_salt(t: Trail) -> list[Told]:
    at = t.at(SECOND, "r-150")
    fresh = {}
    for request in requests():
        for line in lines_of(request, "another salt", 1 / 5000):
            fresh[line.request, line.phase] = replace(line, data=PREFIX[SECOND].encode() + line.data)
    t.lines[SECOND][at:] = [fresh[line.request, line.phase] for line in t.lines[SECOND][at:]]
    before, after = t.at(SECOND, "canary-15", "response"), t.at(SECOND, "canary-16")
    return [Told(SECOND, "device_change", "salt_changed", before, after, 1)]


@attack("the clock set back by a minute")
def clock_back(t: Trail) -> list[Told]:
    for device in t.lines:
        at = t.at(device, "r-200")
        t.shift(device, at, len(t.lines[device]), -60)
    first = {d: t.at(d, "r-200") for d in t.lines}
    last = {d: t.at(d, "r-257") for d in t.lines}
    return [Told(d, "clock_step", "clock", first[d], last[d]) for d in t.lines]


@attack("the clock a year ahead for three requests")
def clock_ahead(t: Trail) -> list[Told]:
    for device in t.lines:
        at = t.at(device, "r-200")
        t.shift(device, at, at + 6, 365 * 86400)
    return [Told(d, "clock_step", "clock", t.at(d, "r-200"), t.at(d, "r-202", "response"), 6) for d in t.lines]


@attack("hashing of values off on one device")
def in_clear(t: Trail) -> list[Told]:
    def bare(told: dict[str, object]) -> None:
        told["response"] = {"mount_point": "kv/", "data": {"data": {"password": "correct horse battery"}}}

    for request in ("r-100", "r-101"):
        t.edit(SECOND, request, "response", bare)
    at = [t.at(SECOND, request, "response") for request in ("r-100", "r-101")]
    return [Told(SECOND, "in_clear", "in_clear", *at, 2)]


@attack("a run of zero bytes in place of two operations")
def zeroed(t: Trail) -> list[Told]:
    a, b = t.at(SECOND, "r-100"), t.at(SECOND, "r-102")
    size = sum(len(line.data) + 1 for line in t.lines[SECOND][a:b]) - 1
    t.lines[SECOND][a:b] = [Line("", "", bytes(size))]
    return [
        Told(SECOND, "torn", "nul_run", a, a, 1),
        Told(SECOND, "gap", "device_loss", a - 1, a + 1, 4),
        Told(SECOND, "gap", "counter_mismatch", *scrapes_around(t, SECOND, 31, 151), 4),
    ]


@attack("a line torn and the next glued to it")
def torn(t: Trail) -> list[Told]:
    at = t.at(SECOND, "r-100")
    first, second = t.lines[SECOND][at : at + 2]
    t.lines[SECOND][at : at + 2] = [replace(second, data=first.data[:150] + second.data)]
    return [
        Told(SECOND, "torn", "torn", at, at, 1),
        Told(SECOND, "gap", "device_loss", at - 1, None, 1),
        Told(SECOND, "gap", "counter_mismatch", *scrapes_around(t, SECOND, 31, 151), 1),
    ]


@attack("two canary requests taken out of the only device", MAIN)
def canaries_suppressed(t: Trail) -> list[Told]:
    t.drop(MAIN, "canary-12", "canary-13")
    return [
        Told(MAIN, "gap", "canary_gap", t.at(MAIN, "canary-11", "response"), t.at(MAIN, "canary-14"), 2),
        Told(MAIN, "gap", "counter_mismatch", *scrapes_around(t, MAIN, 31, 151), 4),
    ]


def ask_like_a_canary(t: Trail, request: str, value: str) -> None:
    for device in t.lines:
        for phase in ("request", "response"):
            t.edit(device, request, phase, lambda told: told["request"]["headers"].update({"x-audit-canary": [value]}))


@attack("a canary sent with a made-up MAC")
def canary_forged(t: Trail) -> list[Told]:
    ask_like_a_canary(t, "r-100", f"11.{'0' * 32}")
    return [Told(d, "altered", "canary_mac", t.at(d, "r-100"), t.at(d, "r-100", "response"), 2) for d in t.lines]


@attack("a canary's header sent again")
def canary_replayed(t: Trail) -> list[Told]:
    ask_like_a_canary(t, "r-100", canary_value(4))
    return [Told(d, "duplicate", "canary_replay", t.at(d, "r-100"), t.at(d, "r-100", "response"), 2) for d in t.lines]
