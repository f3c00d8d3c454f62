"""The router: what folds into what, when an alert speaks, and that the cut of the stream decides nothing."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipeline.core.findings import uid_of
from pipeline.core.schema import ALERT, FINDING
from pipeline.routing import Config, Router, Suppression

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
MINUTE = 60_000_000
HOUR = 60 * MINUTE


def us(minutes: float) -> int:
    return round(START.timestamp() * 1_000_000 + minutes * MINUTE)


def finding(minutes: float, **given: Any) -> dict[str, Any]:
    """One FINDING row, `minutes` after START."""
    row = {
        "time": START + timedelta(minutes=minutes),
        "detector": "breadth",
        "detector_version": "1",
        "severity": "medium",
        "confidence": 0.7,
        "score": 0.9,
        "principal": "approle/ci",
        "secret": "kv/app/db",
        "store": "vault",
        "client_ip": "10.1.2.3",
        "title": "Reads far more secrets than usual",
        "message": "approle/ci read 41 secrets.",
        "observed": "41",
        "expected": "3",
        "techniques": ["T1555.006"],
        "evidence": ["e1"],
        "family": "breadth",
        "next_step": "Ask the owner.",
    } | given
    row.setdefault("cause", row["detector"])
    row.setdefault("uid", uid_of(str(minutes), *(str(row[k]) for k in ("cause", "principal", "secret"))))
    return row


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=FINDING)


def one(alerts: pl.DataFrame) -> dict[str, Any]:
    assert len(alerts) == 1
    return alerts.row(0, named=True)


def test_created_with_all_it_must_say() -> None:
    """The first finding makes an open alert of revision 1 that carries its words, figures and evidence."""
    result = Router(Config()).push(frame(finding(0)), us(1))
    alert = one(result.alerts)
    assert result.alerts.schema == ALERT
    assert alert["state"] == "open"
    assert (alert["revision"], alert["count"]) == (1, 1)
    assert alert["uid"] == uid_of("alert", "breadth", "approle/ci", finding(0)["uid"])
    assert (alert["observed"], alert["expected"], alert["evidence"]) == ("41", "3", ["e1"])
    assert [m.event_id for m in result.messages] == [f"{alert['uid']}:1"]
    assert result.messages[0].alert == alert


def test_secrets_of_one_principal_and_cause_are_one_incident() -> None:
    """Findings on several secrets by one principal for one cause fold into one alert that tells how many."""
    rows = [finding(i, secret=f"kv/app/{i}", evidence=[f"e{i}"]) for i in range(5)]
    alert = one(Router(Config()).push(frame(*rows), us(9)).alerts)
    assert alert["count"] == 5
    assert alert["message"] == "approle/ci read 41 secrets. And 4 more like it, 5 secrets."
    assert alert["evidence"] == [f"e{i}" for i in range(5)]
    assert alert["finding_uids"] == [row["uid"] for row in rows]


def hit(minutes: float, cause: str, severity: str, evidence: str, **given: Any) -> dict[str, Any]:
    """What a rule says of one request."""
    told = {"detector": "invariant", "family": "invariant", "message": f"{cause}.", "title": cause.capitalize()}
    return finding(minutes, **told, cause=cause, severity=severity, evidence=[evidence], **given)


def test_what_one_request_sets_off_is_one_alert() -> None:
    """It is named after the gravest rule, and names the others; what another principal does is another alert."""
    request = [hit(0, "orphan", "medium", "e1"), hit(0, "policies", "high", "e1"), hit(0, "periodic", "low", "e1")]
    other = hit(0, "orphan", "medium", "e1", principal="approle/other")
    result = Router(Config()).push(frame(*request, other), us(9))
    alerts = result.alerts.sort("count")
    assert alerts["count"].to_list() == [1, 3]
    assert alerts["severity"][1] == "high"
    assert alerts["message"][1] == "policies. Also: Orphan; Periodic."
    assert [m.alert["message"] for m in result.messages if m.alert_uid == alerts["uid"][1]][-1] == alerts["message"][1]


@pytest.mark.parametrize(
    ("second", "counts"),
    [
        (hit(100, "orphan", "medium", "e2"), [2]),
        (hit(100, "orphan", "high", "e2"), [1, 1]),
        (hit(190, "orphan", "medium", "e2"), [1, 1]),
        (hit(100, "orphan", "medium", "e2", principal="approle/other"), [1, 1]),
    ],
    ids=["as grave", "graver", "after quiet", "another"],
)
def test_rules_broken_one_after_the_other_are_one_alert(second: dict[str, Any], counts: list[int]) -> None:
    """Two requests within two hours, each against a rule of its own: told twice, one alert unless it gets graver."""
    result = Router(Config()).push(frame(hit(0, "policies", "medium", "e1"), second), us(191))
    assert result.alerts["count"].to_list() == counts
    told = [m.alert["message"] for m in result.messages if m.alert["state"] != "closed"]
    assert len(told) == 2
    assert ("Orphan" in told[-1]) is (counts == [2])


def test_what_many_share_does_not_join() -> None:
    """Nobody in particular broke two rules: that these are one incident is not known."""
    rows = [hit(minutes, cause, "medium", cause, principal="anonymous") for minutes, cause in ((0, "a"), (9, "b"))]
    assert Router(Config()).push(frame(*rows), us(10)).alerts["count"].to_list() == [1, 1]


def test_what_a_rule_tells_daily_is_one_alert_for_a_week() -> None:
    """It speaks each day; after a week, or a day and a half without, it is another one. Statistics have their day."""
    days = [hit(1440.0 * day + 7 * (day % 2), "snapshot", "high", f"e{day}") for day in (0, 1, 2, 3, 4, 5, 6, 8, 10)]
    result = Router(Config()).push(frame(*days), us(1440 * 11))
    assert result.alerts.sort("first_time")["count"].to_list() == [7, 1, 1]
    told = Counter(m.alert_uid for m in result.messages if m.alert["state"] != "closed")
    assert sorted(told.values()) == [1, 1, 7]
    daily = [finding(1439.0 * day, evidence=[f"e{day}"]) for day in range(4)]
    assert sorted(Router(Config()).push(frame(*daily), us(1440 * 5)).alerts["count"]) == [2, 2]


def test_what_one_request_sets_off_is_one_alert_after_a_restart() -> None:
    """What comes of it later finds the alert."""
    first = Router(Config())
    first.push(frame(hit(0, "policies", "high", "e1")), us(1))
    again = Router(Config())
    again.restore(first.snapshot())
    assert one(again.push(frame(hit(0, "orphan", "medium", "e1")), us(2)).alerts)["count"] == 2


def test_a_suppressed_rule_takes_no_other_along() -> None:
    """Of one request what nobody suppressed is told by itself. (The invariants themselves cannot be suppressed.)"""
    config = Config(
        suppressions=(Suppression(expires="2027-03-09T00:00:00Z", cause="policies", reason="known", owner="ana"),)
    )
    rows = [
        {**hit(0, cause, severity, "e1"), "family": "rules", "detector": "sigma"}
        for cause, severity in (("orphan", "medium"), ("policies", "high"))
    ]
    alerts = Router(config).push(frame(*rows), us(9)).alerts
    assert sorted(alerts.select("cause", "state").rows()) == [("orphan", "open"), ("policies", "suppressed")]


def test_principals_of_one_secret_are_one_incident_for_causes_about_secrets() -> None:
    """A cause that is about a secret groups by it whoever asks; another cause does not."""
    config = Config(by_secret=("rotation*",))
    rows = [finding(i, principal=f"approle/{i}", cause="rotation_lag", detector="rotation_lag") for i in range(3)]
    assert one(Router(config).push(frame(*rows), us(9)).alerts)["count"] == 3
    rows = [finding(i, principal=f"approle/{i}") for i in range(3)]
    assert len(Router(config).push(frame(*rows), us(9)).alerts) == 3


def test_secrets_that_one_principal_destroys_are_one_incident() -> None:
    """What tells of an act of somebody groups by who did it, also where it tells of a secret."""
    rows = [
        finding(i, secret=f"kv/app/{i}", cause="secret_destroyed", detector="invariant", family="invariant")
        for i in range(4)
    ]
    assert one(Router(Config()).push(frame(*rows), us(9)).alerts)["count"] == 4


def test_without_a_principal_the_secret_then_the_store_decides() -> None:
    """A finding about nobody groups by its secret, and one about nothing but a store by the store."""
    rows = [
        finding(0, principal=None),
        finding(1, principal=""),
        finding(2, principal=None, secret=None),
        finding(3, principal=None, secret=None, store="aws"),
    ]
    alerts = Router(Config()).push(frame(*rows), us(9)).alerts
    assert sorted(alerts["count"].to_list()) == [1, 1, 2]


def test_a_repeated_finding_changes_nothing() -> None:
    """A finding delivered again, in the same push or a later one, leaves no trace."""
    router = Router(Config())
    router.push(frame(finding(0), finding(0)), us(1))
    again = router.push(frame(finding(0)), us(2))
    assert again.alerts.is_empty()
    assert again.messages == []
    assert router.counts.repeated == 2


def test_speaks_at_powers_of_two_but_counts_every_finding() -> None:
    """Ten alike findings make four revisions while the row says ten."""
    rows = [finding(i) for i in range(10)]
    result = Router(Config()).push(frame(*rows), us(10))
    assert [m.alert["count"] for m in result.messages] == [1, 2, 4, 8]
    assert [m.revision for m in result.messages] == [1, 2, 3, 4]
    alert = one(result.alerts)
    assert (alert["count"], alert["revision"], alert["state"]) == (10, 4, "updated")


def test_a_rise_of_severity_is_told_and_takes_the_headline() -> None:
    """The third finding, more severe, is told although 3 is no power of two; the alert speaks with its words."""
    rows = [finding(0), finding(1), finding(2, severity="high", message="It was worse.", secret="kv/root")]
    result = Router(Config()).push(frame(*rows), us(5))
    assert [m.alert["severity"] for m in result.messages] == ["medium", "medium", "high"]
    alert = one(result.alerts)
    assert alert["message"].startswith("It was worse. And 2 more like it")
    assert alert["secret"] == "kv/root"


def test_a_milder_finding_takes_nothing_back() -> None:
    """A later informational finding leaves severity, headline and confidence as they were."""
    rows = [finding(0, severity="high", confidence=0.6), finding(1, severity="informational", confidence=1.0)]
    alert = one(Router(Config()).push(frame(*rows), us(5)).alerts)
    assert (alert["severity"], alert["confidence"]) == ("high", 0.6)


def test_closes_after_quiet_in_event_time() -> None:
    """Two quiet hours of event time close an alert with one more revision, and not a microsecond earlier."""
    router = Router(Config(quiet_minutes=120))
    router.push(frame(finding(0)), us(1))
    assert router.push(frame(), us(120) - 1).messages == []
    closed = router.push(frame(), us(120))
    assert [(m.revision, m.alert["state"]) for m in closed.messages] == [(2, "closed")]
    assert one(closed.alerts)["state"] == "closed"


def test_the_same_incident_after_a_gap_is_the_same_alert() -> None:
    """Within the group window a closed alert opens again under its uid; after it, another one is made."""
    router = Router(Config(group_hours=24))
    first = one(router.push(frame(finding(0)), us(1)).alerts)
    again = router.push(frame(finding(600)), us(601))
    assert [m.alert["state"] for m in again.messages] == ["closed", "updated"]
    assert one(again.alerts)["uid"] == first["uid"]
    later = router.push(frame(finding(24 * 60)), us(24 * 60))
    assert later.messages[-1].alert_uid != first["uid"]
    assert later.messages[-1].revision == 1


def test_two_families_on_one_principal_are_one_alert_a_level_higher() -> None:
    """What independent families say of one principal folds, rises one level, and is told when the second joins."""
    router = Router(Config())
    router.push(frame(finding(0)), us(1))
    rows = frame(finding(5, detector="source_novelty", family="source", secret="kv/other"))
    result = router.push(rows, us(6))
    alert = one(result.alerts)
    assert (alert["severity"], alert["count"], alert["revision"]) == ("high", 2, 2)
    assert (alert["detectors"], alert["families"]) == (["breadth", "source_novelty"], ["breadth", "source"])
    assert "2 families" in alert["message"]
    third = router.push(frame(finding(6, detector="source_novelty", family="source")), us(7))
    assert set(third.alerts["severity"]) == {"high"}


def test_a_rule_and_a_statistic_on_one_principal_raise_both_alerts() -> None:
    """A rule's alert stays its own; each is told that the other agrees."""
    router = Router(Config())
    router.push(frame(finding(0)), us(1))
    result = router.push(frame(finding(5, detector="invariant", cause="audit_off", family="invariant")), us(6))
    assert set(result.alerts["severity"]) == {"high"}
    assert sorted(m.revision for m in result.messages) == [1, 2]
    assert set(map(tuple, result.alerts["families"].to_list())) == {("breadth", "invariant"), ("invariant", "breadth")}


