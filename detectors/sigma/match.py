"""Which rules match which operations. Logs repeat themselves: every question is put to distinct values only.

Each column is coded once (a number for each distinct value). An atom is evaluated on the distinct combinations of the
columns it reads, a rule on the distinct combinations of what its atoms read, and only where something matched are
rows looked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from detectors.sigma.fields import base
from detectors.sigma.model import answers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectors.sigma.model import Atom, Node, Rule

Codes = npt.NDArray[np.int64]
Truth = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Coded:
    """`codes` names for each row the row of `values` (distinct combinations) that it holds."""

    codes: Codes
    values: pl.DataFrame


class Table:
    """The columns of some operations, coded when they are first asked for."""

    def __init__(self, operations: pl.DataFrame) -> None:
        self._operations = operations
        self._known: dict[tuple[str, ...], Coded] = {}

    def coded(self, columns: tuple[str, ...]) -> Coded:
        """The distinct combinations of some base columns."""
        if columns not in self._known:
            self._known[columns] = self._one(columns[0]) if len(columns) == 1 else self._several(columns)
        return self._known[columns]

    def _one(self, column: str) -> Coded:
        series = self._operations.select(base(column).alias(column)).to_series().rechunk()
        if series.dtype.is_temporal():
            series = series.to_physical()
        coded = _arrow(series).dictionary_encode("encode")
        values = pl.Series(column, coded.dictionary, dtype=series.dtype)
        return Coded(coded.indices.to_numpy(zero_copy_only=False).astype(np.int64), values.to_frame())

    def _several(self, columns: tuple[str, ...]) -> Coded:
        parts = [self.coded((column,)) for column in columns]
        codes, places = together([part.codes for part in parts], [len(part.values) for part in parts])
        frames = [part.values[part.codes[places]] for part in parts]
        return Coded(codes, pl.concat(frames, how="horizontal"))


def _arrow(series: pl.Series) -> Any:
    array = series.to_arrow()
    return array.cast(pa.large_string()) if pa.types.is_string_view(array.type) else array


def together(codes: Sequence[Codes], sizes: Sequence[int]) -> tuple[Codes, Codes]:
    """One code for each row's combination of several, and for each of these a row that holds it."""
    joined, size = codes[0], max(sizes[0], 1)
    for more, many in zip(codes[1:], sizes[1:], strict=True):
        if size * max(many, 1) >= 1 << 62:
            joined, size = _dense(joined)
        joined, size = joined * max(many, 1) + more, size * max(many, 1)
    dense, many = _dense(joined)
    places = np.empty(many, dtype=np.int64)
    places[dense[::-1]] = np.arange(len(dense) - 1, -1, -1)
    return dense, places


def _dense(codes: Codes) -> tuple[Codes, int]:
    coded = pa.array(codes).dictionary_encode()
    return coded.indices.to_numpy().astype(np.int64), len(coded.dictionary)


class Matcher:
    """Holds what rules ask, each question once."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._number: dict[tuple[object, ...], int] = {}
        self._columns: list[tuple[str, ...]] = []
        atoms: list[Atom] = []
        for rule in rules:
            for atom in rule.test.atoms():
                if atom.key not in self._number:
                    self._number[atom.key] = len(atoms)
                    self._columns.append(atom.columns)
                    atoms.append(atom)
        self._atoms = atoms
        self._rules = rules
        self._groups = self._grouped()

    def _grouped(self) -> dict[tuple[tuple[str, ...], ...], list[int]]:
        """Rules by the column sets that their atoms read."""
        groups: dict[tuple[tuple[str, ...], ...], list[int]] = {}
        for place, rule in enumerate(self._rules):
            read = tuple(sorted({atom.columns for atom in rule.test.atoms()}))
            groups.setdefault(read, []).append(place)
        return groups

    def hits(self, operations: pl.DataFrame) -> dict[int, Codes]:
        """For each rule (by place) that matches something, the rows it matches, in order."""
        table = Table(operations)
        known = self._answers(table)
        found: dict[int, Codes] = {}
        for read, places in self._groups.items():
            parts = [table.coded(columns) for columns in read]
            if len(parts) == 1:
                codes, rows = parts[0].codes, None
            else:
                codes, rows = together([part.codes for part in parts], [len(part.values) for part in parts])
            at = {
                columns: part.codes[rows] if rows is not None else None
                for columns, part in zip(read, parts, strict=True)
            }
            for place in places:
                said = self._judge(self._rules[place].test, known, at)
                if said.any():
                    found[place] = np.flatnonzero(said[codes])
        return found

    def _answers(self, table: Table) -> dict[int, Truth]:
        by_columns: dict[tuple[str, ...], list[int]] = {}
        for number, columns in enumerate(self._columns):
            by_columns.setdefault(columns, []).append(number)
        found: dict[int, Truth] = {}
        for columns, numbers in by_columns.items():
            said = answers([self._atoms[number] for number in numbers], table.coded(columns).values)
            found |= {number: said[str(place)].to_numpy() for place, number in enumerate(numbers)}
        return found

    def _judge(self, node: Node, known: dict[int, Truth], at: dict[tuple[str, ...], Codes | None]) -> Truth:
        if node.atom is not None:
            number = self._number[node.atom.key]
            said, codes = known[number], at[self._columns[number]]
            return said if codes is None else said[codes]
        if node.kind == "not":
            return ~self._judge(node.parts[0], known, at)
        parts = [self._judge(part, known, at) for part in node.parts]
        joined = np.logical_and if node.kind == "and" else np.logical_or
        return parts[0] if len(parts) == 1 else joined.reduce(parts)
