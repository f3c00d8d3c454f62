"""M10 from an audit log alone: reads that a cache would have answered."""

from __future__ import annotations

from typing import Any

import pytest
from polars.testing import assert_frame_equal

from pipeline.sli import Config, Objective, Slis
from tests.unit.sli.test_slis import NONE, SECOND, START, WINDOW, operations, pick

READ = {
    "session": "s1", "secret": "kv/app/db", "secret_version": 3, "discloses_value": True, "api_operation": "read",
    "principal": "approle/app", "client_ip": "10.0.0.1",
}  # fmt: skip


def counted(*rows: dict[str, Any], config: Config | None = None) -> tuple[float, float]:
    """Reads that were needed, and all that a cache could have answered."""
    slis = Slis(config or Config())
    slis.push(operations(*({**READ, **row} for row in rows)), START)
    m10 = slis.flush().filter(sli="M10", scope="store")
    return float(m10["good"].sum()), float(m10["total"].sum())


def test_a_loop_without_a_cache() -> None:
    """Ten reads of one version by one session within a minute: one was needed, and the objective is not met."""
    slis = Slis(Config())
    slis.push(operations(*({**READ, "at": at} for at in range(0, 60, 6))), START)
    m10 = pick(slis.flush(), "M10")
    assert (m10["good"], m10["total"], m10["value"], m10["objective"], m10["met"]) == (1, 10, 0.1, 0.95, False)
    assert m10["estimate"]
    assert m10["coverage"].startswith("reads that no cache of 300 s would have answered")


def test_a_client_with_a_cache() -> None:
    """Who reads once in the cache time meets the objective."""
    slis = Slis(Config())
    slis.push(operations(*({**READ, "at": at} for at in range(0, 1500, 300))), START)
    m10 = slis.flush().filter(sli="M10", scope="store")
    assert m10["met"].all()
    assert (m10["good"].sum(), m10["total"].sum()) == (5, 5)


@pytest.mark.parametrize(
    "other",
    [
        {"session": "s2"}, {"secret": "kv/app/other"}, {"secret_version": 4}, {"secret_version": None},
        {"store": "aws", "api_operation": "GetSecretValue"}, {"namespace": "b"}, {"at": 300},
    ],
)  # fmt: skip
def test_what_a_cache_could_not_have_known(other: dict[str, Any]) -> None:
    """Another session, secret, version, place or cache time is a read of its own."""
    assert counted({}, other) == (2, 2)


@pytest.mark.parametrize(
    "other",
    [
        {"operation": "write"}, {"operation": None}, {"outcome": "denied"}, {"outcome": None},
        {"discloses_value": False}, {"discloses_value": None}, {"secret": ""}, {"secret": None},
        {"api_operation": "update"}, {"api_operation": None}, {"mount_type": "totp"},
        {"store": "aws", "api_operation": "Decrypt"}, {"store": "gcp", "api_operation": "AsymmetricSign"},
        {"store": "azure", "api_operation": "KeyUnwrap"}, {"store": "aws", "api_operation": None},
    ],
)  # fmt: skip
def test_what_no_cache_answers(other: dict[str, Any]) -> None:
    """What gave no value, and what was worked out for this request alone, is no lookup."""
    assert counted({}, other) == (1, 1)


def test_without_a_session() -> None:
    """Where the store tells no session, who reads from where stands for it."""
    nobody = {"session": None}
    assert counted(nobody, nobody, {"session": ""}) == (1, 3)
    assert counted(nobody, {**nobody, "client_ip": "10.0.0.2"}, {**nobody, "principal": "approle/b"}) == (3, 3)
    assert counted({**nobody, "principal": None, "client_ip": None}) == (1, 1)


def test_a_longer_cache_time() -> None:
    """The first of several windows that a cache would have served has the needed read."""
    slis = Slis(Config(cache_seconds=3600))
    slis.push(operations(*({**READ, "at": at} for at in (0, 400, 800))), START)
    got = slis.flush().filter(sli="M10", scope="store").sort("window_start")
    assert got.select("good", "total").rows() == [(1, 1), (0, 1), (0, 1)]


def test_a_scope_has_its_own_objective() -> None:
    """What is set for a scope goes before the default."""
    config = Config(objectives={"mount:team-a/kv/": Objective(m10=0.05)})
    slis = Slis(config)
    slis.push(operations(*[READ] * 10), START)
    rows = slis.flush()
    assert (pick(rows, "M10")["met"], pick(rows, "M10", "mount:team-a/kv/")["met"]) == (False, True)


def test_memory_is_bounded() -> None:
    """Versions past the limit are left out, each time they are read, and the coverage says how many reads that was."""
    slis = Slis(Config(max_cached=2))
    rows = [{**READ, "secret_version": version} for version in (1, 2, 3, 3, 1, 4)]
    slis.push(operations(*rows[:3]), START)
    slis.push(operations(*rows[3:]), START)
    m10 = pick(slis.flush(), "M10")
    assert (m10["good"], m10["total"]) == (2, 3)
    assert "3 that came late or past max_cached left out" in m10["coverage"]
    assert slis.snapshot()["cached"].height == 2


def test_what_is_over_is_forgotten() -> None:
    """Once nothing of a cache time can come any more, nothing of it is remembered; what comes all the same is told."""
    slis = Slis(Config())
    slis.push(operations(READ), START + WINDOW + 59 * SECOND)
    assert slis.snapshot()["cached"].height == 1
    slis.push(NONE, START + WINDOW + 60 * SECOND)
    assert slis.snapshot()["cached"].is_empty()
    late = slis.push(operations({**READ, "complete": 400}), START + WINDOW + 100 * SECOND)
    assert pick(late, "M10")["total"] == 1
    assert "1 that came late" in pick(late, "M10")["coverage"]


def test_states_of_an_earlier_version() -> None:
    """What was counted before there was an M10 goes on, with no lookups."""
    old, again = Slis(Config()), Slis(Config())
    old.push(operations(READ, READ), START)
    frames = dict(old.snapshot())
    del frames["cached"]
    frames["totals"] = frames["totals"].drop("needed", "repeated", "left_out")
    again.restore(frames)
    assert_frame_equal(again.flush(), old.flush().filter(~(old.flush()["sli"] == "M10")))
