"""The stories in sample_logs: what each says is in it, is found; what is ordinary wakes nobody."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from pipeline.core.schema import BROKEN_VERDICTS
from tests.lakes import SAMPLES, run, view

if TYPE_CHECKING:
    from pathlib import Path

STORIES = sorted(path.parent.relative_to(SAMPLES).as_posix() for path in SAMPLES.glob("*/*/expected.json"))


@pytest.fixture(scope="module", params=STORIES)
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """What a story expects, and the lake of a run over it."""
    folder = SAMPLES / request.param
    lake = tmp_path_factory.mktemp(folder.name) / "lake"
    run(lake, folder)
    return json.loads((folder / "expected.json").read_text("utf-8")), lake


def test_there_are_stories() -> None:
    """A quiet one, one with attacks, one with damage: the samples show each kind."""
    assert {"vault/quiet_days", "vault/torn_file", "clouds/one_address"} < set(STORIES)


def test_each_incident_is_found(story: tuple[dict[str, Any], Path]) -> None:
    """Of the detectors that ought to see an incident, one finds something of its principal or stream within an hour."""
    expected, lake = story
    findings = view(lake, "findings")
    for incident in expected["incidents"]:
        start, end = (dt.datetime.fromisoformat(incident[name][:26] + "+00:00") for name in ("from", "to"))
        near = pl.col("time").is_between(start - dt.timedelta(hours=1), end + dt.timedelta(hours=1))
        mine = findings.filter(near & pl.col("principal").fill_null("").is_in([incident["principal"], ""]))
        assert set(incident["detectors"]) & set(mine["detector"]), incident["attack"]


def test_what_speaks_against_the_record_is_m7(story: tuple[dict[str, Any], Path]) -> None:
    """By hour, every place of `integrity` once; its value counts those that break the record."""
    _, lake = story
    told, m7 = view(lake, "integrity").filter(pl.col("verdict") != "ok"), view(lake, "slis").filter(sli="M7")
    broken = told["verdict"].is_in(BROKEN_VERDICTS)
    assert (m7["total"].sum(), m7["value"].sum()) == (len(told), broken.sum())
    assert (m7["good"] + m7["value"]).to_list() == m7["total"].to_list()
    assert m7["met"].to_list() == (m7["value"] == 0).to_list()
    assert set(m7["window_start"]) == set(told["from_time"].dt.truncate("1h"))
    words = [word.rsplit(" ", 1) for row in m7["coverage"] for word in row.split(", ")]
    assert {verdict for verdict, _ in words} == set(told["verdict"])
    assert sum(int(count) for _, count in words) == len(told)


def test_integrity_is_as_told(story: tuple[dict[str, Any], Path]) -> None:
    """The verdicts are exactly those that the story names."""
    expected, lake = story
    assert set(view(lake, "integrity")["verdict"]) == set(expected["integrity"])


def test_every_line_is_accounted_for(story: tuple[dict[str, Any], Path]) -> None:
    """Each piece read is an event or rejected, once, or no more than the brackets of a document."""
    _, lake = story
    raw, events = view(lake, "raw"), view(lake, "events")
    other = raw.join(events, on="uid", how="anti")
    brackets = other.filter(
        pl.col("raw").cast(pl.String, strict=False).str.contains(r'^\s*(\{\s*"\w+"\s*:\s*\[|\]\s*\}?|\})\s*$')
    )
    assert len(raw) == len(events) + len(view(lake, "rejected")) + len(brackets)


def test_ordinary_stories_page_nobody(story: tuple[dict[str, Any], Path]) -> None:
    """Without an incident there is no alert on a principal that would wake somebody."""
    expected, lake = story
    if expected["incidents"]:
        pytest.skip("this story has incidents")
    pages = view(lake, "alerts").filter((pl.col("route") == "page") & (pl.col("principal") != ""))
    assert pages["title"].to_list() == []
