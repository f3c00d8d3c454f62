"""`keytrail query`: every view's columns, every type in every format, and nothing in a cell that acts."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from tests.command import keytrail

# The stable surface: these columns, in this order; others may follow.
VIEWS = {
    "events": "uid time store cluster source position format phase operation discloses_value api_operation principal"
    " principal_type session client_ip user_agent namespace mount secret secret_version outcome error correlation_uid"
    " leaf_index",
    "slis": "sli store scope window_start window_seconds good total value objective met estimate coverage",
    "baselines": "scope key first_seen last_seen operations days_active rate_per_hour hours_of_week distinct_secrets"
    " distinct_ips",
    "findings": "uid time detector detector_version severity confidence score principal secret store client_ip title"
    " message observed expected techniques evidence",
    "alerts": "uid state first_time last_time severity route title message detectors principal secret store count"
    " suppression finding_uids",
    "integrity": "source verdict from_position to_position from_time to_time count evidence",
    "coverage": "source store hour completeness evidence_kind missing_operations note",
    "rejected": "source position time stage reason size sample",
    "inventory": "secret store owner consumers first_seen last_read last_write last_rotation versions readers_90d stale"
    " never_read over_shared",
    "leaks": "source position time rule preview keyed_hash secret",
    "raw": "uid source position leaf_index raw redacted",
}
# columns that are last, whatever was added before them
LAST = {"events": "path", "operations": "path", "integrity": "cause", "raw": "leaf"}
PAIR = (
    "uid time latency_ms request_leaf response_leaf paired devices principal secret outcome operation namespace mount"
)


@pytest.mark.parametrize("view", sorted(VIEWS))
def test_views_keep_their_columns(small_lake: Path, view: str) -> None:
    """Every view exists, even empty, and begins with the columns that users rely on."""
    header = (
        keytrail("query", f"FROM {view} LIMIT 0", "--lake", small_lake, "--format", "csv").stdout.strip().split(",")
    )
    wanted = VIEWS[view].split()
    assert header[: len(wanted)] == wanted
    if view in LAST:
        assert LAST[view] in header


def test_operations_have_what_a_pair_has(small_lake: Path) -> None:
    """The view of pairs has its own columns besides those of events."""
    header = keytrail("query", "FROM operations LIMIT 0", "--lake", small_lake, "--format", "csv").stdout
    assert set(PAIR.split()) <= set(header.strip().split(","))


def test_json_is_one_object_a_line_with_the_views_names(small_lake: Path) -> None:
    """As many lines as rows, each an object whose keys are the columns in order."""
    done = keytrail("query", "FROM operations ORDER BY time", "--lake", small_lake, "--format", "json")
    header = keytrail("query", "FROM operations LIMIT 0", "--lake", small_lake, "--format", "csv").stdout.strip()
    assert len(done.rows) == 45
    assert {tuple(row) for row in done.rows} == {tuple(header.split(","))}
    assert done.rows[0]["time"].endswith("Z")
    assert done.stderr == ""


TYPES = [
    ("TIMESTAMPTZ '2026-03-02 01:02:03.5+02'", "2026-03-01T23:02:03.500000Z"),
    ("TIMESTAMP '2026-03-02 01:02:03'", "2026-03-02T01:02:03.000000Z"),
    ("'2026-03-02 01:02:03.123456789'::TIMESTAMP_NS", "2026-03-02T01:02:03.123456Z"),
    ("DATE '2026-03-02'", "2026-03-02"),
    ("TIMESTAMP '20000-01-01'", "20000-01-01T00:00:00.000000Z"),
    ("TIMESTAMP '290000-01-02 03:04:05.6'", "290000-01-02T03:04:05.600000Z"),
    ("TIMESTAMP_S '100000-02-29'", "100000-02-29T00:00:00Z"),
    ("DATE '5000000-12-31'", "5000000-12-31"),
    ("DATE '0044-03-15 (BC)'", "-0043-03-15"),
    ("DATE '290000-03-15 (BC)'", "-289999-03-15"),
    ("'infinity'::TIMESTAMPTZ", "infinity"),
    ("'-infinity'::DATE", "-infinity"),
    ("[{'a': DATE '10000-01-01', 'b': DATE '2026-03-02'}, NULL]", [{"a": "10000-01-01", "b": "2026-03-02"}, None]),
    ("MAP {'k': DATE '10000-01-01'}", [["k", "10000-01-01"]]),
    ("INTERVAL '1 month 2 days 3 seconds'", "P1M2DT3S"),
    ("'\\x00\\xFF'::BLOB", "00ff"),
    ("[now()::DATE - now()::DATE, NULL]", [0, None]),
    ("{'a': [1.5, 2], 'b': NULL}", {"a": [1.5, 2], "b": None}),
    ("MAP {'k': 'v'}", [["k", "v"]]),
    ("sum(1)", 1),
    ("170141183460469231731687303715884105727::HUGEINT", 2**127 - 1),
    ("1.25::DECIMAL(9,2)", 1.25),
    ("'nan'::DOUBLE", None),
    ("'-inf'::DOUBLE", None),
    ("true", True),
    ("NULL", None),
    ("'é漢😀'", "é漢😀"),
]


@pytest.mark.parametrize(("sql", "expected"), TYPES)
def test_json_has_every_type(small_lake: Path, sql: str, expected: object) -> None:
    """Times RFC 3339 in UTC, however far off, bytes hexadecimal, wide sums whole, no number unknown to JSON."""
    assert keytrail("query", f"SELECT {sql} AS it", "--lake", small_lake, "--format", "json").rows == [{"it": expected}]


@pytest.mark.parametrize("style", ["table", "csv"])
@pytest.mark.parametrize(("sql", "_json"), TYPES)
def test_other_formats_take_every_type(small_lake: Path, sql: str, _json: object, style: str) -> None:
    """A heading and one row, whatever the type."""
    done = keytrail("query", f"SELECT {sql} AS it", "--lake", small_lake, "--format", style)
    assert done.code == 0
    assert len(done.stdout.splitlines()) == 2


def test_columns_of_one_name_stay_apart(small_lake: Path) -> None:
    """A second column of the same name gets a number in an object; CSV and tables repeat the name."""
    ask = ("query", "SELECT 1 AS a, 2 AS a, 3 AS a_2", "--lake", small_lake)
    assert keytrail(*ask, "--format", "json").rows == [{"a": 1, "a_2": 2, "a_2_2": 3}]
    assert keytrail(*ask, "--format", "csv").stdout == "a,a,a_2\n1,2,3\n"


HOSTILE = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", " =1", "\r=1", "\uff1d1", "=cmd|' /C calc'!A0"]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_cell_is_a_formula(small_lake: Path, text: str) -> None:
    """In CSV a text that a spreadsheet would compute begins with an apostrophe; JSON keeps it as it is."""
    sql = "SELECT '" + text.replace("'", "''") + "' AS it"
    table = keytrail("query", sql, "--lake", small_lake, "--format", "csv").stdout
    (cell,) = list(csv.reader(io.StringIO(table)))[1]
    assert cell.startswith("'")
    assert keytrail("query", sql, "--lake", small_lake, "--format", "json").rows == [{"it": text}]


def test_numbers_are_no_formulas(small_lake: Path) -> None:
    """A negative number stays a number."""
    assert keytrail("query", "SELECT -1.5 AS it", "--lake", small_lake, "--format", "csv").stdout == "it\n-1.5\n"


@pytest.mark.parametrize("style", ["table", "csv", "json"])
def test_nothing_acts_on_the_terminal(small_lake: Path, style: str) -> None:
    """Escape sequences, line ends and reversed text in a cell reach nobody's terminal."""
    sql = "SELECT 'a' || chr(27) || '[2J' || chr(155) || chr(8238) || chr(10) || chr(13) || 'b' AS it"
    done = keytrail("query", sql, "--lake", small_lake, "--format", style)
    assert not set("\x1b\x9b\u202e\r") & set(done.stdout)
    assert len(done.stdout.splitlines()) == (1 if style == "json" else 2)
    if style == "json":
        assert done.rows == [{"it": "a\x1b[2J\x9b\u202e\n\rb"}]


