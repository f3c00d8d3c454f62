"""What somebody does week after week: lowered, never hidden; and what is news of him."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipeline.core.clock import DAY_US, HOUR_US
from pipeline.core.findings import uid_of
from pipeline.core.schema import FINDING
from pipeline.routing import Config, Router
from pipeline.routing.habits import Habits
from pipeline.routing.policy import by_habit

START = datetime(2026, 3, 2, tzinfo=UTC)
NIGHT, MINUTE_US = 2 * HOUR_US, HOUR_US // 60


def routed(*hits: tuple[float, str, str], principal: str = "approle/backup") -> list[dict[str, Any]]:
    """The alerts of a rule's hits, each (hours since START, cause, severity), in the order of their first finding."""
    return alerts_of([(principal, *hit) for hit in hits])


def routed_of(hits: list[tuple[str, float]], cause: str, severity: str) -> list[dict[str, Any]]:
    """The same of one rule's hits by several principals, each (principal, hours since START)."""
    return alerts_of([(principal, hours, cause, severity) for principal, hours in hits])


def alerts_of(hits: list[tuple[str, float, str, str]]) -> list[dict[str, Any]]:
    """Of hits (principal, hours since START, cause, severity); what comes three hours apart is no one incident here."""
    rows = [
        dict.fromkeys(FINDING) | {
            "uid": uid_of(str(hours), cause), "time": START + timedelta(hours=hours), "detector": "invariant",
            "family": "invariant", "cause": cause, "severity": severity, "confidence": 0.95, "score": 0.9,
            "principal": principal, "message": "It happened.", "evidence": ["e"],
        }
        for principal, hours, cause, severity in hits
    ]  # fmt: skip
    end_us = round((START + timedelta(days=90)).timestamp() * 1e6)
    return (
        Router(Config(group_hours=2))
        .push(pl.DataFrame(rows, schema=FINDING), end_us)
        .alerts.sort("first_time")
        .to_dicts()
    )


def test_a_nightly_job_is_lowered_after_four_nights_and_says_so() -> None:
    """From then on its alerts are in the log; none is missing."""
    alerts = routed(*((26.0 * 1 + 24 * day, "snapshot_read", "high") for day in range(20)))
    assert len(alerts) == 20
    assert [alert["route"] for alert in alerts] == ["ticket"] * 4 + ["log"] * 16
    assert alerts[-1]["message"] == "It happened. It did so on 19 of the 28 days before, at this hour."


def test_a_job_that_rests_now_and_then_is_lowered_after_ten_nights() -> None:
    """It has a schedule as well, but needs longer to be one."""
    nights = [(2.0 + 24 * night, "snapshot_read", "high") for night in range(20) if night % 4 != 3]
    assert [alert["route"] for alert in routed(*nights)] == ["ticket"] * 10 + ["log"] * 5


@pytest.mark.parametrize("hour", [12.0, 4.0])
def test_the_same_job_at_another_hour_is_told_as_ever(hour: float) -> None:
    """A schedule excuses its own hour alone, also on a day when it has run already."""
    nights = [(2.0 + 24 * day, "snapshot_read", "high") for day in range(20)]
    alerts = routed(*nights, (20 * 24 + 2.0, "snapshot_read", "high"), (20 * 24 + hour, "snapshot_read", "high"))
    assert [alert["route"] for alert in alerts[-2:]] == ["log", "ticket"]
    assert alerts[-1]["severity"] == "high"


def test_a_job_of_several_times_a_day_is_lowered_at_each_of_them() -> None:
    """Every four hours, a few minutes late now and then; one between two of its times is told."""
    hours = [4 * i + 0.25 + i % 3 / 10 for i in range(6 * 20)]
    alerts = routed(*((hour, "snapshot_read", "high") for hour in hours))
    assert [alert["route"] for alert in alerts] == ["ticket"] * 24 + ["log"] * 96
    odd = routed(*((hour, "snapshot_read", "high") for hour in [*hours, 20 * 24 + 14.4]))
    assert (odd[-1]["route"], odd[-1]["severity"]) == ("ticket", "high")


@pytest.mark.parametrize("change", [-1.0, 1.0])
def test_a_nightly_job_follows_the_clocks(change: float) -> None:
    """What runs at two by the clock on the wall runs an hour earlier or later in UTC from one night on."""
    nights = [(2.2 + 24 * day + change * (day >= 15), "snapshot_read", "high") for day in range(20)]
    routes = [alert["route"] for alert in routed(*nights)]
    assert routes[:4] == ["ticket"] * 4
    assert set(routes[4:]) == {"log"}


