"""Questions that are all asked of one commit of a lake, while a run may go on writing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest

from pipeline import store
from pipeline.core.errors import StoreError
from tests.lakes import run
from tests.unit.inquiry.told_lines import Log

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.store import Ask

COUNT = "SELECT count(*) AS n FROM operations"


def test_answers_are_of_one_commit(tmp_path: Path) -> None:
    """What a run adds between two questions is in neither; columns that the view hides are there."""
    log = Log()
    log.ask(0, "userpass-ada", "kv/data/x", version=1)
    lake = log.lake(tmp_path)
    log.ask(1, "userpass-ada", "kv/data/y", version=1)
    (tmp_path / "more.log").write_bytes(log.lines[2] + b"\n" + log.lines[3] + b"\n")

    def work(ask: Ask) -> list[int]:
        first = ask(COUNT)[0]["n"]
        if not counts:
            run(lake, tmp_path / "more.log")
        ask("SELECT login_principal, token_ttl FROM operations")
        return [first, ask(COUNT)[0]["n"]]

    counts: list[int] = []
    assert store.at_one_commit(lake, ("operations",), work) == [1, 1]
    counts.append(1)
    assert store.at_one_commit(lake, ("operations",), work) == [2, 2]


def test_what_is_gone_meanwhile_is_asked_again(tmp_path: Path) -> None:
    """From the start, a few times; then it is a failure of the store."""
    lake = Log().lake(tmp_path)
    tries: list[int] = []

    def work(ask: Ask) -> int:
        tries.append(1)
        if len(tries) < 3:
            raise duckdb.IOException("a file is gone")
        return int(ask(COUNT)[0]["n"])

    assert store.at_one_commit(lake, ("operations",), work) == 0
    assert len(tries) == 3
    with pytest.raises(StoreError, match="no_such"):
        store.at_one_commit(lake, ("operations",), lambda ask: ask("SELECT no_such FROM operations"))


def test_nothing_else_can_be_opened(tmp_path: Path) -> None:
    """As with a user's own SQL."""
    lake = Log().lake(tmp_path)
    with pytest.raises(StoreError):
        store.at_one_commit(lake, ("operations",), lambda ask: ask("FROM read_text('/etc/hostname')"))