def test_what_an_emergency_account_does_is_new_to_it_and_proves_nothing() -> None:
    """Its use is a ticket, however many detectors see that it never was there; another rule's alert is raised."""
    for cause, route in (("break_glass", "ticket"), ("snapshot", "page")):
        used = hit(0, cause, "high", "e1")
        news = [finding(i, family=family, cause=family, severity="high") for i, family in ((1, "source"), (2, "pair"))]
        result = Router(Config()).push(frame(used, *news), us(9))
        alert = one(result.alerts.filter(severity="high" if route == "ticket" else "critical", title=used["title"]))
        assert alert["route"] == route


@pytest.mark.parametrize(("nights", "severity"), [(3, "critical"), (8, "high")])
def test_a_habit_proves_nothing(nights: int, severity: str) -> None:
    """What was done for a week is raised by no other detector's finding, and raises none; what is no habit yet does."""
    router, night = Router(Config()), 24 * 60
    for number in range(nights):
        router.push(frame(hit(number * night, "policy", "medium", f"n{number}")), us(number * night + 300))
    last = nights * night
    rows = frame(hit(last, "policy", "medium", "now"), finding(last + 1, family="source", severity="high"))
    alerts = router.push(rows, us(last + 9)).alerts
    loud = alerts.filter(detectors=["breadth"])
    assert one(loud)["severity"] == severity
    assert set(alerts.filter(pl.col("detectors") != ["breadth"])["route"]) == ({"ticket"} if nights < 4 else {"log"})


