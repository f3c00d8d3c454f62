"""What an investigation finds, in parts: rows with a name, one table each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """One table. Its rows all have the same keys, in JSON beside `part`; `hidden` are those that people are spared.

    `title` heads it for people, `empty` is said where there are none. Where it is cut for people, they are shown what
    is around row `anchor`.
    """

    name: str
    title: str
    rows: Sequence[Row]
    hidden: frozenset[str] = frozenset()
    empty: str = ""
    anchor: int = 0
    notes: tuple[str, ...] = ()
