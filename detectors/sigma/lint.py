"""Whether a condition can hold at all. What is said here is certain: where nothing can be proved, nothing is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from detectors.sigma.atoms import Impossible
from detectors.sigma.model import Atom, Node, answers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from detectors.sigma.fields import Field

_MOST: Final = 4096  # ways to satisfy a condition that are looked at
_SIDES: Final = {"gt": "above", "gte": "of at least", "lt": "below", "lte": "of at most"}
Literal = tuple[Atom, bool]


def possible(test: Node) -> None:
    """Raises Impossible when no operation can satisfy `test`, with the reason in words."""
    reasons = []
    for number, way in enumerate(_ways(test, wanted=True)):
        if number >= _MOST:
            return
        why = _contradiction(way)
        if not why:
            return
        reasons.append(why)
    if reasons:
        raise Impossible("; ".join(dict.fromkeys(reasons[:3])))


def reachable(
    name: str, fields: Sequence[Field], tests: Sequence[Node], op: str, limit: float, *, whole: bool
) -> None:  # fmt: skip
    """Raises Impossible when no operations that satisfy `tests` have amounts in `fields` that come to `op` `limit`.

    An average or a percentile lies between the least and the greatest amount; a sum (`whole`) needs one above zero.
    """
    sides = {"eq": ("gte", "lte"), "neq": ("gte",)}.get(op, (op,))
    asked = [("gt", 0.0)] if whole else [(side, 0.0 if op == "neq" else limit) for side in sides]
    for side, value in asked:
        reasons = []
        for field, test in zip(fields, tests, strict=True):
            try:
                possible(Node("and", (test, _bound(name, field, "gte", 0.0), _bound(name, field, side, value))))
            except Impossible as why:
                reasons.append(str(why))
        if len(reasons) == len(tests):
            what = f"its rules match nothing with {name} {_SIDES[side]} {value:g}"
            raise Impossible(f"{what}: {'; '.join(dict.fromkeys(reasons))}")


def _bound(name: str, field: Field, op: str, value: float) -> Node:
    column = field.expr
    said = {"gt": column > value, "gte": column >= value, "lt": column < value, "lte": column <= value}[op]
    return Node("atom", atom=Atom(name, field, op, value, said, field.columns))


def hopeless(atom: Atom) -> str:
    """Why no value of the field answers yes; "" when one may."""
    values, text = atom.field.values, str(atom.value)
    if atom.op == "ref":
        return ""
    if values and atom.op not in {"null", "given"} and not any(_says(atom, value) for value in values):
        return f"{atom.name} is never {_asked(atom)}; it is one of: {', '.join(values)}"
    if atom.op in {"is", "prefix", "suffix"}:
        for pattern, why in atom.field.never:
            anchored = (pattern.startswith("^") and atom.op != "suffix") or (
                pattern.endswith("$") and atom.op != "prefix"
            )
            if anchored and bool(pl.Series([text]).str.contains(pattern)[0]):
                return f"{atom.name} is never {_asked(atom)}: {why}"
    if atom.op == "part":
        low, high = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "week": (1, 53), "month": (1, 12)}.get(
            atom.columns[0], (1970, 9999)
        )
        if not low <= int(text) <= high:
            return f"{atom.name} is never {text}"
    return ""


def _asked(atom: Atom) -> str:
    shape = {"prefix": "{}*", "suffix": "*{}", "contains": "*{}*", "re": "/{}/", "cidr": "in {}"}.get(atom.op, "{}")
    return shape.format(atom.value)


def _says(atom: Atom, value: object) -> bool:
    """The atom's answer for a field that holds `value`. Only for fields that are one column as it is."""
    column = atom.columns[0]
    kind = pl.Int64 if isinstance(value, int) else pl.String
    frame = pl.DataFrame({name: pl.Series([value if name == column else ""], dtype=kind) for name in atom.columns})
    return bool(answers([atom], frame).item())


def _ways(node: Node, *, wanted: bool) -> Iterator[list[Literal]]:
    """Every way to satisfy a condition, each a list of atoms that must answer so; at most a few more than needed."""
    if node.atom is not None:
        yield [(node.atom, wanted)]
        return
    if node.kind == "not":
        yield from _ways(node.parts[0], wanted=not wanted)
        return
    if (node.kind == "or") == wanted:
        for part in node.parts:
            yield from _ways(part, wanted=wanted)
        return
    yield from _together(node.parts, wanted=wanted)