def test_what_the_day_has_no_room_for_stays_a_finding() -> None:
    """With one alert a day wanted, the weaker candidates of a busy week make none; a rule always does."""
    router = Router(Config(per_day=1))
    rows = [finding(60 * i, principal=f"approle/{i}", score=0.5 + i % 7 / 100) for i in range(24 * 7)]
    router.push(frame(*rows), us(60 * 24 * 7))
    weak = {"principal": "approle/weak", "score": 0.51}
    held = router.push(frame(finding(60 * 24 * 7 + 1, **weak)), us(60 * 24 * 7 + 2))
    assert held.alerts.filter(principal="approle/weak").is_empty()
    assert router.counts.held > 100
    kept = router.push(
        frame(finding(60 * 24 * 7 + 3, family="invariant", cause="audit_off", **weak)), us(60 * 24 * 7 + 4)
    )
    assert len(kept.alerts.filter(principal="approle/weak")) == 1


def test_what_goes_on_under_an_open_alert_takes_no_room() -> None:
    """Eight who break a rule every hour of a week are eight alerts, and leave the week's room to others."""
    router, week = Router(Config(per_day=5)), 24 * 7
    rule = {"family": "invariant", "cause": "listed", "severity": "high"}
    rows = [finding(60 * i, principal=f"pod/{who}", **rule) for i in range(week) for who in range(8)]
    rows += [finding(60 * i, principal=f"approle/{i}", score=0.6 + i % 7 / 100) for i in range(0, week, 6)]
    alerts = router.push(frame(*rows), us(60 * week)).alerts
    assert alerts.filter(pl.col("principal").str.starts_with("pod/"))["uid"].n_unique() == 8
    weak = finding(60 * week + 1, principal="approle/weak", score=0.55)
    assert len(router.push(frame(weak), us(60 * week + 2)).alerts.filter(principal="approle/weak")) == 1


