"""Each report: exact rows from a few made by hand, an empty lake, a stock DuckDB, and hostile names."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from detectors.invariant.rules import RULES
from pipeline import reports, tables
from pipeline.core.schema import BROKEN_VERDICTS
from pipeline.core.text import ACTING
from tests.command import keytrail
from tests.unit.reports.given import (
    CONTROLS,
    END,
    GIVEN,
    SECRETS,
    START,
    alert,
    at,
    finding,
    hour,
    op,
    refused,
    seen,
    verdict,
    view,
)  # fmt: skip
from tests.unit.reports.test_reports import HOSTILE, Page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.unit.reports.given import Rows

EXPECTED = Path(__file__).parent / "expected"
NAMES = reports.names()


def find(name: str, rows: Mapping[str, Rows]) -> reports.Made:
    """What a report finds in these rows."""
    sql = reports.load(name).between(START, END)
    with view(rows) as connection:
        found = connection.sql(sql).to_arrow_table()
    return reports.Made(sql, found.column_names, list(tables.records(found)), {"lake": "made by hand"}, {})


def write(name: str, made: reports.Made, out: Path) -> dict[str, str]:
    """The files of a report, by their endings."""
    paths = reports.write(reports.load(name), made, out)
    return {path.name.removeprefix(f"{name}."): path.read_bytes().decode() for path in paths}


def make(name: str, rows: Mapping[str, Rows], out: Path) -> dict[str, str]:
    """The files of a report over these rows."""
    return write(name, find(name, rows), out)


def ask(name: str, rows: Mapping[str, Rows], out: Path) -> list[dict[str, Any]]:
    """The rows of a report."""
    return list(json.loads(make(name, rows, out)["json"]))


@pytest.mark.parametrize("name", NAMES)
def test_exact_rows(tmp_path: Path, name: str) -> None:
    """What a report says of a few operations is exactly what was worked out by hand."""
    assert make(name, GIVEN[name], tmp_path)["csv"].splitlines() == (EXPECTED / f"{name}.csv").read_text().splitlines()


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_the_rows_below_does_not_matter(tmp_path: Path, name: str) -> None:
    """The same rows in another order make the same report."""
    turned = {view: rows[::-1] for view, rows in GIVEN[name].items()}
    assert make(name, turned, tmp_path)["csv"] == make(name, GIVEN[name], tmp_path)["csv"]


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_lake_is_said_in_words(tmp_path: Path, name: str) -> None:
    """Without any rows there is a page with a sentence; only controls are listed, and none is shown."""
    files = make(name, {}, tmp_path)
    rows = json.loads(files["json"])
    assert (rows == []) is (name != "controls")
    assert {row["shown"] for row in rows} <= {"not shown"}
    text = " ".join(Page(files["html"]).text.split())
    assert any(words in text for words in ("in this period", "of this period", "0 shown"))


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n != "access-review")) for n in NAMES])
def test_a_stock_duckdb_gives_the_same(tmp_path: Path, small_lake: Path, name: str) -> None:
    """A report's SQL, asked of the published catalogue by a DuckDB in another time zone, gives the report's rows."""
    assert keytrail("report", name, "--lake", small_lake, "--out", tmp_path).code == 0
    told = json.loads((tmp_path / f"{name}.manifest.json").read_text())
    with duckdb.connect(small_lake / "audit.duckdb", read_only=True) as stock:
        stock.execute("SET TimeZone = 'America/Lima'")
        found = stock.sql(told["sql"]).to_arrow_table()
    again = reports.Made(told["sql"], found.column_names, list(tables.records(found)), {}, {})
    reports.write(reports.load(name), again, tmp_path / "again")
    assert (tmp_path / "again" / f"{name}.csv").read_bytes() == (tmp_path / f"{name}.csv").read_bytes()


NAMED = {
    "principal", "secret", "namespace", "source", "client_ip", "error", "reason", "message", "suppression", "title",
    "api_operation",
}  # fmt: skip


def named(rows: Mapping[str, Rows], name: str) -> dict[str, Rows]:
    """The same rows, with `name` for every name that a log or a rule gives."""
    return {
        view: [{key: name if key in NAMED and value else value for key, value in row.items()} for row in kept]
        for view, kept in rows.items()
    }


def replaced(made: reports.Made, name: str) -> reports.Made:
    """What was found, with `name` in place of "plain"."""

    def changed(cell: Any) -> Any:
        parts = [changed(part) for part in cell] if isinstance(cell, list) else cell
        return cell.replace("plain", name) if isinstance(cell, str) else parts

    return replace(made, rows=[[changed(cell) for cell in row] for row in made.rows])


def check_inert(files: Mapping[str, str], plain: Page) -> None:
    """No element, attribute, formula, line or acting character comes from a name."""
    page = Page(files["html"])
    assert (page.elements, page.attributes) == (plain.elements, plain.attributes)
    assert not ACTING & set(map(ord, page.text.replace("\n", "")))
    cells = [cell for row in csv.reader(io.StringIO(files["csv"], newline="")) for cell in row]
    assert not {cell[:1] for cell in cells} & set("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
    assert not ACTING & set(map(ord, files["csv"].replace("\r\n", "")))
    assert files["json"].isascii()


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_do_nothing(tmp_path: Path, name: str) -> None:
    """Markup, formulas, line ends and reversed text from a log are text in the page and the CSV of each report."""
    found = find(name, named(GIVEN[name], "plain"))
    plain = Page(write(name, found, tmp_path)["html"])
    check_inert(make(name, named(GIVEN[name], "".join(HOSTILE)), tmp_path), plain)
    for text in HOSTILE:
        check_inert(write(name, replaced(found, text), tmp_path), plain)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"access-review", "controls", "integrity-statement"}))
def test_long_lists_are_cut_in_the_page_alone(tmp_path: Path, name: str) -> None:
    """A page of very many rows says how many it leaves out; CSV and JSON have them all."""
    many = 1_000
    made: dict[str, Rows] = {
        "operations": [refused(at(1), f"approle/{n}", "", path="sys/seal", operation="seal") for n in range(many)],
        "alerts": [alert(f"a{n:04}", "Far more", []) for n in range(many)],
    }
    if name in ("secret-inventory", "rotation"):
        made = {"operations": [op(at(1), "approle/a", f"kv/{n}") for n in range(many)]}
    files = make(name, made, tmp_path)
    assert len(json.loads(files["json"])) == len(files["csv"].splitlines()) - 1 == many
    assert f"of 1,000 rows are shown. {name}.csv and {name}.json have all of them." in files["html"]
    assert files["html"].count("<tr") < many


def by(rows: list[dict[str, Any]], key: str, value: str) -> dict[str, Any]:
    """The one row that has it."""
    (row,) = (row for row in rows if row[key] == value)
    return row


def test_the_inventory_is_as_of_the_end(tmp_path: Path) -> None:
    """What happens at the end of the period or later is not known to the inventory."""
    before = ask("secret-inventory", {"operations": SECRETS}, tmp_path)
    later = [op(END, "approle/new", row["secret"], "write", secret_version=99) for row in before]
    assert ask("secret-inventory", {"operations": [*SECRETS, *later]}, tmp_path) == before


@pytest.mark.parametrize(
    ("days", "status"),
    [
        ((-9, -6, -3, 0, 3, 6, 9, 12), "in time"),
        ((-12, -9, -6, -3, 0, 3, 6, 9, 11), "due"),
        ((-12, -9, -6, -3, 0, 3, 6, 9), "overdue"),
        ((-12, -1), "irregular"),
        ((1, 2, 3, 14), "irregular"),
        ((-60, -20, -19, 2, 3, 4, 5, 14), "irregular"),
    ],
)
def test_a_rhythm_tells_what_is_due(tmp_path: Path, days: tuple[int, ...], status: str) -> None:
    """Due after the usual interval, overdue after one and a half of it, and neither where there is no usual one."""
    made = [op(at(day), "approle/bot", "kv/a", "rotate") for day in days]
    assert [row["status"] for row in ask("rotation", {"operations": made}, tmp_path)] == [status]


def test_a_rotation_of_two_requests_is_one(tmp_path: Path) -> None:
    """A new version that is written right after a rotation does not make an interval of its own."""
    days = (-10, -6, -2, 2, 6)
    pairs = ((day, n, word) for day in days for n, word in enumerate(("rotate", "write")))
    made = [op(at(day, 1, n), "approle/bot", "kv/a", word) for day, n, word in pairs]
    (row,) = ask("rotation", {"operations": made}, tmp_path)
    assert (row["usual_days"], row["changes"], row["rotations"], row["new_versions"]) == (4.0, 10, 2, 2)


def test_titles_that_privileged_use_looks_for_exist() -> None:
    """Every title in the SQL is that of a rule."""
    sql = reports.load("privileged-use").sql
    looked_for = {line.split("'")[1] for line in sql.splitlines() if line.startswith("        ('")}
    assert "Orphan token issued" in looked_for
    assert looked_for <= {rule.title for rule in RULES}


def test_broken_verdicts_are_those_of_the_schema(tmp_path: Path) -> None:
    """Each verdict that breaks the record is an exception in the statement and in the controls, and no other is."""
    broken = [verdict(f"{word}.log", word, None, at(1), at(1)) for word in sorted(BROKEN_VERDICTS)]
    others = [verdict("z.log", word, None, at(1), at(1)) for word in ("device_change", "late", "redacted", "in_clear")]
    rows = ask("integrity-statement", {"integrity": [*broken, *others]}, tmp_path)
    assert {row["source"].removesuffix(".log") for row in rows if row["exceptions"]} == BROKEN_VERDICTS
    controls = ask("controls", {"integrity": [*broken, *others]}, tmp_path)
    assert f"Exceptions of integrity: {len(broken)};" in by(controls, "control", "10.3.4")["shows"]


@pytest.mark.parametrize(
    ("grades", "conclusion"),
    [
        (("proven", "proven"), "whole, proven"),
        (("proven", "bounded"), "whole, as far as compared"),
        (("proven", "unknown"), "no loss shown, completeness unknown"),
        (("proven", "violated"), "loss shown"),
    ],
)
def test_a_day_is_as_whole_as_its_worst_hour(tmp_path: Path, grades: tuple[str, ...], conclusion: str) -> None:
    """One hour that is less than proven makes the day less than proven."""
    made = [hour("a.log", at(1, n), grade) for n, grade in enumerate(grades)]
    assert [row["conclusion"] for row in ask("integrity-statement", {"coverage": made}, tmp_path)] == [conclusion]


def shown(rows: Mapping[str, Rows], control: str, out: Path) -> str:
    """What a control is said to be."""
    return str(by(ask("controls", rows, out), "control", control)["shown"])


def test_looks_into_a_cache_are_no_operations_to_controls() -> None:
    """The log of a cache says nothing of access to the store, and makes no control better or worse."""
    look = op(at(3, 2), "anonymous", "", "other", store="vault_agent", api_operation="cache_hit", path="kv/data/a")
    more = {**CONTROLS, "operations": [*CONTROLS["operations"], look]}
    assert find("controls", more).rows == find("controls", CONTROLS).rows


def test_controls_claim_no_more_than_there_is(tmp_path: Path) -> None:
    """One operation of nobody known, one week without entries, or one loss, and the control is shown in part only."""
    weeks = [op(at(14 - 7 * n), "approle/app", "kv/a") for n in range(52)]
    assert shown({"operations": weeks}, "AU-3", tmp_path) == "shown"
    assert shown({"operations": [*weeks, op(at(1, 1), "anonymous", "kv/a")]}, "AU-3", tmp_path) == "partly shown"
    assert shown({"events": seen(weeks)}, "10.5.1", tmp_path) == "shown"
    assert shown({"events": seen(weeks[:30] + weeks[31:])}, "10.5.1", tmp_path) == "partly shown"
    assert shown({"events": seen(weeks[1:])}, "10.5.1", tmp_path) == "not shown"
    whole = {"operations": weeks, "events": seen(weeks), "coverage": [hour("a.log", at(1), "bounded")]}
    assert shown(whole, "AU-12", tmp_path) == "shown"
    assert shown(whole | {"coverage": [hour("a.log", at(1), "unknown")]}, "AU-12", tmp_path) == "partly shown"
    assert shown(whole | {"rejected": [{"source": "a.log", "reason": "torn"}]}, "AU-12", tmp_path) == "partly shown"
    assert shown(whole, "AU-9", tmp_path) == "partly shown"
    altered = {"integrity": [verdict("a.log", "altered", None, at(1), at(1))]}
    assert [shown(whole | altered, control, tmp_path) for control in ("AU-9", "AU-12", "10.3.4")] == [
        "not shown", "partly shown", "not shown",
    ]  # fmt: skip


def test_only_what_logs_can_show_is_ever_shown(tmp_path: Path) -> None:
    """Whatever the lake has, controls that ask for decisions, reviews or people are never wholly shown."""
    weeks = [op(at(14 - 7 * n), "approle/app", "kv/a") for n in range(52)]
    perfect = {
        **CONTROLS,
        "operations": weeks, "events": seen(weeks), "coverage": [hour("a.log", at(1), "proven")],
        "integrity": [], "rejected": [],
    }  # fmt: skip
    rows = ask("controls", perfect, tmp_path)
    assert {row["control"] for row in rows if row["shown"] == "shown"} == {"10.2.2", "10.5.1", "AU-3", "AU-12"}
    assert all(row["not_in_these_logs"] for row in rows)


def test_evidence_of_another_device_counts(tmp_path: Path) -> None:
    """An alert whose evidence is the other device's entry of a request told of that request."""
    rows = ask("privileged-use", GIVEN["privileged-use"], tmp_path)
    (row,) = (row for row in rows if row["path"] == "auth/token/create")
    assert (row["what"], row["times"], row["alerts"]) == ("token beyond its maker", 1, ["a-orphan"])


def test_findings_without_evidence_do_no_harm(tmp_path: Path) -> None:
    """Neither an alert whose findings have expired nor a finding of nothing makes or breaks a row."""
    made = {"alerts": [alert("a", "Far more", ["gone"])], "findings": [finding("f", "rate", "Far more", [])]}
    assert [row["evidence"] for row in ask("incidents", made, tmp_path)] == [0]
    assert ask("privileged-use", made, tmp_path) == []