def _together(parts: tuple[Node, ...], *, wanted: bool) -> Iterator[list[Literal]]:
    if not parts:
        yield []
        return
    for first in _ways(parts[0], wanted=wanted):
        for rest in _together(parts[1:], wanted=wanted):
            yield first + rest


def _contradiction(way: list[Literal]) -> str:
    """Why these answers cannot stand together; "" when they may."""
    for why in (hopeless(atom) for atom, wanted in way if wanted):
        if why:
            return why
    by_field: dict[tuple[str, ...], list[Literal]] = {}
    for atom, wanted in way:
        if atom.op != "ref" and atom.field.kind != "texts":
            by_field.setdefault((atom.name, str(atom.field.expr)), []).append((atom, wanted))
    for literals in by_field.values():
        if clash := _clash(literals):
            return clash
    return ""


def _clash(literals: list[Literal]) -> str:
    name = literals[0][0].name
    yes = [atom for atom, wanted in literals if wanted]
    no = [atom for atom, wanted in literals if not wanted]
    if values := literals[0][0].field.values:
        if not any(all(_says(a, v) == wanted for a, wanted in literals) for v in (*values, None)):
            return f"no value of {name} is {_list(yes, no)}"
        return ""
    for atom in yes:
        for other in no:
            if _implies(atom, other):
                return f"{name} cannot be {_asked(atom)} and not {_asked(other)}"
        for other in yes:
            if atom is not other and _excludes(atom, other):
                return f"{name} cannot be {_asked(atom)} and {_asked(other)}"
    return _range(name, yes)


def _list(yes: list[Atom], no: list[Atom]) -> str:
    return " and ".join([_asked(a) for a in yes] + [f"not {_asked(a)}" for a in no])


def _implies(atom: Atom, other: Atom) -> bool:
    """Whatever answers yes to `atom` answers yes to `other`."""
    if atom.key == other.key:
        return True
    if atom.op in {"null", "given"} or other.op in {"null", "given"}:
        return atom.op != "null" and other.op == "given"
    if not isinstance(atom.value, str) or not isinstance(other.value, str) or atom.cased or other.cased:
        return False
    mine, theirs = atom.value, other.value
    return {
        "contains": atom.op in {"is", "prefix", "suffix", "contains"} and theirs in mine,
        "prefix": atom.op in {"is", "prefix"} and mine.startswith(theirs),
        "suffix": atom.op in {"is", "suffix"} and mine.endswith(theirs),
    }.get(other.op, False)


def _excludes(atom: Atom, other: Atom) -> bool:
    """Nothing answers yes to both."""
    if atom.op == "null":
        return other.op not in {"null", "re", "like", "contains"}
    if isinstance(atom.value, str) and isinstance(other.value, str) and not (atom.cased or other.cased):
        mine, theirs = atom.value, other.value
        if atom.op == "is":
            return {
                "is": mine != theirs, "prefix": not mine.startswith(theirs), "suffix": not mine.endswith(theirs),
                "contains": theirs not in mine,
            }.get(other.op, False)  # fmt: skip
        if atom.op == other.op == "prefix":
            return not (mine.startswith(theirs) or theirs.startswith(mine))
        if atom.op == other.op == "suffix":
            return not (mine.endswith(theirs) or theirs.endswith(mine))
    if atom.op == other.op and atom.op in {"is", "part"}:
        return bool(atom.value != other.value)
    return False


def _range(name: str, yes: list[Atom]) -> str:
    """Numbers that must lie where there are none."""
    low, high = float("-inf"), float("inf")
    low_open = high_open = False
    for atom in yes:
        if not isinstance(atom.value, (int, float)) or atom.op not in {"is", "lt", "lte", "gt", "gte"}:
            continue
        value = float(atom.value)
        if atom.op in {"is", "gt", "gte"} and value >= low:
            low, low_open = value, atom.op == "gt" or (low_open and value == low)
        if atom.op in {"is", "lt", "lte"} and value <= high:
            high, high_open = value, atom.op == "lt" or (high_open and value == high)
    if low > high or (low == high and (low_open or high_open)):
        return f"{name} cannot lie above {low:g} and below {high:g}"
    return ""