def test_rights_changed_and_used_are_told_however_full_the_day_is() -> None:
    """A grave chain in which nothing is weighed needs no room; the same chain as medium does, and so does another."""
    router = Router(Config(per_day=1))
    rows = [
        finding(60 * i, principal=f"approle/{i}", score=0.5 + i % 7 / 100, family="sequence") for i in range(24 * 7)
    ]
    router.push(frame(*rows), us(60 * 24 * 7))
    weak = {"detector": "sequence", "family": "sequence", "score": 0.4}
    asked = (("high", "role_then_use"), ("medium", "policy_then_read"), ("high", "place_then_read"))
    late = [
        finding(60 * 24 * 7 + i, severity=how, cause=cause, principal=f"oidc/{i}", **weak)
        for i, (how, cause) in enumerate(asked)
    ]
    told = router.push(frame(*late), us(60 * 24 * 7 + 9)).alerts
    assert told.filter(pl.col("principal").str.starts_with("oidc/")).select("principal", "route").rows() == [
        ("oidc/0", "ticket")
    ]


def test_agreement_does_not_reach_above_critical_nor_over_the_group_window() -> None:
    """Critical stays critical; a family that spoke a day earlier corroborates nothing."""
    other = {"detector": "d2", "family": "source"}
    alerts = (
        Router(Config())
        .push(frame(finding(0, severity="critical"), finding(1, severity="critical", **other)), us(2))
        .alerts
    )
    assert set(alerts["severity"]) == {"critical"}
    apart = Router(Config()).push(frame(finding(0), finding(24 * 60, **other)), us(24 * 60))
    assert set(apart.alerts["severity"]) == {"medium"}


