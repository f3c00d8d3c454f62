"""Every rule finds what it is for, and keeps quiet about what only looks like it."""

from __future__ import annotations

import pytest

from pipeline.core.schema import SEVERITIES
from pipeline.scan import RULES, Key, Leak, Scanner
from pipeline.scan.anchors import MOST
from pipeline.scan.rules.services import checksum
from tests.house.documents import ROOT
from tests.house.test_readme import same_or_written
from tests.unit.scan.cases import FIRES, QUIET

KEY = Key(b"a key of the tests")


def leaks(text: str) -> list[Leak]:
    """What all rules together find in a text."""
    scanner = Scanner(RULES, KEY)
    return [*scanner.feed(text.encode()), *scanner.finish()]


@pytest.mark.parametrize("rule", FIRES)
def test_fires(rule: str) -> None:
    """A rule finds each of its cases, by its own name, once, and hashes the secret and nothing more."""
    for line, secret in FIRES[rule]:
        found = [leak for leak in leaks(f"before\n{line}\nafter\n") if leak.rule == rule]
        assert len(found) == 1, line
        assert not secret or found[0].keyed_hash == KEY.hash(secret.encode()), line


@pytest.mark.parametrize("rule", FIRES)
def test_no_other_rule_has_it(rule: str) -> None:
    """What one rule found no other one tells again; the two halves of a cloud key are told apart."""
    for line, _ in FIRES[rule]:
        rules = {leak.rule for leak in leaks(line)}
        assert rules - {rule} <= ({"aws_access_key_id"} if rule.startswith("aws") else set()), line


@pytest.mark.parametrize("line", QUIET)
def test_quiet(line: str) -> None:
    """Hashes, placeholders, references, names and prose are no leaks."""
    assert [leak.rule for leak in leaks(line)] == []


def test_every_rule_has_a_case() -> None:
    """A rule without a firing case would prove nothing; a case without a rule is a mistake."""
    assert list(FIRES) == [rule.name for rule in RULES]


def test_rules_are_told() -> None:
    """Each rule has a severity of the vocabulary, says what it finds and why that is not noise."""
    assert all(rule.severity in SEVERITIES and rule.what and rule.why for rule in RULES)


def test_the_readme_lists_the_rules() -> None:
    """Its table is the rules as they are; KEYTRAIL_WRITE_DOCS=1 writes it."""
    page = ROOT / "pipeline" / "scan" / "README.md"
    before, head, rest = page.read_text("utf-8").partition("|---|---|---|---|\n")
    rows = "".join(f"| `{rule.name}` | {rule.severity} | {rule.what} | {rule.why} |\n" for rule in RULES)
    same_or_written(page, before + head + rows + rest[rest.index("\n## ") :])


def test_anchors_stay_few() -> None:
    """More anchors than these make the pass over a block several times slower."""
    assert len({anchor for rule in RULES for anchor in rule.anchors}) <= MOST


def test_a_preview_shows_next_to_nothing() -> None:
    """At most four characters: the public prefix, or an eighth of the secret."""
    rules = {rule.name: rule for rule in RULES}
    for name, cases in FIRES.items():
        for line, secret in cases:
            preview = next(leak.preview for leak in leaks(line) if leak.rule == name)
            assert len(preview) <= 4
            assert not secret or len(preview) <= max(rules[name].public, len(secret) // 8)


def test_a_checksum_as_github_makes_it() -> None:
    """The token that GitHub's own documentation of the form shows."""
    assert checksum(b"zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ") == b"0mLq17"


def test_one_key_is_one_secret_however_it_is_written() -> None:
    """A private key over lines, in one line with `\\n`, and behind a logger's prefix has one hash."""
    lines = FIRES["private_key"][0][0].rstrip("\n")
    forms = [lines, lines.replace("\n", "\\n"), lines.replace("\n", "\n2026-03-04T11:02:55Z app[12]: ")]
    assert len({leak.keyed_hash for form in forms for leak in leaks(form)}) == 1
