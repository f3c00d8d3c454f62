"""One pass over a block for all anchors of all rules: what has none of them is looked at no further."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from pipeline.scan.rule import Rule

if TYPE_CHECKING:
    from pipeline.core.model import Ints

_KEY: Final = 3  # bytes by which rules are looked up; no anchor is shorter
_SEVEN_BITS: Final = np.uint8(0x7F)
_NOBODY: Final[tuple[re.Pattern[bytes], tuple[Rule, ...]]] = (re.compile(b"(?!)"), ())
MOST: Final = 100  # anchors: of more, Polars makes an automaton that is several times slower


class Anchors:
    """Where rules have to be asked, and which."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._texts = sorted({anchor for rule in rules for anchor in rule.anchors})
        asked: dict[bytes, list[Rule]] = defaultdict(list)
        for rule in rules:
            for key in dict.fromkeys(anchor[:_KEY].lower().encode() for anchor in rule.anchors):
                asked[key].append(rule)
        self._asked = {key: (_gate(found), tuple(found)) for key, found in asked.items()}

    def places(self, data: bytes) -> Ints:
        """Where anchors begin, in order. Some may be none: rules look again, at the bytes themselves."""
        if not self._texts:
            return np.empty(0, np.int64)
        if not data.isascii():  # Polars takes text only; bytes of other letters become letters, at the same places
            data = (np.frombuffer(data, np.uint8) & _SEVEN_BITS).tobytes()
        block = pl.Series([data.decode("ascii")])
        found = block.str.find_many(self._texts, ascii_case_insensitive=True, overlapping=True)
        return np.unique(found.explode(empty_as_null=False).to_numpy()).astype(np.int64)

    def rules_at(self, data: bytes, at: int) -> tuple[Rule, ...]:
        """The rules that may find something here, in their order."""
        gate, rules = self._asked.get(data[at : at + _KEY].lower(), _NOBODY)
        return rules if gate.match(data, at) else ()


def _gate(rules: Sequence[Rule]) -> re.Pattern[bytes]:
    return re.compile(b"|".join(b"(?:%b)" % rule.gate for rule in rules))