@pytest.mark.parametrize("principal", ["anonymous", "", "token"])
def test_shared_names_prove_no_agreement(principal: str) -> None:
    """Two families that meet in a name many share raise nothing."""
    rows = frame(finding(0, principal=principal), finding(1, principal=principal, detector="d2", family="rate"))
    assert set(Router(Config()).push(rows, us(2)).alerts["severity"]) == {"medium"}


@pytest.mark.parametrize(
    ("given", "route"),
    [
        ({"severity": "critical", "confidence": 0.8}, "page"),
        ({"severity": "critical", "confidence": 0.79}, "ticket"),
        ({"severity": "high", "confidence": 1.0}, "ticket"),
        ({"severity": "medium"}, "ticket"),
        ({"severity": "low"}, "ticket"),
        ({"severity": "low", "family": "invariant"}, "log"),
        ({"severity": "informational"}, "log"),
        ({"severity": "high", "detector": "integrity_gap"}, "page"),
        ({"severity": "medium", "detector": "integrity_gap"}, "ticket"),
    ],
)
def test_route(given: dict[str, Any], route: str) -> None:
    """Sure and critical, or a broken record, pages; what the day has room for makes a ticket; the rest is logged."""
    assert one(Router(Config()).push(frame(finding(0, **given)), us(1)).alerts)["route"] == route


def test_two_families_at_high_page() -> None:
    """High findings of two independent families page; of one family, or of two that see the same, they do not."""
    high = {"severity": "high", "confidence": 0.5}
    for family in ("breadth", "rate"):
        same = frame(finding(0, **high), finding(1, detector="d2", family=family, **high))
        assert set(Router(Config()).push(same, us(2)).alerts["route"]) == {"ticket"}
    two = frame(finding(0, **high), finding(1, detector="d2", family="source", **high))
    assert set(Router(Config()).push(two, us(2)).alerts["route"]) == {"page"}


def test_where_families_agree_only_what_is_serious_itself_pages() -> None:
    """A further, medium rule about a principal that was paged for is raised, and told as a ticket."""
    high = {"severity": "high", "confidence": 0.5}
    mild = finding(600, detector="rules", family="invariant", cause="policy_written", severity="medium")
    two = [finding(0, **high), finding(1, detector="d2", family="source", **high)]
    alerts = Router(Config()).push(frame(*two, mild), us(601)).alerts
    assert dict(zip(alerts["cause"], alerts["route"], strict=True))["policy_written"] == "ticket"
    assert set(alerts.filter(cause="policy_written")["severity"]) == {"high"}
    assert "page" in set(alerts["route"])
    alone = Router(Config()).push(frame(*two, {**mild, "severity": "high"}), us(601)).alerts
    assert set(alone["route"]) == {"page"}


def test_a_rise_of_the_route_alone_is_told() -> None:
    """A surer finding of the same severity that makes an alert page is told at once."""
    rows = [finding(i, severity="critical", confidence=c) for i, c in enumerate([0.5, 0.5, 0.9])]
    result = Router(Config()).push(frame(*rows), us(5))
    assert [m.alert["route"] for m in result.messages] == ["ticket", "ticket", "page"]


