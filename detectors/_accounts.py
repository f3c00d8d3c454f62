"""Accounts and roles that an auth method keeps, by the principal that whoever logs in with them is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

EMERGENCY: Final = ("*break-glass*", "*breakglass*", "*break_glass*")  # accounts that nobody uses on a usual day


def account_in(path: pl.Expr, pattern: str) -> pl.Expr:
    """`<mount>/<name>` as principals are named: `/` in the mount's own path is `-`. Null where the path is no match.

    The first group of `pattern` is the mount; one of the others has the name.
    """
    names = (path.str.extract(pattern, i) for i in range(2, re.compile(pattern).groups + 1))
    mount = path.str.extract(pattern, 1).str.replace_all("/", "-", literal=True)
    return mount + "/" + pl.coalesce(*names)


def any_of(globs: Sequence[str]) -> str:
    """A regular expression for any of the globs, of which only * is special; nothing matches where there is none."""
    return "^(?:" + "|".join(map(_one, globs)) + ")$" if globs else r"[^\s\S]"


def _one(glob: str) -> str:
    return "".join(
        ".*" if letter == "*" else letter if letter.isalnum() else f"\\x{{{ord(letter):x}}}" for letter in glob
    )