def test_what_comes_every_four_hours_may_not_be_an_hour_late() -> None:
    """An hour to both sides of six times a day would be nearly any time."""
    hours = [4.0 * i for i in range(6 * 20)]
    odd = routed(*((hour, "snapshot_read", "high") for hour in [*hours, 20 * 24 + 13.0]))
    assert odd[-1]["route"] == "ticket"


@pytest.mark.parametrize(("since", "step"), [(0, 1), (8, 0.5)])
def test_what_comes_at_nearly_any_hour_has_no_schedule(since: float, step: float) -> None:
    """Every hour, or all through the working day: nothing would be odd any more."""
    hours = [day * 24 + since + i * step for day in range(20) for i in range(24)]
    assert {alert["route"] for alert in routed(*((hour, "snapshot_read", "high") for hour in hours))} == {"ticket"}


def test_what_an_earlier_version_remembered_is_gone_on_from() -> None:
    """It knew of each day the first moment alone: a nightly job goes on being one."""
    habits = Habits(3)
    for day in range(12):
        habits.see("p", "c", day * DAY_US + NIGHT)
    old = habits.snapshot().drop("times").with_columns(at_us=pl.col("at_us") + NIGHT * ~pl.col("recent"))
    resumed = Habits(3)
    resumed.restore(old)
    assert resumed.see("p", "c", 12 * DAY_US + NIGHT).scheduled
    assert not resumed.see("p", "c", 12 * DAY_US + 5 * NIGHT).scheduled


def test_a_weekly_job_is_known_after_three_weeks() -> None:
    """The fourth Sunday at the same hour is routine; another day of the week is not."""
    weeks = [(3.0 + 168 * week, "snapshot_read", "high") for week in range(4)]
    assert [alert["route"] for alert in routed(*weeks)] == ["ticket"] * 3 + ["log"]
    assert routed(*weeks, (3.0 + 168 * 3 + 48, "snapshot_read", "high"))[-1]["route"] == "ticket"


def test_practice_lowers_what_is_medium_only() -> None:
    """Who writes policies on many days is no ticket each time; who reads snapshots at odd hours is."""
    hours = [9.0, 35.5, 62.0, 86.5, 111.0]
    assert [alert["route"] for alert in routed(*((h, "policy_written", "medium") for h in hours))][-1] == "log"
    assert [alert["route"] for alert in routed(*((h, "snapshot_read", "high") for h in hours))][-1] == "ticket"
    assert {alert["route"] for alert in routed(*((2.0 + 24 * d, "root", "critical") for d in range(20)))} == {"page"}


def test_what_a_whole_team_does_is_practice_after_one_day() -> None:
    """Four people who write policies: the second time of each is for the log. Of three it is not, nor a first time."""
    for people, second in ((4, "log"), (3, "ticket")):
        habits = Habits(100)
        for i in range(people):
            assert not habits.see(f"oidc/{i}", "policy_written", i * HOUR_US).practised
        again = Habits(100)
        again.restore(habits.snapshot())
        for one in (habits, again):
            assert one.see("oidc/0", "policy_written", 3 * DAY_US).practised == (second == "log")
            assert not one.see("oidc/new", "policy_written", 3 * DAY_US).practised
            assert not one.see("oidc/1", "policy_written", 40 * DAY_US).practised


def test_mild_rules_never_triggered_before_make_a_ticket_together() -> None:
    """One secret destroyed is a line in the log; ten by somebody who never did are somebody's business."""
    one = routed((9.0, "secret_destroyed", "low"))
    ten = routed(*((9.0 + i / 30, "secret_destroyed", "low") for i in range(10)))
    assert ([a["route"] for a in one], [a["route"] for a in ten]) == (["log"], ["ticket"])


@pytest.mark.parametrize(
    ("others", "day", "route"),
    [
        pytest.param(1, 8, "ticket", id="one other does it"),
        pytest.param(2, 8, "log", id="two do"),
        pytest.param(1, 6, "log", id="not known for long"),
    ],
)
def test_a_mild_rule_that_hardly_anybody_triggers_is_a_ticket(others: int, day: int, route: str) -> None:
    """Roles are changed by one program, and now by a person: the first time is told, and says so; the second is not."""
    usual = [(f"jwt/builds{i}", 24.0 * d + i) for d in range(day) for i in range(others)]
    first, second = ("oidc/eve", 24.0 * day + 5), ("oidc/eve", 24.0 * (day + 3) + 5)
    alerts = routed_of([*usual, first, second], "auth_role", "low")
    hers = [alert for alert in alerts if alert["principal"] == "oidc/eve"]
    assert [alert["route"] for alert in hers] == [route, "log"]
    said = "It happened. One other principal did so in the 8 days before."
    assert hers[0]["message"] == (said if route == "ticket" else "It happened.")