def rule(**given: str) -> Suppression:
    return Suppression(
        **({"reason": "planned move", "owner": "ops", "expires": (START + timedelta(hours=1)).isoformat()} | given)
    )


@pytest.mark.parametrize(
    ("given", "hidden"),
    [
        ({"detector": "breadth"}, True),
        ({"detector": "bread"}, False),
        ({"principal": "approle/*"}, True),
        ({"secret": "kv/?pp/db"}, True),
        ({"client_ip": "10.1.0.0/16"}, True),
        ({"client_ip": "10.2.0.0/16"}, False),
        ({"client_ip": "10.1.*"}, True),
        ({"cause": "breadth", "principal": "other"}, False),
    ],
)
def test_suppression_hides_delivery_never_evidence(given: dict[str, str], hidden: bool) -> None:
    """A covered finding makes a suppressed row with reason, owner and end, and no message."""
    result = Router(Config(suppressions=(rule(**given),))).push(frame(finding(0)), us(1))
    alert = one(result.alerts)
    assert (alert["state"] == "suppressed") is hidden
    assert (result.messages == []) is hidden
    assert alert["suppression"] == ("planned move (ops, until 2026-03-02T09:00:00Z)" if hidden else "")
    assert alert["evidence"] == ["e1"]


def test_a_suppression_ends() -> None:
    """A suppressed alert that still goes on opens at the very moment its suppression expires."""
    router = Router(Config(suppressions=(rule(detector="breadth"),)))
    assert router.push(frame(finding(0), finding(30)), us(60) - 1).messages == []
    opened = router.push(frame(), us(60))
    assert [(m.revision, m.alert["state"], m.alert["count"]) for m in opened.messages] == [(2, "open", 2)]
    assert one(opened.alerts)["suppression"] == ""
    assert router.notes == ["suppression has expired: planned move (ops, until 2026-03-02T09:00:00Z)"]


def test_a_suppression_begins() -> None:
    """What came before it starts is told; what comes from then on is not."""
    starts = (START + timedelta(minutes=10)).isoformat()
    config = Config(suppressions=(rule(detector="breadth", starts=starts),), group_hours=2)
    before = Router(config).push(frame(finding(9)), us(10))
    assert [m.alert["state"] for m in before.messages] == ["open"]
    within = Router(config).push(frame(finding(10)), us(11))
    assert within.messages == []
    told = "planned move (ops, from 2026-03-02T08:10:00Z until 2026-03-02T09:00:00Z)"
    assert one(within.alerts)["suppression"] == told


def test_a_suppressed_alert_that_falls_quiet_stays_so() -> None:
    """When it is quiet before its suppression ends, nobody is ever told, and the row says suppressed."""
    late = rule(detector="breadth", expires=(START + timedelta(hours=9)).isoformat())
    router = Router(Config(suppressions=(late,)))
    alert = one(router.push(frame(finding(0)), us(1)).alerts)
    later = router.push(frame(), us(10 * 60))
    assert later.messages == []
    assert alert["state"] == "suppressed"


def test_an_uncovered_finding_opens_a_suppressed_alert_and_covered_ones_do_not_hide_it() -> None:
    """Suppressing one secret does not hide the same principal's reads of another, in whichever order they come."""
    config = Config(suppressions=(rule(secret="kv/app/db"),))
    router = Router(config)
    assert router.push(frame(finding(0)), us(1)).messages == []
    opened = router.push(frame(finding(2, secret="kv/root")), us(3))
    assert [m.alert["state"] for m in opened.messages] == ["open"]
    quiet = router.push(frame(finding(4), finding(5)), us(6))
    assert quiet.messages == []
    assert one(quiet.alerts)["count"] == 4
    assert one(quiet.alerts)["suppression"] == ""


