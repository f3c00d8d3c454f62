"""The parts of the measurement: the plan, the judge, the intervals."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.findings import uid_of
from pipeline.core.schema import FINDING
from pipeline.evaluate.hearing import NODES, heard
from pipeline.evaluate.judge import judge
from pipeline.evaluate.kept import Kept
from pipeline.evaluate.plan import YOUNGER, Plan, principals
from pipeline.evaluate.replay import replay
from pipeline.evaluate.summary import times, wilson
from pipeline.evaluate.touched import touched
from pipeline.evaluate.twins import Happening, Recorded, Staged
from pipeline.routing import Config
from pipeline.simulate import Incident, lay, twins

START = datetime(2026, 3, 2, tzinfo=UTC)
US = round(START.timestamp() * 1e6)
HOUR = 3_600_000_000


def finding(hours: float, **given: Any) -> dict[str, Any]:
    row = dict.fromkeys(FINDING) | {
        "time": START + timedelta(hours=hours), "ready": START + timedelta(hours=hours + 1), "detector": "breadth",
        "family": "breadth", "cause": "breadth", "severity": "medium", "confidence": 0.7, "score": 0.9,
        "principal": "approle/ci", "message": "m", "observed": "o", "expected": "e", "next_step": "n",
        "evidence": ["00"], "detector_version": "1", "store": "vault",
    } | given  # fmt: skip
    return row | {"uid": uid_of(str(hours), str(row["principal"]), str(row["cause"]), str(row["score"]))}


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=FINDING)


def verdict(staged: pl.DataFrame, quiet: pl.DataFrame, *incidents: Staged, happenings: tuple[Happening, ...] = ()):
    recorded = Recorded(
        1, US, US, US + 72 * HOUR, 1000, 1, {}, {}, incidents, tuple("" for _ in incidents), None, happenings
    )
    told, plain = (replay(rows, Config(), 5, recorded.end_us) for rows in (staged, quiet))
    return judge(recorded, told, plain, staged)


def incident(begin: float, end: float, principal: str = "approle/ci", **given: Any) -> Staged:
    texts = [(START + timedelta(hours=h)).isoformat().replace("+00:00", "Z") for h in (begin, end)]
    label = Incident("i", "mass_read", "easy", principal, given.get("secrets", ()), *texts, given.get("uids", ()))
    return Staged(label, tuple(US + round(h * HOUR) for h in (begin, (begin + end) / 2, end)))


def test_an_alert_on_the_principal_in_time_is_true() -> None:
    """It says how long after the begin it came, and how many requests were through by then."""
    told = verdict(frame(finding(5)), frame(), incident(5.5, 9))
    assert (told.true, told.false) == (1, 0)
    assert (told.caught[0].delay_us, told.caught[0].accesses) == (HOUR // 2, 1)


def test_what_an_open_alert_takes_in_without_a_word_is_not_found() -> None:
    """The third finding makes an alert say nothing, the fourth does: then it is found, and no sooner."""
    before = [finding(1), finding(1.25)]
    silent = frame(*before, finding(2))
    told = verdict(silent, frame(), incident(2.5, 9))
    assert (told.true, told.false, told.caught[0].found) == (0, 1, False)
    spoken = verdict(frame(*before, finding(2), finding(3)), frame(), incident(2.5, 9))
    assert (spoken.true, spoken.caught[0].delay_us) == (1, 3 * HOUR // 2)


@pytest.mark.parametrize(
    ("row", "begin", "end"),
    [
        (finding(5, principal="approle/other"), 5, 6),
        (finding(5), 30, 31),
        (finding(60), 5, 6),
    ],
)
def test_an_alert_about_somebody_else_or_at_another_time_is_false(
    row: dict[str, Any], begin: float, end: float
) -> None:
    """Neither another principal nor another day makes it true."""
    told = verdict(frame(row), frame(), incident(begin, end))
    assert (told.true, told.false, told.caught[0].found) == (0, 1, False)


def test_what_the_quiet_twin_has_too_is_false() -> None:
    """Even on the right principal at the right time."""
    told = verdict(frame(finding(5)), frame(finding(5, score=0.8)), incident(5, 6))
    assert (told.true, told.false, told.quiet) == (0, 1, 1)


def test_a_request_as_evidence_or_a_secret_touched_tells_of_the_incident() -> None:
    """For alerts about nobody in particular: by the request ids of their evidence, or by a secret of the incident."""
    shared = {"principal": "anonymous"}
    by_uid = verdict(frame(finding(5, evidence=["ab"], **shared)), frame(), incident(5, 6, uids=("a-b",)))
    by_secret = verdict(frame(finding(5, secret="kv/x", **shared)), frame(), incident(5, 6, secrets=("kv/x",)))
    neither = verdict(frame(finding(5, secret="kv/y", **shared)), frame(), incident(5, 6, secrets=("kv/x",)))
    assert [one.true for one in (by_uid, by_secret, neither)] == [1, 1, 0]


def test_false_alerts_go_to_the_confuser_of_their_principal() -> None:
    """To the rarest one it took part in at that time."""
    both = tuple(
        Happening(name, US, US + 9 * HOUR, frozenset(["approle/ci"])) for name in ("deploy", "deploy", "reorg")
    )
    assert verdict(frame(finding(5)), frame(), happenings=both).by_confuser == {"reorg": 1}
    assert verdict(frame(finding(30)), frame(), happenings=both).by_confuser == {"none": 1}


def test_days_of_principals_go_to_what_happened_to_them() -> None:
    """Hour by hour, from the happening's begin to three hours after its end, to the rarest; the rest to none."""
    team, one = frozenset(["a", "b"]), frozenset(["a"])
    happened = (
        Happening("deploy", US, US + 3 * HOUR, team), Happening("deploy", US + 40 * HOUR, US + 41 * HOUR, team),
        Happening("dst", US + 24 * HOUR, US + 90 * HOUR, one),
    )  # fmt: skip
    days = touched(happened, US, US + 72 * HOUR, 10)
    assert days == {"dst": 48 / 24, "deploy": (2 * 7 + 5) / 24, "none": pytest.approx(30 - 2 - 19 / 24)}


