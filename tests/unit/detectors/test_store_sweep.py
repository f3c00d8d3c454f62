"""One address at several stores, where cases do not reach: cuts, bounds, late entries, forms of addresses."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.store_sweep import Config, create
from detectors.store_sweep.done import Done
from pipeline.core.model import Window
from pipeline.core.schema import FINDING, INTEGRITY, OPERATION, conform, empty

START = 1_772_409_600_000_000  # a Monday, 00:00
MINUTE = 60_000_000
DAY = 24 * 60
STORES = ("vault", "aws", "kubernetes", "azure")


def read(minute: float, store: str, address: str | None = "10.3.0.9", **told: Any) -> dict[str, Any]:
    """An OPERATION row, in part."""
    at = START + round(minute * MINUTE)
    usual = {
        "time": at, "complete_time": at, "store": store, "client_ip": address, "operation": "read",
        "outcome": "success", "principal": f"{store}/app", "secret": f"{store}/secret", "mount": "secrets/",
        "discloses_value": True,
    }  # fmt: skip
    return {**usual, **told}


def operations(reads: list[dict[str, Any]]) -> pl.DataFrame:
    rows = [{**one, "uid": f"{number:032x}"} for number, one in enumerate(reads)]
    return conform(pl.DataFrame(rows, infer_schema_length=None), OPERATION)


def findings(rows: pl.DataFrame, sizes: list[int], config: Config | None = None) -> pl.DataFrame:
    """What is found in pieces of these sizes, with a restart after each."""
    detector, at, found = create(config or Config()), 0, [empty(FINDING)]
    for size in [*sizes, len(rows)]:
        part, at = rows[at : at + size], at + size
        if part.is_empty():
            continue
        times = part["complete_time"].to_physical()
        found.append(detector.inspect(Window(times[0], times[-1] + 1, part, empty(INTEGRITY), None, closed=True)))
        frames, detector = detector.snapshot(), create(config or Config())
        detector.restore(frames)
    return pl.concat(found)


def told(reads: list[dict[str, Any]], config: Config | None = None) -> list[tuple[str, str]]:
    """Cause and address of what is found, each read by itself."""
    found = findings(operations(reads), [1] * len(reads), config)
    return list(found.select("cause", "client_ip").iter_rows())


STEP = st.tuples(
    st.integers(0, 400),  # seconds since the one before; now and then a day
    st.sampled_from(STORES),
    st.integers(0, 3),  # where
    st.integers(0, 2),  # who
    st.integers(0, 3),  # what
    st.sampled_from(["read", "read", "read", "denied", "list", "day"]),
)


@given(st.lists(STEP, min_size=4, max_size=60), st.lists(st.integers(1, 9), max_size=30))
def test_cuts_and_restarts_decide_nothing(steps: list[tuple[int, str, int, int, int, str]], sizes: list[int]) -> None:
    """Pieces and restarts against one piece: the same findings in every field."""
    reads, second = [], 0
    for pause, store, where, who, what, act in steps:
        second += pause + 86_400 * (act == "day")
        denied = {"outcome": "denied", "discloses_value": False} if act == "denied" else {}
        listed = {"operation": "list", "secret": ""} if act == "list" else {}
        usual = {"principal": f"{store}/app-{who}", "secret": f"{store}/{what}"}
        reads.append(read(second / 60, store, f"10.3.0.{where}", **{**usual, **denied, **listed}))
    config = Config(days=1.0, common=2)
    rows = operations(reads)
    assert findings(rows, sizes, config).equals(findings(rows, [], config))


def test_what_was_read_before_a_second_store_spoke_counts() -> None:
    """The first entries of all of a second and third store complete a sweep, and all of the first one's are told of."""
    reads = [read(0.1 * i, "vault", secret=f"kv/{i}") for i in range(20)]
    reads += [read(9, "aws"), read(10, "azure")]
    (message,) = findings(operations(reads), [7])["message"]
    assert "20 secrets of Vault (vault/app), 1 secret of AWS (aws/app) and 1 secret of Azure" in message


def test_one_store_is_kept_short() -> None:
    """An estate of one store has the last two thousand reads in mind and nobody's habits."""
    detector = create(Config())
    for hour in range(3):
        part = operations([read(60 * hour + i / 50, "vault", f"10.3.{i % 9}.1") for i in range(2_900)])
        assert detector.inspect(Window(0, 1, part, empty(INTEGRITY), None, closed=True)).is_empty()
    frames = detector.snapshot()
    assert {name: len(frame) for name, frame in frames.items()} == {
        "stores": 1, "reads": 2_000, "addresses": 0, "principals": 0,
    }  # fmt: skip