def test_a_mild_rule_that_nobody_triggered_goes_on_after_a_restart() -> None:
    """Nobody ever did so in the weeks that are remembered, and a restored memory says the same."""
    straight = Habits(10)
    for day in range(40):
        straight.see("approle/backup", "snapshot_read", day * DAY_US)
    resumed = Habits(10)
    resumed.restore(straight.snapshot())
    for one in (straight, resumed):
        assert (
            one.see("oidc/eve", "auth_role", 40 * DAY_US).rare,
            one.see("oidc/bob", "auth_role", 40 * DAY_US).rare,
        ) == (28, 28)
        assert one.see("oidc/eve", "auth_role", 41 * DAY_US).rare == 0
        assert one.see("oidc/ida", "auth_role", 41 * DAY_US).rare == 0


def test_practised_rules_in_new_company_make_a_ticket() -> None:
    """Policy, role and secret-id within minutes, each of them daily work, never together before."""
    causes = ("policy_written", "auth_role", "secret_id_issued")
    days = [(24.0 * d + 9 + 3 * i, c, "low") for d in range(10) for i, c in enumerate(causes)]
    apart = routed(*days)
    together = routed(*days, *((24.0 * 10 + 9 + i / 60, c, "low") for i, c in enumerate(causes)))
    assert {alert["route"] for alert in apart[9:]} == {"log"}
    assert "ticket" in {alert["route"] for alert in together[-3:]}


def test_restored_habits_go_on_exactly_and_are_bounded() -> None:
    """Snapshot and restore change nothing; past the limit the oldest principal is forgotten."""
    straight, resumed = Habits(3), Habits(3)
    for day in range(30):
        for number in range(4):
            at = day * DAY_US + NIGHT + number * MINUTE_US
            assert straight.see(f"p{number}", "c", at) == resumed.see(f"p{number}", "c", at)
        frame = resumed.snapshot()
        resumed = Habits(3)
        resumed.restore(frame)
        assert_frame_equal(straight.snapshot(), resumed.snapshot())
    kept = straight.snapshot().filter(pl.col("principal") != "")
    assert kept["principal"].n_unique() == 3
    assert kept["at_us"].min() > DAY_US


TEAM = [(f"oidc/admin{i}", 24.0 * i + 9, "policy_written", "medium") for i in range(3)]
KEEN = ("oidc/eve", 24.0 * 3 + 9, "alias_changed", "medium")  # she has broken a rule before


@pytest.mark.parametrize(
    ("hits", "route"),
    [
        ([*TEAM, KEEN], "log"),
        (TEAM, "ticket"),  # her first of any rule
        ([*TEAM, (*KEEN[:3], "low")], "ticket"),  # who has only tried in vain
        ([*((*hit[:3], "low") for hit in TEAM), KEEN], "ticket"),  # so have the others
        ([*TEAM[:2], KEEN], "ticket"),  # two others
        (
            [*((who, hours / 9, cause, severity) for who, hours, cause, severity in TEAM), KEEN],
            "ticket",
        ),  # all on one day
        ([*((who.replace("oidc", "ldap"), *hit) for who, *hit in TEAM), KEEN], "ticket"),  # others of another kind
        (
            [(f"oidc/desk{i}", 24.0 * (i % 4) + i, "policy_written", "medium") for i in range(8)],
            "log",
        ),  # everybody does
    ],
)
def test_what_its_kind_does_is_custom(hits: list[tuple[str, float, str, str]], route: str) -> None:
    """A medium rule, where three others who log in the same way did so on three other days, and it is no stranger."""
    last = alerts_of([*hits, ("oidc/eve", 24.0 * 5 + 10, "policy_written", "medium")])[-1]
    assert (last["principal"], last["route"]) == ("oidc/eve", route)
    assert last["message"].endswith("others of its kind in the 28 days before.") == (route == "log")


def test_custom_excuses_nothing_high() -> None:
    """A snapshot is read by few, and each of them is told."""
    hits = [(who, hours, "snapshot_read", "high") for who, hours, *_ in TEAM]
    assert alerts_of([*hits, KEEN, ("oidc/eve", 24.0 * 5 + 10, "snapshot_read", "high")])[-1]["route"] == "ticket"