def test_what_happened_before_the_test_days_touches_nobody() -> None:
    """And what has no test days at all has no principal-days."""
    gone = (Happening("deploy", US, US + HOUR, frozenset(["a"])),)
    assert touched(gone, US + 24 * HOUR, US + 48 * HOUR, 10) == {"none": 10.0}
    assert touched(gone, US, US, 10) == {"none": 0.0}


def test_the_roster_goes_round_over_the_seeds() -> None:
    """Each attack and difficulty comes equally often when the seeds are many."""
    plan = Plan(seeds=tuple(range(30)), attacks=("canary", "destroy:hard"), test_days=2, per_day=1)
    staged = [(a.name, a.difficulty) for nth in range(30) for a in plan.scenario(nth).attacks]
    counts = {pair: staged.count(pair) for pair in staged}
    assert counts == {("canary", "easy"): 15, ("canary", "medium"): 15, ("canary", "hard"): 15, ("destroy", "hard"): 15}


def test_younger_kinds_leave_the_published_draws_as_they_are() -> None:
    """The plan of docs/detection.json draws the incidents that it counts; those that are named come as well."""
    published = json.loads((Path(__file__).parents[3] / "docs" / "detection.json").read_text("utf-8"))
    plan = msgspec.convert(published["plan"], Plan)
    drawn = Counter((one.name, one.difficulty) for nth in range(len(plan.seeds)) for one in plan.scenario(nth).attacks)
    counted = {
        (kind["attack"], rung): count for kind in published["families"] for rung, (_, count) in kind["rungs"].items()
    }
    assert drawn == counted
    assert {one.name for one in Plan(attacks=YOUNGER).roster()} == set(YOUNGER)


@pytest.mark.parametrize(
    "given", [{"preset": "xxl"}, {"attacks": ("nope",)}, {"attacks": ("canary:mild",)}, {"seeds": ()}, {"test_days": 0}]
)
def test_a_plan_that_makes_no_sense_is_refused(given: dict[str, Any]) -> None:
    """Said at once, naming what there is."""
    with pytest.raises(ConfigError):
        Plan(**given)


def test_wilson_holds_known_values() -> None:
    """81 of 263 is Wilson's own kind of example: 0.2553 to 0.3662 (Newcombe 1998, table I)."""
    low, high = wilson(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 20)[0] == 0.0


