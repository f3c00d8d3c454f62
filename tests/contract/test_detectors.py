"""What every detector promises, checked on every case of every folder in detectors/."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl
import pytest

from pipeline import looks
from pipeline.baselines import Baselines, Config
from pipeline.core import plugins
from pipeline.core.cases import Case, compare, find_cases, make, play
from pipeline.core.clock import HOUR_US
from pipeline.core.model import DetectorInfo, Window
from pipeline.core.ports import Stateful
from pipeline.core.schema import FINDING, INTEGRITY, OPERATION, SEVERITIES, SLI, WINDOW, empty
from pipeline.windows import count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.core.ports import Detector


KINDS = plugins.kinds("detectors")
CASES = [case for kind in KINDS for case in find_cases(kind)]
FAMILIES = {
    "invariant", "rate", "breadth", "pair", "slow", "source", "time", "denial", "enumeration", "auth", "token",
    "rotation", "sli", "silence", "leak", "sequence", "multivariate", "rules", "act", "name", "program",
}  # fmt: skip
TOKEN_LIKE = re.compile(r"\b(hv[sbr]|[sb])\.[A-Za-z0-9]{12,}|eyJ[A-Za-z0-9_-]{8}|AKIA[A-Z0-9]{16}|[0-9a-f]{40}")
LONG_HOURS = 40

each_kind = pytest.mark.parametrize("kind", KINDS)
CUT_CASES = [case for case in CASES if make(case).info.cadence != "window"]
WINDOW_CASES = [case for case in CASES if make(case).info.cadence == "window"]


def case_name(case: Case) -> str:
    return f"{case.kind}-{case.name}"


def lighter(case: Case) -> int:
    """How many cases of the same detector that fire, or that stay quiet, are as this one and shorter."""
    sizes = [(len(c.stretches), c.name) for c in CASES if (c.kind, bool(c.expect)) == (case.kind, bool(case.expect))]
    return sorted(sizes).index((len(case.stretches), case.name))


def again(cases: Sequence[Case]) -> pytest.MarkDecorator:
    """Cases played once more in another way: a long one that has lighter ones beside it only by `make chaos`."""

    def chosen(case: Case) -> Any:
        slow = len(case.stretches) > LONG_HOURS and lighter(case) >= 1
        return pytest.param(case, marks=pytest.mark.slow) if slow else case

    return pytest.mark.parametrize("case", [chosen(case) for case in cases], ids=case_name)


each_case = pytest.mark.parametrize("case", CASES, ids=case_name)


def found(case: Case, **how: Any) -> pl.DataFrame:
    return play(case, make(case), Baselines(Config()), count, **how)


@cache
def plain(kind: str, name: str) -> pl.DataFrame:
    """What a case finds when nothing is done to it."""
    return found(next(case for case in CASES if (case.kind, case.name) == (kind, name)))


def shuffled(rows: pl.DataFrame) -> Sequence[pl.DataFrame]:
    return [rows.sample(fraction=1.0, shuffle=True, seed=7)]


def in_pieces(size: int) -> Callable[[pl.DataFrame], Sequence[pl.DataFrame]]:
    return lambda rows: [rows[at : at + size] for at in range(0, max(len(rows), 1), size)]


def in_order(findings: pl.DataFrame) -> pl.DataFrame:
    return findings.sort("time", "uid")


def reborn(case: Case) -> Callable[[Detector], Detector]:
    """A new detector that goes on from the old one's snapshot: now and then, and at the end after every stretch."""
    turn = 0

    def renew(old: Detector) -> Detector:
        nonlocal turn
        turn += 1
        if turn % 16 and turn < len(case.stretches) - 3:
            return old
        new = make(case)
        if isinstance(old, Stateful):
            assert isinstance(new, Stateful)
            new.restore(old.snapshot())
        return new

    return renew


@each_kind
def test_folder_is_complete(kind: str) -> None:
    """A detector has a config with working defaults, an info that names it, and cases that fire and that stay quiet."""
    module = plugins.load("detectors", kind)
    detector = module.create(module.Config())
    assert isinstance(detector.info, DetectorInfo)
    assert detector.info.name == kind
    assert detector.info.family in FAMILIES
    assert detector.info.cadence in {"operation", "window", "sli"}
    assert detector.info.techniques
    assert detector.info.measures
    readme = (Path(str(module.__file__)).parent / "README.md").read_text("utf-8")
    assert all(part in readme for part in ("Purpose", "False positives", "Runbook", "ATT&CK"))
    assert all(measure in readme for measure in detector.info.measures)
    names = {case.name for case in CASES if case.kind == kind}
    assert any(name.startswith("fires") for name in names)
    assert any(name.startswith("quiet") for name in names)


