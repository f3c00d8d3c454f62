"""What a rule is, and the words rules are written in.

A rule judges one operation by itself. It is written over OPERATION rows with these columns beside them:
`at` (the path without namespace and trailing slash), `rest` (what follows the mount in it), `verb` (the store's own
word in lower case), `method` (its last part), `engine` (the mount's type), `is_vault`, `is_write`, `is_canary`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, Final

import polars as pl

PLANNED: Final = "only inside a planned and approved change"
NEVER: Final = "never in normal running"
RARE: Final = "seldom, and by the few identities whose task it is"


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A question to an operation, in two forms: `expr` over frames, `said` in words that other systems can be given.

    `said` is ("and" | "or" | "not", parts…), ("is", field, values), ("has", field, values), ("begins", field, values),
    ("matches", field, pattern), ("least" | "more", field, number) or ("true", field).
    """

    expr: pl.Expr
    said: tuple[Any, ...]

    def __and__(self, other: Asked) -> Asked:
        return Asked(self.expr & other.expr, ("and", self.said, other.said))

    def __or__(self, other: Asked) -> Asked:
        return Asked(self.expr | other.expr, ("or", self.said, other.said))

    def __invert__(self) -> Asked:
        return Asked(~self.expr, ("not", self.said))


@dataclass(frozen=True, slots=True)
class Group:
    """Rules of one subject, and which rows are worth asking them about: over `at`, `verb`, `is_canary`, `long_ttl`."""

    gate: Asked
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    `message` may use {who}, {path}, {secret}, {name} (the path's last part), {login}, {ttl} and {device}. `once` folds
    repeated hits of one UTC day: "" keeps every hit, "device", "principal" and "actor" keep the first one
    of each device, of each principal and path, and of each principal.
    An attempt that was refused or failed is a finding one level lower; `outcomes` narrows what counts at all.
    """

    id: str
    title: str
    severity: str
    when: Asked
    message: str
    next_step: str
    techniques: tuple[str, ...]
    expected: str = PLANNED
    confidence: float = 0.95
    outcomes: tuple[str, ...] = ("success", "denied", "not_found", "failure")
    lowered: bool = True  # refused or failed: one level lower, and said so
    once: str = ""


def at(pattern: str) -> Asked:
    """The path, matched by a regular expression."""
    return matches("at", pattern)


def under(*folders: str) -> Asked:
    """The path begins with one of these."""
    return Asked(
        reduce(or_, (pl.col("at").str.starts_with(folder) for folder in folders)), ("begins", "at", folders)
    )  # fmt: skip


def asks() -> Asked:
    """Reads or lists, and changes nothing."""
    return verb("read", "list", "help")


def rest(pattern: str) -> Asked:
    """What follows the mount, matched by a regular expression."""
    return matches("rest", pattern)


def engine(*types: str) -> Asked:
    """The mount is of one of these types; a log too old to tell is taken by the mount's usual name."""
    return is_vault() & is_one("engine", *types)


def is_vault() -> Asked:
    """The operation was asked of Vault or OpenBao."""
    return Asked(pl.col("is_vault"), ("true", "is_vault"))


def writes() -> Asked:
    """Created, updated or patched."""
    return Asked(pl.col("is_write"), ("is", "verb", ("create", "update", "patch")))


def changes() -> Asked:
    """Created, updated, patched or deleted."""
    return Asked(
        pl.col("is_write") | (pl.col("verb") == "delete"), ("is", "verb", ("create", "update", "patch", "delete"))
    )  # fmt: skip


def verb(*words: str) -> Asked:
    """The store's own word for the operation."""
    return is_one("verb", *words)


def flag(*names: str) -> Asked:
    """One of these request options is true."""
    return has("flags", *names)


def calls(store: str, *methods: str) -> Asked:
    """A cloud store's API method, by its last word (`…SecretManagerService.DestroySecretVersion`)."""
    named = tuple(m.lower() for m in methods)
    return is_one("store", store) & Asked(pl.col("method").is_in(named), ("is", "method", named))


def is_one(column: str, *values: str) -> Asked:
    """The column holds one of these."""
    return Asked(reduce(or_, (pl.col(column) == value for value in values)), ("is", column, values))


def has(column: str, *values: str) -> Asked:
    """The list holds one of these."""
    found = reduce(or_, (pl.col(column).list.contains(pl.lit(value)) for value in values))
    return Asked(found.fill_null(value=False), ("has", column, values))


def beyond(column: str, other: str) -> Asked:
    """The list of policies holds more than the other and `default`; where nothing is told of either, no."""
    more = pl.col(column).list.set_difference(pl.concat_list(other, pl.lit("default"))).list.len() > 0
    return Asked(more.fill_null(value=False), ("beyond", column, other))


def matches(column: str, pattern: str) -> Asked:
    """The column, matched by a regular expression; where nothing stands, nothing matches."""
    return Asked(pl.col(column).str.contains(pattern).fill_null(value=False), ("matches", column, pattern))


def true(column: str) -> Asked:
    """The column is true."""
    return Asked(pl.col(column).fill_null(value=False), ("true", column))


def least(column: str, other: str) -> Asked:
    """The column's number is at least that of the other."""
    return Asked(pl.col(column) >= pl.col(other), ("least", column, other))


def more(column: str, other: str) -> Asked:
    """The column's number is above that of the other."""
    return Asked(pl.col(column) > pl.col(other), ("more", column, other))
