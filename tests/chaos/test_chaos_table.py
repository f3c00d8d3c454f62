"""What a run of the faults prints at its end."""

from __future__ import annotations

from types import SimpleNamespace

from tests import conftest
from tests.chaos.table import NAME, table


def told(*values: object, when: str = "call") -> SimpleNamespace:
    return SimpleNamespace(when=when, user_properties=[("other", 1), (NAME, list(values))])


def test_the_table() -> None:
    """Rounds and offsets of a fault are added up over its tests, and the tests that failed are counted."""
    passed = [told("kill", 4, 1000, 0, 0), told("kill", 8, 500, 0, 0), told("versions", 5, 0, 0, 0)]
    stats = {"passed": [*passed, told("kill", 9, 9, 9, 9, when="teardown")], "failed": [told("kill", 1, 2, 1, 0)]}
    lines = list(table(stats))
    assert lines[1:] == ["| kill | 13 | 1,502 | 1 | 0 | 1 |", "| versions | 5 | – | 0 | 0 | 0 |"]
    assert list(table({"passed": [SimpleNamespace(when="call", user_properties=[])]})) == []


def test_whoever_collects_prints_it() -> None:
    """The hook stands where the process that hands tests out to others loads it: at the top of the tests."""
    written: list[str] = []
    reporter = SimpleNamespace(stats={"passed": [told("kill", 4, 1000, 0, 0)]}, write_line=written.append)
    conftest.pytest_terminal_summary(reporter)
    assert "| kill | 4 | 1,000 | 0 | 0 | 0 |" in written