def test_tables_align(small_lake: Path) -> None:
    """Texts to the left, numbers to the right, wide characters counted as two."""
    sql = "SELECT * FROM (VALUES ('漢', 1), ('abc', 1000)) AS t(name, n)"
    done = keytrail("query", sql, "--lake", small_lake)
    assert done.stdout == "name     n\n漢       1\nabc   1000\n"


def test_no_rows_leave_the_heading(small_lake: Path) -> None:
    """An empty result is a heading; in JSON it is nothing."""
    ask = ("query", "SELECT uid FROM events WHERE false", "--lake", small_lake)
    assert [keytrail(*ask, "--format", f).stdout for f in ("table", "csv", "json")] == ["uid\n", "uid\n", ""]


def test_sql_may_come_from_stdin(small_lake: Path) -> None:
    """`-` reads the statement."""
    assert keytrail("query", "-", "--lake", small_lake, "--format", "json", stdin="SELECT 1 AS a\n").rows == [{"a": 1}]


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT no_such FROM events", "no_such"),
        ("FROM no_such", "no_such"),
        ("CREATE TABLE t(a INT)", "only statements that read"),
        ("SELECT 1; SELECT 2", "one SQL statement"),
        ("SELECT * FROM read_text('/etc/hostname')", ""),
        ("SELECT '\udcff'", "not UTF-8"),
    ],
)
def test_other_sql_is_a_usage_error(small_lake: Path, sql: str, told: str) -> None:
    """Wrong SQL and SQL that does more than read end with 2 and DuckDB's words."""
    done = keytrail("query", sql, "--lake", small_lake)
    assert done.code == 2
    assert told in done.error


def test_no_lake_is_no_input(tmp_path: Path) -> None:
    """A folder without a lake is 3, and what would make one is said."""
    done = keytrail("query", "SELECT 1", "--lake", tmp_path / "none")
    assert done.code == 3
    assert "keytrail run" in done.error
    assert not (tmp_path / "none").exists()


def test_an_unknown_format_is_refused(small_lake: Path) -> None:
    """The formats there are, are named."""
    done = keytrail("query", "SELECT 1", "--lake", small_lake, "--format", "xml")
    assert done.code == 2
    assert "csv" in done.stderr