def test_a_run_that_broke_off_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Its seeds are not measured again, a torn line is; another plan, configuration or place in the plan counts not."""
    plan = Plan(seeds=(7, 8, 9), attacks=("canary",))
    kept = Kept(plan, {}, tmp_path)
    kept.add(1, {"seed": 8})
    kept.add(0, {"seed": 7})
    with (tmp_path / "detection.partial.jsonl").open("ab") as file:
        file.write(b'{"of": "cut off')
    assert Kept(plan, {}, tmp_path).done() == {0: {"seed": 7}, 1: {"seed": 8}}
    assert Kept(msgspec.structs.replace(plan, seeds=(7, 9, 8)), {}, tmp_path).done() == {0: {"seed": 7}}
    assert Kept(msgspec.structs.replace(plan, test_days=3), {}, tmp_path).done() == {}
    assert Kept(plan, {"alerts": {"per_day": 3}}, tmp_path).done() == {}
    kept.clear()
    assert not list(tmp_path.iterdir())


def test_the_time_to_an_alert_is_told_by_what_spoke() -> None:
    """A rule before counts, counts before slow evidence; what is left is novelty. Whatever was missed has no time."""
    spoke = [("invariant", "rate"), ("denials", "pair_novelty"), ("pair_novelty", "slow_evidence"), ("dormancy",), None]
    caught = [
        None
        if names is None
        else {"seconds": 10 * i, "waited": i, "accesses": i, "alerts": 1, "detectors": list(names)}
        for i, names in enumerate(spoke, start=1)
    ]
    incidents = [{"attack": "canary", "difficulty": "easy", "one_line": None}] * len(caught)
    measured = [{"incidents": incidents, "methods": {"suite": {"5.0": {"caught": caught}}}}]
    told = [(row["by"], row["found"], row["seconds_p50"], row["waited_p95"]) for row in times(measured)]
    single = [("rules", 1, 10, 1), ("volume", 1, 20, 2), ("slow evidence", 1, 30, 3), ("novelty", 1, 40, 4)]
    assert told == [*single, ("all", 4, 20, 4)]


def test_spoiled_days_have_incidents_that_are_none_of_those_that_count() -> None:
    """To the share of the principals asked for, spread over the days; the rest of the plan stays as it was."""
    plan = Plan(seeds=(7,), learn_days=14, test_days=28)
    plain, spoiled = plan.scenario(0), msgspec.structs.replace(plan, spoiled=0.01).scenario(0)
    added = spoiled.attacks[len(plain.attacks) :]
    assert spoiled.attacks[: len(plain.attacks)] == plain.attacks
    assert len(added) == math.ceil(principals(plan.preset) / 100)
    assert all(0 < one.day < 14 for one in added)
    assert not {(one.name, one.difficulty) for one in added} & {(one.name, one.difficulty) for one in plain.attacks}


def test_what_is_lost_is_lost_in_both_twins() -> None:
    """About the share asked for, whatever the hour; an hour without attacks stays one frame."""
    plan = Plan(seeds=(7,), preset="xs", learn_days=1, test_days=1, per_day=60, attacks=("mass_read:easy",))
    told = sent = 0
    for whole, (plain, attacked) in zip(
        twins(lay(plan.scenario(0))), heard(lay(plan.scenario(0)), msgspec.structs.replace(plan, loss=0.2)), strict=True
    ):
        told, sent = told + len(plain), sent + len(whole[0])
        assert (attacked is plain) == (whole[1] is whole[0])
        assert set(plain["uid"]) <= set(attacked["uid"])
    assert told / sent == pytest.approx(0.8, abs=0.02)


def test_clocks_that_are_off_lose_nothing_and_keep_a_principal_to_one_clock() -> None:
    """Hours are cut by what the clocks show; every principal is off by one of five amounts, all of them in use."""
    plan = Plan(seeds=(7,), preset="xs", learn_days=1, test_days=1, per_day=60, attacks=("mass_read:easy",))
    true = pl.concat([attacked for _, attacked in twins(lay(plan.scenario(0)))])
    start_us = lay(plan.scenario(0)).world.scenario.start_ns // 1000
    skewed = msgspec.structs.replace(plan, skew_minutes=5)
    hours = list(heard(lay(plan.scenario(0)), skewed))
    assert len(hours) == plan.days * 24
    for hour, (plain, attacked) in enumerate(hours):
        assert set(plain["uid"]) <= set(attacked["uid"])
        at = attacked["complete_time"].to_physical()
        assert hour == len(hours) - 1 or (at < start_us + (hour + 1) * HOUR).all()
        assert hour == 0 or (at >= start_us + hour * HOUR).all()
        assert attacked["time"].is_sorted()
    told = pl.concat([attacked for _, attacked in hours])
    both = told.join(true.select("uid", was="time"), on="uid", how="inner")
    assert len(both) == len(told) == len(true)
    off = both.select("principal", off=(pl.col("time") - pl.col("was")).dt.total_minutes()).unique()
    assert off["off"].n_unique() == NODES
    assert off["off"].abs().max() == 5
    assert off["principal"].is_unique().all()
    assert hours[0][1] is hours[0][0]


@pytest.mark.parametrize("minutes", [-1, 31])
def test_clocks_are_off_by_half_an_hour_at_the_most(minutes: float) -> None:
    """Hours are cut with one hour in hand."""
    with pytest.raises(ConfigError, match="clocks off"):
        Plan(skew_minutes=minutes)


def test_a_loss_is_a_share() -> None:
    """Of all operations there must be some left."""
    with pytest.raises(ConfigError, match="share of operations"):
        Plan(loss=1.0)


def test_a_difficulty_may_be_asked_for_all() -> None:
    """Every attack comes at it alone; one that is none is refused, and so is none at all."""
    assert {one.difficulty for one in Plan(difficulties=("near",)).roster()} == {"near"}
    with pytest.raises(ConfigError, match="unknown difficulty 'nearly'"):
        Plan(difficulties=("easy", "nearly"))
    with pytest.raises(ConfigError, match="difficulties given"):
        Plan(difficulties=())


@pytest.mark.parametrize("share", [-0.01, 1.5])
def test_incidents_before_are_at_most_one_a_principal(share: float) -> None:
    """A share that is none is refused."""
    with pytest.raises(ConfigError, match="incidents before"):
        Plan(spoiled=share)