def test_an_invariant_is_downgraded_never_hidden() -> None:
    """A suppressed invariant goes to the log with its reason; one that is not covered gets its route back."""
    critical = {"severity": "critical", "confidence": 1.0, "family": "invariant", "detector": "root_generated"}
    router = Router(Config(suppressions=(rule(secret="kv/app/db"),)))
    result = router.push(frame(finding(0, **critical)), us(1))
    assert [(m.alert["state"], m.alert["route"]) for m in result.messages] == [("open", "log")]
    assert one(result.alerts)["suppression"].startswith("planned move")
    for minute in (1, 2):
        result = router.push(frame(finding(minute, secret="kv/root", **critical)), us(minute))
    assert one(result.alerts)["route"] == "page"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"detector": "breadth", "reason": " "}, "has no reason"),
        ({"detector": "breadth", "expires": "next week"}, "not an RFC 3339 time"),
        ({"detector": "breadth", "expires": "2027-01-01T00:00:00"}, "no offset"),
        ({"detector": "breadth", "expires": "9999-12-31T23:59:59-14:00"}, "not an RFC 3339 time"),
        ({"detector": "breadth", "starts": "soon"}, "starts is not an RFC 3339 time"),
        ({"detector": "breadth", "starts": "2030-01-01T00:00:00Z"}, "expires before it starts"),
        ({"client_ip": "10.0.0.0/99"}, "does not appear"),
        ({}, "would hide everything"),
    ],
)
def test_what_cannot_be_used_is_reported_and_hides_nothing(given: dict[str, str], complaint: str) -> None:
    """A suppression without reason, end or match is not applied, and the router says so."""
    router = Router(Config(suppressions=(rule(**given),)))
    assert len(router.push(frame(finding(0)), us(1)).messages) == 1
    assert len(router.notes) == 1
    assert complaint in router.notes[0]


def test_findings_wait_for_their_place_when_held() -> None:
    """Held findings past the watermark fold later, in the order of their times, as if they had come in order."""
    rows = [finding(m) for m in (0, 3, 1, 2)]
    router = Router(Config())
    assert router.push(frame(*rows[:2]), us(1), hold=True).alerts["count"].to_list() == [1]
    router.push(frame(*rows[2:]), us(4), hold=True)
    alert = one(router.push(frame(finding(5)), us(5)).alerts)
    assert alert["finding_uids"] == [finding(m)["uid"] for m in (0, 1, 2, 3, 5)]


def test_an_old_finding_joins_no_new_incident() -> None:
    """A finding a month old makes its own alert and leaves the open one as it is."""
    router = Router(Config())
    router.push(frame(finding(0)), us(1))
    old = router.push(frame(finding(-30 * 24 * 60)), us(1))
    assert one(old.alerts)["count"] == 1
    assert one(router.push(frame(finding(2)), us(2)).alerts)["count"] == 2


def test_state_is_bounded() -> None:
    """However many incidents come, the state holds a fixed number; the pushed-out are closed, not lost."""
    config = Config(open_max=20, seen_max=50, principals_max=30)
    router = Router(config)
    rows = [finding(i / 100, principal=f"approle/{i}") for i in range(500)]
    result = router.push(frame(*rows), us(6))
    frames = router.snapshot()
    assert len(frames["alerts"]) <= 40
    assert len(frames["seen"]) == 50
    assert frames["agreement"]["principal"].n_unique() == 30
    assert router.counts.evicted == 480
    assert len(result.alerts) == 500
    assert sum(m.alert["state"] == "closed" for m in result.messages) == 480


def test_lists_in_a_row_are_bounded() -> None:
    """Five thousand findings leave 1,000 finding uids and 100 pieces of evidence in a row that counts them all."""
    rows = [finding(i / 1000, evidence=[f"e{i}"], secret=f"kv/{i}") for i in range(5000)]
    alert = one(Router(Config()).push(frame(*rows), us(6)).alerts)
    assert (alert["count"], len(alert["finding_uids"]), len(alert["evidence"])) == (5000, 1000, 100)
    assert "64 or more secrets" in alert["message"]


def test_odd_findings_are_taken_as_they_are() -> None:
    """Nulls, an unknown severity and no family do no harm."""
    bare = dict.fromkeys(FINDING) | {"uid": "x", "time": START, "detector": "d", "severity": "weird"}
    alert = one(Router(Config()).push(frame(bare), us(1)).alerts)
    assert (alert["severity"], alert["principal"], alert["route"]) == ("informational", "", "log")


@pytest.mark.parametrize(
    "given",
    [
        {"quiet_minutes": 0},
        {"group_hours": 1, "quiet_minutes": 61},
        {"page_confidence": 2},
        {"floors": {"pair": 2}},
        {"strong": {"pair": 2}},
        {"spare_share": 0},
        {"open_max": 0},
        {"group_hours": float("inf")},
    ],
)
def test_a_config_that_makes_no_sense_is_refused(given: dict[str, Any]) -> None:
    """Times, confidences and bounds out of range are an error at once."""
    with pytest.raises(ValueError, match="must"):
        Config(**given)


