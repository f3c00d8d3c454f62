"""The packs that come with keytrail: sound, complete, and the same as the detector they were made from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from detectors import sigma
from detectors.invariant import as_sigma, judge
from detectors.invariant.rules import GROUPS, RULES
from detectors.sigma import Config, check
from detectors.sigma.match import Matcher
from detectors.sigma.read import read
from pipeline.core.cases import find_cases

PACKS = Path(sigma.__file__).parent / "packs"
BAIT = ("kv/finance/payroll-master",)
MADE = dict(as_sigma.documents())


def operations() -> pl.DataFrame:
    """Every operation of the detector's own cases, each also with every verb, outcome and some options."""
    cases = pl.concat(stretch.operations for case in find_cases("invariant") for stretch in case.stretches)
    rng, many = np.random.default_rng(3), 40
    more = pl.concat([cases] * many)

    def pick(choices: list[Any], kind: Any) -> pl.Series:
        return pl.Series([choices[i] for i in rng.integers(0, len(choices), len(more))], dtype=kind)

    texts = pl.List(pl.String)
    changed = more.with_columns(
        api_operation=pick(["read", "list", "create", "update", "patch", "delete", "help"], pl.String),
        outcome=pick(["success", "denied", "failure", "not_found"], pl.String),
        flags=pick([None, [], ["no_parent"], ["period"], ["log_raw"], ["exportable", "period"], ["complete"]], texts),
        mount_type=pick([None, "kv", "transit", "pki", "database", "system"], pl.String),
        policies=pick([None, ["default"], ["root"]], texts),
        login_policies=pick([None, ["default"], ["root", "x"]], texts),
        token_ttl=pick([None, 60, 2_764_800, 2_764_801, 10**8], pl.Int64),
        error=pick([None, "", "user is LOCKED out", "permission denied"], pl.String),
        secret=pick([None, "", "kv/app", *BAIT], pl.String),
    )
    whole = pl.concat([cases, changed]).filter(pl.col("store") == "vault")
    return whole.with_columns(uid=pl.int_range(pl.len()).cast(pl.String))


def test_every_rule_over_the_log_of_vault_is_there() -> None:
    """All but rules of other stores and one that compares two lists; what is on disk is what the rules give."""
    folder = PACKS / "vault"
    if os.environ.get("KEYTRAIL_WRITE_DOCS"):
        for file in folder.glob("*.yml"):
            file.unlink()
        for name, text in MADE.items():
            (folder / f"{name}.yml").write_text(text, "utf-8")
    assert {file.stem: file.read_text("utf-8") for file in folder.glob("*.yml")} == MADE
    cloud = {rule.id for rule in GROUPS[-1].rules}
    assert {rule.id for rule in RULES} - MADE.keys() == cloud | {"token_beyond"}


def test_each_has_what_a_reader_needs() -> None:
    """Id, level, tags, false positives, description and logsource; ids are unique."""
    told = [yaml.safe_load(text) for text in MADE.values()]
    assert len({one["id"] for one in told}) == len(told)
    for one in told:
        assert one["level"] in {"low", "medium", "high", "critical"}
        assert one["tags"]
        assert all(tag.startswith("attack.t") for tag in one["tags"])
        assert one["falsepositives"]
        assert one["description"]
        assert (one["logsource"]["product"], one["logsource"]["service"]) == ("vault", "audit")


def test_no_rule_that_comes_with_keytrail_is_dead() -> None:
    """Every rule and correlation of every pack can be run and can match."""
    packs = tuple(f"pack:{folder.name}" for folder in sorted(PACKS.iterdir()))
    assert len(packs) == 3
    assert check(Config(rules=packs, placeholders={"canary_secrets": BAIT})) == []


def test_the_pack_matches_what_the_detector_matches() -> None:
    """Over thousands of operations, each rule of the pack matches exactly those of the detector's rule of its name."""
    rows = operations()
    prepared = judge.prepared(rows, BAIT, 32 * 86_400)
    wanted = {rule.id: set[str]() for rule in RULES}
    for group, asked in judge.worth_asking(GROUPS, prepared):
        for rule, hits in judge.hits_of(group.rules, asked):
            wanted[rule.id] = set(hits["uid"])
    pack = read(["pack:vault"], {"canary_secrets": BAIT})
    hits = Matcher(pack.rules).hits(rows)
    got = {
        rule.id: set(rows["uid"].gather(hits[place])) if place in hits else set()
        for place, rule in enumerate(pack.rules)
    }
    assert {name: len(found) for name, found in got.items()} == {name: len(wanted[name]) for name in got}
    assert got == {name: wanted[name] for name in got}
    assert all(got.values()), [name for name, found in got.items() if not found]