@each_kind
def test_config_refuses_what_it_does_not_know(kind: str) -> None:
    """A misspelt setting is an error, never silence."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"no_such_setting": 1}, plugins.config_type("detectors", kind))


@each_kind
def test_it_goes_by_what_looks_count(kind: str) -> None:
    """A name that nothing is counted under would never ask it; and only windows are looked at."""
    info: DetectorInfo = plugins.load("detectors", kind).INFO
    assert set(info.early) <= set(looks.KINDS)
    assert info.cadence == "window" or not info.early


@each_case
def test_case_holds(case: Case) -> None:
    """A case finds what it says, and nothing else."""
    assert compare(case, plain(case.kind, case.name)) == ()


@each_case
def test_quiet_means_quiet(case: Case) -> None:
    """A case that is called quiet expects nothing; one that fires expects something."""
    assert bool(case.expect) != case.name.startswith("quiet")


@again(CASES)
def test_order_of_rows_does_not_matter(case: Case) -> None:
    """Shuffled rows give the same findings, field by field."""
    assert in_order(found(case, arrange=shuffled)).equals(in_order(plain(case.kind, case.name)))


@pytest.mark.parametrize("size", [pytest.param(1, marks=pytest.mark.slow), 7])
@again(CUT_CASES)
def test_cuts_do_not_matter(case: Case, size: int) -> None:
    """Rows that arrive in pieces give the same findings, field by field."""
    pieces = found(case, arrange=in_pieces(size)).unique("uid", keep="first", maintain_order=True)
    assert in_order(pieces).equals(in_order(plain(case.kind, case.name)))


@again(CASES)
def test_restart_changes_nothing(case: Case) -> None:
    """A detector restored from its snapshot, again and again, finds what the uninterrupted one finds."""
    assert found(case, renew=reborn(case)).equals(plain(case.kind, case.name))


@each_case
def test_every_explanation_is_complete(case: Case) -> None:
    """A finding says what happened, what was seen, what was expected and what to do, in bounds and in plain words."""
    findings = plain(case.kind, case.name)
    assert findings.schema == FINDING
    assert findings["uid"].is_unique().all()
    for row in findings.iter_rows(named=True):
        for name in ("title", "message", "observed", "expected", "next_step", "cause", "family", "detector"):
            assert row[name], name
        assert row["severity"] in SEVERITIES
        assert 0 <= row["score"] <= 1
        assert 0 <= row["confidence"] <= 1
        assert row["time"] is not None
        assert row["techniques"] is not None
        if row["family"] not in {"silence", "sli"}:
            assert row["evidence"]
        for name in ("title", "message", "observed", "expected", "next_step"):
            assert not TOKEN_LIKE.search(row[name]), name


@each_kind
@pytest.mark.parametrize("closed", [True, False])
def test_nothing_in_nothing_out(kind: str, *, closed: bool) -> None:
    """An empty window gives an empty frame of FINDING."""
    module = plugins.load("detectors", kind)
    detector = module.create(module.Config())
    schema = OPERATION if detector.info.cadence == "operation" else WINDOW
    window = Window(0, HOUR_US, empty(schema), empty(INTEGRITY), Baselines(Config()), closed, slis=empty(SLI))
    assert detector.inspect(window).equals(empty(FINDING))


@again(WINDOW_CASES)
def test_open_window_teaches_nothing(case: Case) -> None:
    """A window seen while it is open leaves the memory as it was, and its findings come again with the same uids."""
    detector = make(case)
    assert isinstance(detector, Stateful)
    profiles = Baselines(Config())
    looked_at = len(case.stretches) - 4
    for number, stretch in enumerate(case.stretches):
        end = stretch.start_us + HOUR_US
        rows = count(stretch.operations)
        whole = Window(stretch.start_us, end, rows, stretch.integrity, profiles, closed=True)
        early = empty(FINDING)
        if number >= looked_at:
            before = detector.snapshot()
            early = detector.inspect(replace(whole, closed=False))
            after = detector.snapshot()
            assert all(after[name].equals(frame) for name, frame in before.items())
        assert set(early["uid"]) <= set(detector.inspect(whole)["uid"])
        profiles.learn(whole)
