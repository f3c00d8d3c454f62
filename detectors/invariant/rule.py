"""What a rule is, and the words rules are written in.

A rule judges one operation by itself. It is written over OPERATION rows with these columns beside them:
`at` (the path without namespace and trailing slash), `rest` (what follows the mount in it), `verb` (the store's own
word in lower case), `method` (its last part), `engine` (the mount's type), `is_vault`, `is_write`, `is_canary`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Final

import polars as pl

PLANNED: Final = "only inside a planned and approved change"
NEVER: Final = "never in normal running"
RARE: Final = "seldom, and by the few identities whose task it is"


@dataclass(frozen=True, slots=True)
class Group:
    """Rules of one subject, and which rows are worth asking them about: over `at`, `verb`, `is_canary`, `long_ttl`."""

    gate: pl.Expr
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    `message` may use {who}, {path}, {secret}, {name} (the path's last part), {login}, {ttl} and {device}. `once` folds
    repeated hits of one UTC day: "" keeps every hit, "device" and "principal" keep the first one of each (and path).
    An attempt that was refused or failed is a finding one level lower; `outcomes` narrows what counts at all.
    """

    id: str
    title: str
    severity: str
    when: pl.Expr
    message: str
    next_step: str
    techniques: tuple[str, ...]
    expected: str = PLANNED
    confidence: float = 0.95
    outcomes: tuple[str, ...] = ("success", "denied", "not_found", "failure")
    lowered: bool = True  # refused or failed: one level lower, and said so
    once: str = ""


def at(pattern: str) -> pl.Expr:
    """The path, matched by a regular expression."""
    return pl.col("at").str.contains(pattern)


def under(*folders: str) -> pl.Expr:
    """The path begins with one of these."""
    return reduce(or_, (pl.col("at").str.starts_with(folder) for folder in folders))


def asks() -> pl.Expr:
    """Reads or lists, and changes nothing."""
    return verb("read", "list", "help")


def rest(pattern: str) -> pl.Expr:
    """What follows the mount, matched by a regular expression."""
    return pl.col("rest").str.contains(pattern)


def engine(*types: str) -> pl.Expr:
    """The mount is of one of these types; a log too old to tell is taken by the mount's usual name."""
    return is_vault() & reduce(or_, (pl.col("engine") == name for name in types))


def is_vault() -> pl.Expr:
    """The operation was asked of Vault or OpenBao."""
    return pl.col("is_vault")


def writes() -> pl.Expr:
    """Created, updated or patched."""
    return pl.col("is_write")


def changes() -> pl.Expr:
    """Created, updated, patched or deleted."""
    return pl.col("is_write") | (pl.col("verb") == "delete")


def verb(*words: str) -> pl.Expr:
    """The store's own word for the operation."""
    return reduce(or_, (pl.col("verb") == word for word in words))


def flag(*names: str) -> pl.Expr:
    """One of these request options is true."""
    return reduce(or_, (pl.col("flags").list.contains(pl.lit(name)) for name in names)).fill_null(value=False)


def calls(store: str, *methods: str) -> pl.Expr:
    """A cloud store's API method, by its last word (`…SecretManagerService.DestroySecretVersion`)."""
    return (pl.col("store") == store) & pl.col("method").is_in(tuple(m.lower() for m in methods))
