"""Reports: what is written, that it can be derived again, and that no name in it acts."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import html.parser
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import reports
from pipeline.core.text import ACTING
from pipeline.ledger import checkpoint, note
from tests.command import keytrail

START, END = dt.datetime(2026, 3, 1, tzinfo=dt.UTC), dt.datetime(2026, 3, 8, tzinfo=dt.UTC)
COLUMNS = (
    "principal", "principal_type", "store", "namespace", "secret", "reads", "writes", "deletes", "other", "denied",
    "addresses", "first_access", "last_access", "never_granted",
)  # fmt: skip


@pytest.fixture
def written(small_lake: Path, tmp_path: Path) -> dict[str, Path]:
    """The files of an access review, by what follows the report's name."""
    done = keytrail("report", "access-review", "--lake", small_lake, "--out", tmp_path / "out")
    assert done.code == 0
    paths = map(Path, done.stdout.splitlines())
    return {path.name.removeprefix("access-review."): path for path in paths}


def manifest(written: dict[str, Path]) -> dict[str, Any]:
    """What the manifest holds."""
    return dict(json.loads(written["manifest.json"].read_text()))


def test_list_names_every_report() -> None:
    """Each folder is a report with a title; a name that is none is refused with those there are."""
    rows = keytrail("report", "list", "--format", "json").rows
    assert [row["name"] for row in rows] == list(reports.names())
    assert all(row["title"] and row["about"] for row in rows)
    done = keytrail("report", "acess-review")
    assert (done.code, "access-review" in done.error) == (2, True)


def test_the_formats_agree(written: dict[str, Path]) -> None:
    """CSV, JSON and page have the same rows; the files are private."""
    table = list(csv.DictReader(io.StringIO(written["csv"].read_text())))
    objects = json.loads(written["json"].read_text())
    assert tuple(objects[0]) == tuple(table[0]) == COLUMNS
    assert [row["secret"] for row in table] == [row["secret"] for row in objects]
    assert written["html"].read_text().count("<tr") - 1 == len(objects) == manifest(written)["rows"] > 0
    assert [path.stat().st_mode & 0o777 for path in written.values()] == [0o600] * 4


def test_it_can_be_derived_again(written: dict[str, Path], small_lake: Path) -> None:
    """The manifest's SQL, asked of the lake at the head it names, gives the rows; its sums are those of the files."""
    told = manifest(written)
    head = checkpoint.parse(note.parse((small_lake / "ledger" / "checkpoint").read_bytes()).text)
    assert told["ledger"] == [{"origin": head.origin, "size": head.size, "root": head.root.hex()}]
    rows = keytrail("query", "-", "--lake", small_lake, "--format", "json", stdin=told["sql"]).rows
    kept = json.loads(written["json"].read_text())
    assert [row["reads"] for row in rows] == [row["reads"] for row in kept]
    assert [row["last_access"][:19] for row in rows] == [row["last_access"][:19] for row in kept]
    for name, total in told["sha256"].items():
        assert hashlib.sha256(written[name.removeprefix("access-review.")].read_bytes()).hexdigest() == total


def test_the_page_tells_its_sql_and_ledger(written: dict[str, Path]) -> None:
    """A reader of the page alone knows the period, the ledger's size and root, and the SQL."""
    page, told = written["html"].read_text(), manifest(written)
    assert told["ledger"][0]["root"] in page
    assert f"{told['ledger'][0]['size']:,} leaves" in page
    assert told["from"] in page
    assert "GROUP BY principal" in page


