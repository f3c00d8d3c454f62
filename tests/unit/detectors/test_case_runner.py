"""The case runner: a case that does not hold is told in words."""

from __future__ import annotations

from dataclasses import replace

from pipeline.baselines import Baselines, Config
from pipeline.core.cases import compare, find_cases, make, play, run_cases
from pipeline.windows import count


def test_holding_cases_are_ok() -> None:
    """`run_cases` plays every file of a detector's folder."""
    results = run_cases("integrity", lambda: Baselines(Config()), count)
    assert [result.case.name for result in results] == ["fires_grown", "fires_verdicts", "quiet_whole"]
    assert all(result.ok for result in results)


def test_a_wrong_expectation_is_named() -> None:
    """What is missing and what is too much are both said, with their number."""
    case = find_cases("integrity")[0]
    wrong = replace(case, expect=[{"cause": "torn", "severity": "low", "count": 2}])
    found = play(wrong, make(wrong), Baselines(Config()), count)
    assert compare(wrong, found) == ("missing 2 x torn, low", "too much 1 x gap, high")


def test_what_is_not_said_is_named() -> None:
    """A finding has to say what its case quotes; of several alike one is enough."""
    case = next(case for case in find_cases("integrity") if case.expect)
    found = play(case, make(case), Baselines(Config()), count)
    one = {**case.expect[0], "says": [found["observed"][0], "no such words"]}
    assert compare(replace(case, expect=[one, *case.expect[1:]]), found) == ("not said: no such words",)


def test_rows_are_filled_in_as_told() -> None:
    """Repetition, numbering and spread over the hour; what is left out is a service's read."""
    case = next(case for case in find_cases("breadth") if case.name == "fires_mass_read")
    rows = case.stretches[-1].operations
    assert len(rows) == 65
    assert rows["secret"].n_unique() == 65
    assert (
        rows["time"].is_between(rows["time"][0].replace(minute=0), rows["time"][0].replace(minute=59, second=59)).all()
    )
    assert set(rows["store"]) == {"vault"}
    assert rows.filter(outcome="denied")["discloses_value"].any() is False
