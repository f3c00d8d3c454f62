"""Since when something could have been said: asked of the detector itself, and it learns nothing by that."""

from __future__ import annotations

import polars as pl
import pytest

from detectors import auth_pressure, denials
from pipeline.baselines import Baselines, Config
from pipeline.core.model import Window
from pipeline.core.schema import INTEGRITY, OPERATION, conform, empty
from pipeline.evaluate.evidence import Evidence
from pipeline.evaluate.judge import judge
from pipeline.evaluate.replay import replay
from pipeline.evaluate.twins import Recorded
from pipeline.routing import Config as RoutingConfig
from pipeline.windows import count
from tests.unit.evaluate.test_evaluate_parts import HOUR, US, finding, frame, incident

MINUTE = HOUR // 60


def refused(*minutes: float) -> pl.DataFrame:
    """OPERATION rows: refusals of one principal, each on another secret."""
    times = [US + round(minute * MINUTE) for minute in minutes]
    rows = pl.DataFrame(
        {
            "uid": [f"{i:032x}" for i in range(len(times))], "time": times, "complete_time": times,
            "principal": "approle/ci", "principal_type": "service", "operation": "read", "outcome": "denied",
            "secret": [f"kv/app/{i}" for i in range(len(times))], "path": "kv/data/app", "store": "vault",
            "client_ip": "10.0.0.1",
        }
    )  # fmt: skip
    return conform(rows.with_columns(pl.col("time", "complete_time").cast(pl.Datetime("us", "UTC"))), OPERATION)


@pytest.mark.parametrize("closed", [True, False])
def test_the_first_moment_at_which_the_detector_would_have_said_it(closed: bool) -> None:
    """The eighth refusal (denials.least), though the window had thirty and was judged at its end or at minute 50."""
    rows = refused(*(2 + i for i in range(30)))
    detector, profiles = denials.create(denials.Config(p=0.5)), Baselines(Config())
    evidence = Evidence([detector], [incident(0, 1)])
    evidence.take(rows)
    before = {name: each.clone() for name, each in detector.snapshot().items()}
    looked = {} if closed else {"looked_us": US + 50 * MINUTE, "rises": frozenset({"refused"})}
    window = Window(US, US + HOUR, count(rows), empty(INTEGRITY), None, closed, **looked)
    evidence.judged(window, profiles)
    assert all(each.equals(before[name]) for name, each in detector.snapshot().items())
    assert list(evidence.since.values()) == [US + 9 * MINUTE]


def test_what_takes_many_addresses_is_known_when_enough_of_them_have_come() -> None:
    """A finding that names one address of many: its own first attempt is not yet enough, the eighth account is."""
    rows = refused(*(2 + i for i in range(30))).with_columns(
        principal=pl.lit("anonymous"), operation=pl.lit("auth"), mount=pl.lit("auth/userpass/"),
        secret=pl.lit(None, pl.String),
        path=pl.Series([f"auth/userpass/login/user{i}" for i in range(30)]),
        client_ip=pl.Series([f"203.0.113.{i}" for i in range(30)]),
    )  # fmt: skip
    rows = conform(rows, OPERATION)
    one = incident(0, 1, "anonymous", uids=tuple(rows["uid"]))
    evidence = Evidence([auth_pressure.create(auth_pressure.Config())], [one])
    evidence.take(rows)
    evidence.judged(Window(US, US + HOUR, count(rows), empty(INTEGRITY), None, closed=True), Baselines(Config()))
    assert list(evidence.since.values()) == [US + 9 * MINUTE]


def test_somebody_elses_findings_are_not_asked_about() -> None:
    """Only what touches an incident that goes on."""
    rows = refused(*(2 + i for i in range(30)))
    evidence = Evidence([denials.create(denials.Config(p=0.5))], [incident(0, 1, "approle/other"), incident(9, 10)])
    evidence.take(rows)
    evidence.judged(Window(US, US + HOUR, count(rows), empty(INTEGRITY), None, closed=True), Baselines(Config()))
    assert evidence.since == {}


@pytest.mark.parametrize(("since", "waited"), [(7 * MINUTE, 53), (None, 0), (-5 * HOUR, 30)])
def test_what_was_waited_for_is_told_from_then_to_the_alert(since: int | None, waited: int) -> None:
    """In minutes; of an operation's own finding it is nothing, and it never begins before the incident."""
    rows = frame(finding(5, ready=finding(6)["time"]))
    known = {} if since is None else {rows["uid"][0]: US + 5 * HOUR + since}
    told = incident(5.5 if since and since < 0 else 5, 9)
    recorded = Recorded(1, US, US, US + 72 * HOUR, 1000, 1, {}, {}, (told,), ("",), None, (), known)
    alerts = replay(rows, RoutingConfig(), 5, recorded.end_us)
    assert judge(recorded, alerts, [], rows).caught[0].waited_us == waited * MINUTE