def test_a_restored_router_continues_exactly() -> None:
    """Snapshot, restore and go on: rows, messages and the next snapshot are those of the router that never stopped."""
    config = Config(suppressions=(rule(secret="kv/app/9"),))
    rows = [
        finding(7 * i, principal=f"approle/{i % 3}", secret=f"kv/app/{i % 10}", family="abc"[i % 3]) for i in range(60)
    ]
    straight, resumed = Router(config), Router(config)
    for i in range(0, 60, 6):
        part, mark = frame(*rows[i : i + 6]), us(7 * (i + 4))
        left, right = straight.push(part, mark, hold=True), resumed.push(part, mark, hold=True)
        assert_frame_equal(left.alerts, right.alerts)
        assert left.messages == right.messages
        frames = resumed.snapshot()
        resumed = Router(config)
        resumed.restore(frames)
    for name, frame_ in straight.snapshot().items():
        assert_frame_equal(frame_, resumed.snapshot()[name])


def test_a_score_below_its_family_s_floor_is_no_alert_however_quiet_the_day() -> None:
    """It stays a finding, takes nothing of the day's room, and what has no score or no floor is told as ever."""
    low = frame(*(finding(i, family="pair", score=0.39, principal=f"approle/{i}") for i in range(3)))
    router = Router(Config())
    assert router.push(low, us(5)).alerts.is_empty()
    assert router.counts.held == 3
    assert len(router.snapshot()["allowance"]) == 0
    told = frame(finding(6, family="pair", score=0.4), finding(6, family="token", score=0.3, principal="approle/b"))
    assert len(router.push(told, us(7)).alerts) == 2


def _days(config: Config, *, weak: int, strong: int) -> list[tuple[str, float]]:
    """Who is told, with which score, in the last of nine days of so many weak and strong findings a day."""
    router, told = Router(config), []
    for day in range(9):
        scores = [0.41 + 0.03 * i / weak for i in range(weak)] + [0.5 + 0.4 * i / strong for i in range(strong)]
        rows = [
            finding(day * 1440 + 100 * i, family="pair", score=score, principal=f"approle/{day}.{i}")
            for i, score in enumerate(scores)
        ]
        told = router.push(frame(*rows), us(day * 1440 + 1400)).alerts.rows(named=True)
    return [(one["principal"], one["score"]) for one in told if one["principal"].startswith("approle/8.")]


def test_what_is_not_strong_gets_room_that_is_left_and_takes_none() -> None:
    """Three strong ones a day leave room for two more; twelve for none, and lose nothing to the weak."""
    config = Config(per_day=5, shares={"pair": 1.0})
    assert sum(score < 0.45 for _, score in _days(config, weak=6, strong=3)) in {1, 2, 3}
    crowded = _days(config, weak=6, strong=12)
    assert min(score for _, score in crowded) > 0.5
    assert [score for _, score in crowded] == [score for _, score in _days(config, weak=0, strong=12)]
    assert 3 <= len(crowded) <= 7


def test_what_is_not_strong_is_not_told_by_surprise_on_a_full_day() -> None:
    """The first weak one in days finds no room, where a family that was silent may speak."""
    rows = [finding(10 * i, family="pair", score=0.5, principal=f"approle/{i}") for i in range(130)]
    router = Router(Config(per_day=5))
    router.push(frame(*rows), us(1300))
    late = (
        finding(1380, family="multivariate", score=0.76, principal="approle/a"),
        finding(1381, family="source", score=0.46, principal="approle/b"),
    )
    told = router.push(frame(*late), us(1390)).alerts
    assert told["principal"].to_list() == ["approle/b"]


def test_sequences_prove_nothing_about_the_acts_they_are_made_of() -> None:
    """A sweep that is wide, new and in a telling order is one thing seen three ways: a ticket, however high."""
    families = ("breadth", "pair", "sequence")
    seen = frame(*(finding(i, family=f, cause=f, detector=f, severity="high") for i, f in enumerate(families)))
    assert one(Router(Config()).push(seen, us(5)).alerts)["route"] == "ticket"
