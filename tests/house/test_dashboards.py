"""Dashboards and rules: made from their modules, about metrics that a run exports, and explained to their readers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from pipeline import config as conf
from pipeline.app import RunOptions
from pipeline.core.model import Heard
from pipeline.core.schema import BROKEN_VERDICTS
from pipeline.dashboards import BOARDS, dashboard
from pipeline.job import Run
from tests.dashboards import FOLDER, expressions, files, rules
from tests.house.documents import ROOT
from tests.house.test_readme import same_or_written
from tests.lakes import SAMPLES

SCRAPED = {"instance", "job", "le"}  # labels that Prometheus or a histogram gives


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The samples that a run over Vault and clouds with a sink exports, each with its labels."""
    folder = tmp_path_factory.mktemp("exported")
    stories = (SAMPLES / "vault" / "torn_file", SAMPLES / "clouds" / "one_address" / "kube-audit.log")
    options = RunOptions(tuple(map(str, stories)), folder / "lake", signing_key=str(folder / "signing.key"))
    tables = {"sinks": {"file": {"kind": "ocsf_jsonl", "path": str(folder / "alerts.jsonl")}}}
    run = Run(options, conf.Settings(None, tables))
    run.execute()
    run._app.metrics.listening({"tcp://127.0.0.1:9514": Heard(1, 1, 0, 9, 0, 9, full=False)})
    found: dict[str, set[str]] = {}
    for family in run._app.metrics.registry.collect():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_a_dashboard_is_made_from_its_module(board: Any) -> None:
    """The JSON that Grafana imports is what the module says."""
    same_or_written(FOLDER / f"{board.name}.json", json.dumps(dashboard(board), indent=1) + "\n")


def test_there_is_one_for_each_audience() -> None:
    """As many files as modules, under names and uids of their own."""
    assert {path.stem for path in files()} == {board.name for board in BOARDS} == {"executive", "oncall", "debug"}
    assert len({told(path)["uid"] for path in files()}) == len(BOARDS)


def told(path: Path) -> Any:
    """A dashboard's file."""
    return json.loads(path.read_text("utf-8"))


def panels(path: Path) -> list[dict[str, Any]]:
    """The panels that show something."""
    return [panel for panel in told(path)["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_every_panel_says_what_it_shows(path: Path) -> None:
    """A unit, a description, queries to the data source that the reader chose, and names for what they find."""
    for panel in panels(path):
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["description"].endswith((".", "…")), panel["title"]
        assert panel["targets"], panel["title"]
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        legends = [target["legendFormat"] for target in panel["targets"]]
        assert len(set(legends)) == len(legends), panel["title"]
    variables = {one["name"]: one["type"] for one in told(path)["templating"]["list"]}
    assert variables == {"datasource": "datasource", "instance": "query", "store": "query"}


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_panels_do_not_lie_on_each_other(path: Path) -> None:
    """Every panel and row has an id and a place of its own within 24 columns."""
    placed = told(path)["panels"]
    assert len({panel["id"] for panel in placed}) == len(placed)
    places = [panel["gridPos"] for panel in placed]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for a, b in combinations(places, 2):
        apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert apart or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric of an expression with the labels it is chosen by."""
    for name, chosen in re.findall(r"\b((?:keytrail|process)_\w+)(?:\{([^}]*)\})?", expression):
        yield name, set(re.findall(r"(\w+)\s*(?:=~|!=|=)", chosen))


def groupings(expression: str) -> set[str]:
    """The labels that an expression keeps or joins by."""
    return {name.strip() for part in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression) for name in part.split(",")}


def test_expressions_ask_for_what_is_exported(exported: dict[str, set[str]]) -> None:
    """Every metric and label of dashboards, variables and rules is one that a run has."""
    asked = expressions()
    assert len(asked) > 60
    for where, expression in asked:
        plain = re.sub(r"\bsli_store:\w+:\w+", "", expression)
        there = set(SCRAPED)
        for name, labels in selectors(plain):
            assert name in exported, f"{where}: {name}"
            there |= exported[name]
            assert labels <= exported[name] | SCRAPED, f"{where}: {expression}"
        known = there | ({"sli", "store"} if "sli_store:" in expression else set())
        assert groupings(expression) <= known, f"{where}: {expression}"


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_legends_name_labels_that_are_there(path: Path, exported: dict[str, set[str]]) -> None:
    """A series' name is made of labels that its expression keeps."""
    for panel in panels(path):
        for target in panel["targets"]:
            kept = groupings(target["expr"]) | {"le"}
            if " by (" not in target["expr"]:
                kept |= SCRAPED.union(*(exported[name] for name, _ in selectors(target["expr"])))
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept, panel["title"]


def test_every_metric_is_shown(exported: dict[str, set[str]]) -> None:
    """Whatever keytrail exports is on a dashboard; of histograms, the buckets."""
    shown = {
        name for path in files() for panel in panels(path) for t in panel["targets"] for name, _ in selectors(t["expr"])
    }
    own = {name for name in exported if name.startswith("keytrail_") and not name.endswith("_created")}
    sums = {name for name in own if name.endswith(("_sum", "_count"))}
    assert own - sums == {name for name in shown if name.startswith("keytrail_")}


def test_rules_know_every_breaking_verdict_and_their_own_records() -> None:
    """The verdicts that page are those that break integrity; every record that is used is recorded."""
    all_rules = [rule for group in rules()["groups"] for rule in group["rules"]]
    (broken,) = [rule["expr"] for rule in all_rules if rule.get("alert") == "KeytrailRecordBroken"]
    assert set(re.findall(r'verdict=~"([^"]*)"', broken)[0].split("|")) == BROKEN_VERDICTS
    recorded = {rule["record"] for rule in all_rules if "record" in rule}
    used = {name for rule in all_rules for name in re.findall(r"\bsli_store:\w+:\w+", rule["expr"])}
    assert used == recorded


def test_every_alert_of_the_rules_is_explained_and_tested() -> None:
    """Summary, description, route; a firing and a quiet case; a line in README.md."""
    cases = (FOLDER / "rules_test.yml").read_text("utf-8")
    page = (FOLDER / "README.md").read_text("utf-8")
    for rule in (rule for group in rules()["groups"] for rule in group["rules"] if "alert" in rule):
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert cases.count(f"alertname: {rule['alert']}") >= 2, rule["alert"]
        assert f"`{rule['alert']}`" in page


def test_the_files_are_where_the_documents_say() -> None:
    """README.md of the project leads to them."""
    assert "(pipeline/dashboards/README.md)" in (ROOT / "README.md").read_text("utf-8")