def test_memory_is_bounded() -> None:
    """However many addresses come, with however many secrets, as many are remembered as the settings say."""
    reads = [
        read(i / 100, store, f"10.3.{i // 99}.{i % 99}", secret=f"{store}/{i}", principal=f"{store}/{i}")
        for i in range(200)
        for store in STORES[:3]
    ]
    detector = create(Config(reads=150, addresses=20, principals=30))
    for at in range(0, len(reads), 200):
        part = operations(reads[at : at + 200])
        detector.inspect(Window(0, 1, part, empty(INTEGRITY), None, closed=True))
    frames = detector.snapshot()
    assert len(frames["reads"]) == 150
    assert frames["addresses"].group_by("stores").len()["len"].to_list() == [20, 20]
    assert frames["principals"].group_by("stores").len()["len"].to_list() == [30, 30]


def test_an_entry_that_comes_late_meets_those_of_its_time() -> None:
    """A cloud tells ten minutes later; what is older than the minutes that belong together is let go."""
    late = read(8, "azure", complete_time=START + 18 * MINUTE)
    assert told([read(1, "vault"), read(3, "aws"), late]) == [("store_sweep", "10.3.0.9")]
    older = read(1, "azure", complete_time=START + 40 * MINUTE)
    assert told([read(1, "vault"), read(3, "aws"), read(30, "aws", secret="x"), older]) == []


@pytest.mark.parametrize("address", ["2001:db8::7", "::ffff:10.3.0.9", "203.0.113.7"])
def test_addresses_of_a_network_count(address: str) -> None:
    """Of either version."""
    assert told([read(i, store, address) for i, store in enumerate(STORES[:3])])


@pytest.mark.parametrize(
    "address",
    ["127.0.0.53", "::1", "0:0:0:0:0:0:0:1", "::", "::ffff:127.0.0.1", "", None, "internal", "build.example.com"],
)
def test_what_is_no_address_of_a_network_does_not_count(address: str | None) -> None:
    """The machine itself, a name, nothing."""
    assert not told([read(i, store, address) for i, store in enumerate(STORES[:3])])


def test_both_forms_of_an_address_are_one() -> None:
    """An IPv4 address in IPv6 is that address."""
    reads = [read(0, "vault", "::ffff:10.3.0.9"), read(1, "aws"), read(2, "azure", "::ffff:10.3.0.9")]
    assert told(reads) == [("store_sweep", "10.3.0.9")]


def test_somebody_known_explains_one_store_only() -> None:
    """A workload that has two stores moves: quiet. Its token beside a stranger's key: told."""
    days = [read(DAY * day + i, store, "10.3.0.1") for day in range(4) for i, store in enumerate(STORES[:2])]
    at = 4 * DAY
    moved = [read(at, "vault", "10.3.0.2"), read(at + 1, "aws", "10.3.0.2")]
    stolen = [read(at + 9, "vault", "10.3.0.3"), read(at + 10, "aws", "10.3.0.3", principal="aws/stranger")]
    assert told(days + moved) == []
    assert told(days + moved + stolen) == [("second_store", "10.3.0.3")]


def test_a_sweep_that_goes_on_over_days_is_told_once() -> None:
    """Without a pause there is no second first time; parts of a set that was told today are not told."""
    reads = [read(12 * i + j, store) for i in range(130) for j, store in enumerate(STORES)]
    found = findings(operations(reads), [100] * 3)
    assert found["message"].str.count_matches("secret of").to_list() == [3, 4]
    parts = [read(100 + 40 * i + j, store) for i in range(3) for j, store in enumerate(STORES[i % 2 :][:3])]
    assert len(told(reads[:8] + parts)) == 2


def test_a_name_that_anybody_has_is_no_sign() -> None:
    """Administrators of several stores need not be one."""
    some = [read(i, store, principal=f"{store}/admin") for i, store in enumerate(STORES[:3])]
    assert "in the name of" not in findings(operations(some), [])["message"][0]


def test_others_are_those_of_earlier_days_of_the_last_weeks() -> None:
    """Not the name itself, nobody of today, nobody of long ago; larger sets hold the smaller ones."""
    done = Done(10)
    two, three = frozenset(STORES[:2]), frozenset(STORES[:3])
    for name, stores, day in [("old", two, 1), ("a", two, 50), ("b", three, 51), ("me", two, 51), ("today", two, 52)]:
        done.learn(name, stores, day)
    assert done.others("me", two, 52, 5) == 2
    assert done.others("me", three, 52, 5) == 1
    assert done.others("me", two, 52, 1) == 1
