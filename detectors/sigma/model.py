"""A rule after it was understood: questions to single fields, and how they are joined. Nothing of pySigma is left."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import polars as pl

    from detectors.sigma.fields import Field

THOUSANDTHS: Final = 1_000  # what amounts are counted in
MOST_AMOUNT: Final = 10_000_000_000  # a larger one counts as this: a window's sum stays a 64-bit number


@dataclass(frozen=True, slots=True)
class Atom:
    """One question to one field (to two, for `ref`): a boolean expression over its base columns.

    `op` and `value` say what is asked, for those who reason about it: is, prefix, suffix, contains, like, re, cidr,
    null, lt, lte, gt, gte, neq, part, ref. Texts are in lower case unless `cased`.
    """

    name: str
    field: Field
    op: str
    value: object
    expr: pl.Expr = dataclasses.field(compare=False, repr=False, hash=False)
    columns: tuple[str, ...] = ()
    cased: bool = False
    given: pl.Expr | None = dataclasses.field(default=None, compare=False, repr=False)  # a column that `expr` names

    @property
    def key(self) -> tuple[object, ...]:
        """Atoms with the same key ask the same."""
        return self.columns, self.name, self.op, self.value, self.cased


def answers(atoms: Sequence[Atom], values: pl.DataFrame) -> pl.DataFrame:
    """What each atom says of each row of `values`, which has its base columns: boolean columns "0", "1" …"""
    given = {atom.given.meta.output_name(): atom.given for atom in atoms if atom.given is not None}
    said = (atom.expr.fill_null(value=False).alias(str(place)) for place, atom in enumerate(atoms))
    return values.with_columns(given.values()).select(said)


@dataclass(frozen=True, slots=True)
class Node:
    """`kind` is and, or, not or atom."""

    kind: str
    parts: tuple[Node, ...] = ()
    atom: Atom | None = None

    def atoms(self) -> Iterator[Atom]:
        """Every atom, from left to right."""
        if self.atom is not None:
            yield self.atom
        for part in self.parts:
            yield from part.atoms()


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that is run. `silent`: only correlations that name it look at it."""

    id: str
    title: str
    level: str
    confidence: float
    techniques: tuple[str, ...]
    harmless: tuple[str, ...]  # what its author names as false positives
    fields: dict[str, Field] = dataclasses.field(compare=False, repr=False)
    test: Node
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Correlation:
    """A rule about several operations within `span_us` of each other that agree in `groups`.

    `kind`: event_count, value_count, temporal, temporal_ordered, value_sum, value_avg, value_percentile, value_median.
    `members` are places in the list of rules. `groups` and `counted` hold one field for each member. `need` is the
    count asked for; `exactly`: that many and no more. `wanted` is the condition over members of a temporal rule that
    is not simply a count, `asked` the one over the amounts of a field.
    """

    id: str
    title: str
    level: str
    confidence: float
    techniques: tuple[str, ...]
    harmless: tuple[str, ...]
    kind: str
    members: tuple[int, ...]
    span_us: int
    group_names: tuple[str, ...]
    groups: tuple[tuple[Field, ...], ...] = dataclasses.field(compare=False, repr=False)
    need: int = 1
    exactly: bool = False
    counted: tuple[Field, ...] = dataclasses.field(default=(), compare=False, repr=False)
    counted_name: str = ""
    wanted: Wanted | None = None
    asked: Asked | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A condition over amounts: `op` is gt, gte, lt, lte, eq or neq, `limit` in thousandths.

    `percentile` is 1 to 100, 0 where a sum or an average is asked.
    """

    op: str
    limit: int
    percentile: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A condition over members: `kind` is and, or, or member (then `member` is its place among them)."""

    kind: str
    parts: tuple[Wanted, ...] = ()
    member: int = -1


@dataclass(frozen=True, slots=True)
class Problem:
    """A rule that is not run, and why. `impossible`: it could be run and would never match."""

    file: str
    rule: str
    reason: str
    impossible: bool = False

    def __str__(self) -> str:
        return f"{self.file}: {self.rule}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Pack:
    """What was read: rules and correlations that are run, and what is not."""

    rules: tuple[Rule, ...]
    correlations: tuple[Correlation, ...]
    problems: tuple[Problem, ...]
