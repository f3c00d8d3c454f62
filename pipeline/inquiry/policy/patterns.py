"""What a Vault policy's path stands for: `+` for one segment, `*` at its end for everything behind."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.inquiry.policy.grants import Grant

_WILD: Final = re.compile(r"(?:^|(?<=/))\+(?=/|$)|\*$")


@lru_cache(maxsize=4_096)
def _matcher(pattern: str) -> re.Pattern[str]:
    body = pattern.removesuffix("*")
    parts = ("[^/]*" if segment == "+" else re.escape(segment) for segment in body.split("/"))
    return re.compile("/".join(parts) + (".*" if body != pattern else ""), re.DOTALL)


def covers(pattern: str, path: str) -> bool:
    """Whether a path is one of those that the pattern stands for."""
    return _matcher(pattern).fullmatch(path) is not None


class Rules:
    """The grants of a policy, as the server asks them."""

    def __init__(self, grants: Iterable[Grant]) -> None:
        self._exact: dict[tuple[str, str], Grant] = {}
        self._wild: list[Grant] = []
        for one in grants:
            if _WILD.search(one.path):
                self._wild.append(one)
            else:
                self._exact[one.namespace, one.path] = one

    def of(self, namespace: str, path: str) -> frozenset[str]:
        """The capabilities for a path: of its own grant, else of the one most specific pattern that fits."""
        exact = self._exact.get((namespace, path))
        fitting = [one for one in self._wild if one.namespace == namespace and covers(one.path, path)]
        found = exact or max(fitting, key=lambda one: _rank(one.path), default=None)
        return frozenset(found.capabilities if found else ())


def _rank(pattern: str) -> tuple[int, bool, int, int, str]:
    """By the servers' documented order: later first wildcard, no `*`, fewer `+`, longer, alphabetically later."""
    first = _WILD.search(pattern)
    plus = sum(segment == "+" for segment in pattern.split("/"))
    return (first.start() if first else len(pattern) + 1, not pattern.endswith("*"), -plus, len(pattern), pattern)