@pytest.mark.parametrize(
    ("span", "some"),
    [
        (("--from", "2026-03-02T02:00:00Z"), True),
        (("--to", "2026-03-02T01:00:00+01:00"), False),
        (("--from", "2026-03-02", "--to", "2026-03-02T00:05:00"), True),
        (("--from", "30d", "--to", "1d"), False),
        (("--from", "2030-01-01T00:00:00Z"), False),
    ],
)
def test_a_period_bounds_the_rows(small_lake: Path, tmp_path: Path, span: tuple[str, ...], some: bool) -> None:
    """Times and spans bound what is told, the end excluded; a period without entries is a report of none."""
    done = keytrail("report", "access-review", "--lake", small_lake, "--out", tmp_path, *span)
    assert done.code == 0
    told = json.loads((tmp_path / "access-review.manifest.json").read_text())
    rows = json.loads((tmp_path / "access-review.json").read_text())
    assert bool(rows) is some
    assert told["from"] <= told["to"]
    assert all(
        told["from"][:19] <= row["first_access"][:19] <= row["last_access"][:19] <= told["to"][:19] for row in rows
    )
    assert some or "Nobody reached a secret" in (tmp_path / "access-review.html").read_text()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--from", "yesterday"], 2, "--from"),
        (["--to", "soon"], 2, "--to"),
        (["--from", "2026-03-03", "--to", "2026-03-02"], 2, "before"),
        (["--from", "999999999999d"], 2, "--from"),
        (["--from", "0001-01-01T00:00:00+14:00"], 2, "--from"),
        (["--to", "9999-12-31T23:59:59-14:00"], 2, "--to"),
        (["--out", "/proc/no/such"], 2, "--out"),
        (["--lake", "/nowhere"], 3, "no lake"),
    ],
)
def test_what_cannot_be_made_is_refused(
    small_lake: Path, tmp_path: Path, words: list[str], code: int, told: str
) -> None:
    """Times, folders and lakes that cannot be used are named."""
    done = keytrail("report", "access-review", "--lake", small_lake, "--out", tmp_path, *words)
    assert done.code == code
    assert told in done.error


class Page(html.parser.HTMLParser):
    """Elements and attributes of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember what was opened."""
        self.elements.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        """Remember what is shown."""
        self.text += data


def render(tmp_path: Path, name: str) -> dict[str, str]:
    """The files of a report of one row in which principal, secret and namespace are `name`."""
    report = reports.load("access-review")
    row = (name, "service", "vault", name, name, 1, 0, 0, 0, 0, 1, START, END, False)
    made = reports.Made(report.between(START, END), COLUMNS, [row], {"lake": name}, {"lake": name})
    return {path.name: path.read_bytes().decode() for path in reports.write(report, made, tmp_path)}


HOSTILE = (
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "</style><svg/onload=alert(1)>", "{{ 7 * 7 }}",
    "=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "\uff1d1", "a\r\nb,c", 'a"b',
    "a\u202eb\u2066c", "\x1b[2J", "a\x00b",
)  # fmt: skip


def check_inert(files: dict[str, str], name: str, plain: Page) -> None:
    """No element, attribute, formula, line or acting character comes from the name."""
    page = Page(files["access-review.html"])
    assert page.elements == plain.elements
    assert page.attributes == plain.attributes
    assert not ACTING & set(map(ord, page.text.replace("\n", "")))
    rows = list(csv.reader(io.StringIO(files["access-review.csv"], newline="")))
    assert len(rows) == 2
    assert rows[1][0][:1] not in set("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
    assert not ACTING & set(map(ord, files["access-review.csv"].replace("\r\n", "")))
    assert json.loads(files["access-review.json"])[0]["principal"] == name
    assert json.loads(files["access-review.manifest.json"])["lake"] == name
    assert files["access-review.json"].isascii()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of a name that nothing is wrong with."""
    return Page(render(tmp_path_factory.mktemp("plain"), "approle/plain")["access-review.html"])


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_inert(tmp_path: Path, plain: Page, name: str) -> None:
    """Markup, formulas, line ends and reversed text in a name are text; JSON keeps the name as it was."""
    check_inert(render(tmp_path, name), name, plain)


@given(name=st.text(min_size=1, max_size=40))
def test_any_name_is_inert(tmp_path_factory: pytest.TempPathFactory, plain: Page, name: str) -> None:
    """Whatever stands in a log, a report shows it and does nothing."""
    check_inert(render(tmp_path_factory.mktemp("any"), name), name, plain)


def test_names_of_reports_are_no_paths() -> None:
    """A report is looked up among those there are, never opened by its name."""
    for name in ("../access-review", "access_review", "/etc/passwd", ""):
        assert keytrail("report", name).code == 2
