"""Sigma values to questions: one value asked of one field, with all modifiers that mean something for columns."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import polars as pl
from sigma.types import (
    CompareOperators,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
    SpecialChars,
)

from detectors.sigma.fields import BETWEEN, Field
from detectors.sigma.model import Atom

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_COMPARED: Final = {
    CompareOperators.LT: "lt",
    CompareOperators.LTE: "lte",
    CompareOperators.GT: "gt",
    CompareOperators.GTE: "gte",
    CompareOperators.NEQ: "neq",
}
_TRUE: Final = {"true": 1, "false": 0}


class Refused(Exception):  # noqa: N818  it is an answer
    """A rule that cannot be run; the text says why."""


class Impossible(Refused):
    """A rule that can never match; the text says why."""


def atom_of(name: str, value: Any, fields: Mapping[str, Field]) -> Atom:
    """The question whether field `name` has `value`. Raises Refused, Impossible."""
    field = fields[name]
    if isinstance(value, SigmaTimestampPart):
        return _part(name, field, value)
    if field.kind == "time":
        raise Refused(f"{name} is a time: ask for a part of it, as in {name}|hour")
    if isinstance(value, SigmaExists):
        return _null(name, field, wanted=not value.exists)
    if isinstance(value, SigmaNull):
        return _null(name, field, wanted=True)
    if isinstance(value, SigmaFieldReference):
        return _reference(name, field, value, fields)
    if field.kind in {"number", "flag"}:
        return _figure(name, field, value)
    return _worded(name, field, value)


def _part(name: str, field: Field, value: Any) -> Atom:
    unit = value.timestamp_part.name.lower()
    if field.kind != "time":
        raise Refused(f"{name} is not a time, so it has no {unit}")
    asked = Field((unit,), pl.col(unit), "number")
    return Atom(f"{name}|{unit}", asked, "part", value.number, pl.col(unit) == value.number, (unit,))


def _null(name: str, field: Field, *, wanted: bool) -> Atom:
    nothing = field.expr.is_null()
    if field.kind in {"text", "texts"}:
        nothing |= field.expr == ""
    return Atom(name, field, "null" if wanted else "given", None, nothing if wanted else ~nothing, field.columns)


def _reference(name: str, field: Field, value: Any, fields: Mapping[str, Field]) -> Atom:
    if value.field not in fields:
        raise Impossible(unknown(value.field, fields))
    other = fields[value.field]
    if {field.kind, other.kind} - {"text", "number"} or field.kind != other.kind:
        raise Refused(f"{name} ({field.kind}) cannot be held against {value.field} ({other.kind})")
    mine, theirs = field.expr, other.expr
    if field.kind == "text":
        mine, theirs = mine.str.to_lowercase(), theirs.str.to_lowercase()
    if value.starts_with and value.ends_with:
        said = mine.str.contains(theirs, literal=True)
    elif value.starts_with:
        said = mine.str.starts_with(theirs)
    elif value.ends_with:
        said = mine.str.ends_with(theirs)
    else:
        said = mine == theirs
    what = (value.field, value.starts_with, value.ends_with)
    columns = tuple(dict.fromkeys((*field.columns, *other.columns)))
    return Atom(name, field, "ref", what, said, columns)


def _figure(name: str, field: Field, value: Any) -> Atom:
    """A number or a yes or no."""
    op = "is"
    if isinstance(value, SigmaCompareExpression):
        op, value = _COMPARED[value.op], value.number
    figure: Any
    if isinstance(value, SigmaBool):
        figure = int(value.boolean)
    elif isinstance(value, SigmaNumber):
        figure = value.number
    elif isinstance(value, SigmaString) and not value.contains_special():
        figure = _number(str(value), flag=field.kind == "flag")
    else:
        raise Refused(f"{name} is a {field.kind}: {type(value).__name__.removeprefix('Sigma')} cannot be asked of it")
    if figure is None:
        raise Impossible(f"{name} is a {field.kind}, so it is never {value}")
    if field.kind == "flag" and figure not in {0, 1}:
        raise Impossible(f"{name} is true or false, so it is never {figure}")
    column = field.expr
    said = {
        "is": column == figure, "neq": column != figure, "lt": column < figure, "lte": column <= figure,
        "gt": column > figure, "gte": column >= figure,
    }[op]  # fmt: skip
    return Atom(name, field, op, figure, said, field.columns)


def _number(text: str, *, flag: bool) -> float | None:
    if flag:
        return _TRUE.get(text.lower())
    try:
        return float(text)
    except ValueError:
        return None


def _worded(name: str, field: Field, value: Any) -> Atom:
    if isinstance(value, SigmaCompareExpression):
        raise Refused(f"{name} is text: it cannot be compared by size")
    if isinstance(value, SigmaCIDRExpression):
        network = value.network
        said: Callable[[pl.Expr], pl.Expr] = lambda column: column.map_batches(  # noqa: E731
            lambda texts: pl.Series([_inside(text, network) for text in texts], dtype=pl.Boolean), pl.Boolean
        )
        return _asked(name, field, "cidr", str(network), said, cased=True)
    if isinstance(value, SigmaRegularExpression):
        pattern = value.escape((), "\\", False, True)
        return _asked(name, field, "re", _sound(pattern), lambda column: column.str.contains(pattern), cased=True)
    if isinstance(value, SigmaString):
        if value.contains_placeholder():
            raise Refused("a placeholder that [detectors.sigma.placeholders] does not name")
        return _string(name, field, value.s, cased=isinstance(value, SigmaCasedString))
    if isinstance(value, (SigmaNumber, SigmaBool)):
        return _string(name, field, (str(value).lower(),), cased=False)
    raise Refused(f"{name}: {type(value).__name__} is not understood")


def _string(name: str, field: Field, parts: Any, *, cased: bool) -> Atom:
    many = SpecialChars.WILDCARD_MULTI
    if not cased:
        parts = [part.lower() if isinstance(part, str) else part for part in parts]
    text = next((part for part in parts if isinstance(part, str)), "")
    shape = "".join("t" if isinstance(part, str) else "*" if part is many else "?" for part in parts)
    if not text and "?" not in shape:
        return _null(name, field, wanted=not shape)
    plain: dict[str, tuple[str, Callable[[pl.Expr], pl.Expr]]] = {
        "t": ("is", lambda column: column == text),
        "t*": ("prefix", lambda column: column.str.starts_with(text)),
        "*t": ("suffix", lambda column: column.str.ends_with(text)),
        "*t*": ("contains", lambda column: column.str.contains(text, literal=True)),
    }
    if shape in plain:
        op, said = plain[shape]
        return _asked(name, field, op, text, said, cased=cased)
    wild = {many: ".*", SpecialChars.WILDCARD_SINGLE: "."}
    pattern = f"(?s)^{''.join(re.escape(part) if isinstance(part, str) else wild[part] for part in parts)}$"
    return _asked(name, field, "like", _sound(pattern), lambda column: column.str.contains(pattern), cased=cased)


def _asked(
    name: str, field: Field, op: str, value: str, said: Callable[[pl.Expr], pl.Expr], *, cased: bool
) -> Atom:  # fmt: skip
    """An atom on text; of a list, one item suffices."""
    if field.kind == "texts":
        items = field.expr.str.split(BETWEEN)
        element = pl.element() if cased else pl.element().str.to_lowercase()
        return Atom(name, field, op, value, items.list.eval(said(element)).list.any(), field.columns, cased)
    given = (field.expr if cased else field.expr.str.to_lowercase()).alias(f"{name}{' as is' if cased else ''}\x1f")
    return Atom(name, field, op, value, said(pl.col(given.meta.output_name())), field.columns, cased, given)


def _sound(pattern: str) -> str:
    """The pattern, if it can be run in linear time. Raises Refused."""
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.ComputeError:
        raise Refused(
            f"the regular expression {pattern!r} needs looking around or back, which cannot be run in linear time"
        ) from None
    return pattern


def _inside(text: str | None, network: Any) -> bool:
    address = _address(text or "")
    return address is not None and address.version == network.version and address in network


@lru_cache(maxsize=65_536)
def _address(text: str) -> Any:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def unknown(name: str, fields: Mapping[str, Field]) -> str:
    """Why a field is none, with what may have been meant."""
    import difflib  # noqa: PLC0415  only for a mistake

    near = difflib.get_close_matches(name, fields, 3, 0.6)
    return f"there is no field {name}" + (f"; meant: {' or '.join(near)}?" if near else "")
