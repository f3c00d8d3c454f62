"""`keytrail inventory`: the view for people, and as it is for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.command import keytrail
from tests.unit.inquiry.told_lines import Log

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shared secret, one that nobody reads, one that has not been used for a hundred days, one with a bad name."""
    log = Log()
    log.ask(-100 * 1_440, "userpass-ada", "kv/data/old", version=1)
    log.ask(0, "userpass-ada", "kv/data/shared", "update", version=1)
    for number in range(11):
        log.ask(1 + number, f"userpass-u{number:02}", "kv/data/shared", version=1)
    log.ask(20, "userpass-bob", "kv/data/unread", "update", version=1)
    log.ask(21, "userpass-bob", "kv/data/=a\x1b\nb", version=1)
    return log.lake(tmp_path_factory.mktemp("inventory"))


def test_people_get_counts_and_first_names(lake: Path) -> None:
    """Few columns; consumers as a number and the first three."""
    lines = keytrail("inventory", "--lake", lake).stdout.splitlines()
    assert lines[0].split() == ["secret", "store", "owner", "consumers", "read", "changed", "is"]
    shared = next(line for line in lines if line.startswith("kv/shared"))
    assert "11: userpass/u00, userpass/u01, userpass/u02, …" in shared
    assert shared.endswith("over shared")
    assert any(line.startswith("kv/unread") and line.endswith("never read") for line in lines)
    assert any(line.startswith("kv/=a<U+001B> b") for line in lines)


@pytest.mark.parametrize(
    ("words", "secrets"),
    [
        (("--stale",), ["kv/old"]),
        (("--never-read",), ["kv/unread"]),
        (("--over-shared",), ["kv/shared"]),
        (("--owner", "userpass/bob"), ["kv/=a\x1b\nb", "kv/unread"]),
        (("--owner", "userpass/bob", "--never-read"), ["kv/unread"]),
        (("--owner", "' OR true --"), []),
        (("--store", "aws"), []),
    ],
)
def test_rows_can_be_chosen(lake: Path, words: tuple[str, ...], secrets: list[str]) -> None:
    """By store, owner and what is wrong with them."""
    rows = keytrail("inventory", "--lake", lake, "--format", "json", *words).rows
    assert [row["secret"] for row in rows] == secrets


def test_programs_get_the_view(lake: Path) -> None:
    """Its columns in its order, in CSV and JSON."""
    header = keytrail("query", "FROM inventory LIMIT 0", "--lake", lake, "--format", "csv").stdout
    done = keytrail("inventory", "--lake", lake, "--format", "csv")
    assert done.stdout.startswith(header)
    rows = keytrail("inventory", "--lake", lake, "--format", "json").rows
    assert {tuple(row) for row in rows} == {tuple(header.strip().split(","))}


def test_a_limit_says_what_is_left(lake: Path) -> None:
    """On stderr."""
    done = keytrail("inventory", "--lake", lake, "--limit", "1", "--format", "json")
    assert len(done.rows) == 1
    assert "3 more of 4" in done.stderr


def test_no_lake_is_no_input_and_an_empty_one_has_no_rows(tmp_path: Path) -> None:
    """As for every question."""
    assert keytrail("inventory", "--lake", tmp_path / "none").code == 3
    done = keytrail("inventory", "--lake", Log().lake(tmp_path))
    assert (done.code, done.stdout) == (0, "secret  namespace  store  owner  consumers  read  changed  is\n")