def test_custom_survives_a_restart_and_is_forgotten() -> None:
    """Restored anywhere, the same standing; of principals that were evicted or are long gone nothing is left."""
    acts = [(f"{kind}/p{i}", f"rule{i % 2}", i % 3 != 0) for i in range(40) for kind in ("oidc", "ldap", "mail@x")]
    straight, resumed = Habits(30), Habits(30)
    for i, (who, cause, grave) in enumerate(acts):
        at = i * DAY_US // 9
        assert straight.see(who, cause, at, grave=grave) == resumed.see(who, cause, at, grave=grave)
        again = Habits(30)
        again.restore(resumed.snapshot())
        resumed = again
    assert_frame_equal(straight.snapshot(), resumed.snapshot())
    straight.see("oidc/last", "rule0", 90 * DAY_US)
    assert not any(straight._companies["rule0"].values())


def placed(*hits: tuple[int, float, str]) -> list[str]:
    """The routes of a snapshot's alerts, each hit (day, hours more, address); halfway through by way of a snapshot."""
    habits, routes = Habits(10), []
    for number, (day, hours, address) in enumerate(hits):
        if number == len(hits) // 2:
            resumed = Habits(10)
            resumed.restore(habits.snapshot())
            assert_frame_equal(resumed.snapshot(), habits.snapshot())
            habits = resumed
        at_us = day * DAY_US + NIGHT + round(hours * HOUR_US)
        standing = habits.see("token/backup", "snapshot_read", at_us, grave=True, address=address)
        finding, _ = by_habit({"severity": "high", "message": "It happened."}, standing)
        routes.append(f"{finding['severity']}{' elsewhere' if 'from there' in finding['message'] else ''}")
    return routes


def test_a_second_hit_at_the_usual_hour_from_another_place_is_no_schedule() -> None:
    """It borrows the time of the nightly job, not its host; the job itself goes on as usual."""
    nights = [(day, 0.0, "10.0.0.1") for day in range(12)]
    assert placed(*nights, (12, 0.0, "10.0.0.1"), (12, 0.05, "10.0.0.2"))[-2:] == ["low", "high elsewhere"]


def test_a_job_that_moved_is_told_on_its_first_day_there() -> None:
    """From the second day on it is the usual place."""
    nights = [(day, 0.0, "10.0.0.1" if day < 12 else "10.0.0.2") for day in range(15)]
    assert placed(*nights)[-3:] == ["high elsewhere", "low", "low"]


def test_a_job_without_a_place_of_its_own_is_held_to_its_hour_alone() -> None:
    """A pod comes from another address every night."""
    assert placed(*((day, 0.0, f"10.0.0.{day}") for day in range(15)))[-5:] == ["low"] * 5


@pytest.mark.parametrize(("day", "last"), [(0, "log"), (2, "log"), (5, "ticket")])
def test_in_the_first_days_what_three_of_its_kind_did_is_custom(day: int, last: str) -> None:
    """Where nothing could be a habit yet, the fourth administrator of a morning is none the wiser told; later it is."""
    first = ("oidc/first", 0.0, "policy_written", "low")
    hits = [(f"oidc/admin{i}", 24.0 * day + 8 + i / 4, "policy_written", "medium") for i in range(4)]
    alerts = [alert for alert in alerts_of([first, *hits]) if alert["principal"] != "oidc/first"]
    assert [alert["route"] for alert in alerts] == ["ticket"] * 3 + [last]
    high = [(who, hours, cause, "high") for who, hours, cause, _ in hits]
    assert {alert["route"] for alert in alerts_of(high)} == {"ticket"}


@pytest.mark.parametrize(("day", "news"), [(1, 0), (6, 1)])
def test_in_the_first_days_what_many_trigger_is_no_news(day: int, news: int) -> None:
    """Three mild rules in an hour, each triggered by three others before: a ticket once there is a past."""
    causes = ("auth_role", "engine_role", "group_changed")
    past = [(f"oidc/{who}", who + 4.0 * i, cause, "low") for who in range(3) for i, cause in enumerate(causes)]
    now = [("oidc/new", 24.0 * day + 9 + i / 10, cause, "low") for i, cause in enumerate(causes)]
    alerts = [alert for alert in alerts_of(past + now) if alert["principal"] == "oidc/new"]
    assert sum(alert["route"] == "ticket" for alert in alerts) == news
