"""A Sigma correlation to what the sliding windows need to know of it, or the reason why it cannot be run."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from sigma.correlations import (
    CorrelationConditionAND,
    CorrelationConditionNOT,
    CorrelationConditionOR,
    SigmaCorrelationCondition,
    SigmaCorrelationConditionOperator,
    SigmaExtendedCorrelationCondition,
)
from sigma.exceptions import SigmaError

from detectors.sigma import lint
from detectors.sigma.atoms import Impossible, Refused, unknown
from detectors.sigma.model import MOST_AMOUNT, THOUSANDTHS, Asked, Correlation, Wanted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectors.sigma.fields import Field
    from detectors.sigma.model import Rule

_AMOUNTS: Final = {
    "value_sum": "a sum", "value_avg": "an average", "value_percentile": "a percentile", "value_median": "a median",
}  # fmt: skip
_KINDS: Final = ("event_count", "value_count", "temporal", "temporal_ordered", *_AMOUNTS)
_OPS: Final = SigmaCorrelationConditionOperator
_LONGEST_DAYS: Final = 31


def correlation_of(
    told: Any, rules: Sequence[Rule], places: Mapping[str, int], gone: Mapping[str, str], meta: Mapping[str, Any]
) -> Correlation:
    """Raises Refused, Impossible."""
    kind = told.type.name.lower()
    if kind not in _KINDS:
        raise Refused(f"correlations of type {kind} are not run; there are: {', '.join(_KINDS)}")
    if told.timespan.seconds > _LONGEST_DAYS * 86_400:
        raise Refused(f"a timespan of {told.timespan.spec} is longer than {_LONGEST_DAYS} days")
    names = _references(told)
    members = tuple(_member(name, places, gone) for name in names)
    aliases = {alias.alias: {ref.reference: to for ref, to in alias.mapping.items()} for alias in told.aliases}
    fields = [rules[place].fields for place in members]
    groups = tuple(
        tuple(_field(aliases.get(group, {}).get(name, group), known) for group in told.group_by or ())
        for name, known in zip(names, fields, strict=True)
    )
    asked = None
    if kind in _AMOUNTS:
        asked, counted = _amounts(told, kind, [rules[place] for place in members])
        need, exactly, wanted = 1, False, None
    else:
        need, exactly, wanted, counted = _condition(told, kind, names, fields)
    return Correlation(
        **meta, kind=kind, members=members, span_us=told.timespan.seconds * 1_000_000,
        group_names=tuple(told.group_by or ()), groups=groups, need=need, exactly=exactly, wanted=wanted, asked=asked,
        counted=counted, counted_name=", ".join(_counted_names(told)),
    )  # fmt: skip


def _references(told: Any) -> list[str]:
    if told.rules is not None:
        return [ref.reference for ref in told.rules]
    return list(told.condition.get_referenced_rules())


def _member(name: str, places: Mapping[str, int], gone: Mapping[str, str]) -> int:
    if name in places:
        return places[name]
    if name in gone:
        raise Refused(f"it needs the rule {name}, which is not run: {gone[name]}")
    raise Refused(f"it needs the rule {name}, which is in none of the files, or is a correlation itself")


def _field(name: str, known: Mapping[str, Field]) -> Field:
    if name not in known:
        raise Impossible(unknown(name, known))
    if known[name].kind in {"texts", "time"}:
        raise Refused(f"{name} is a {known[name].kind}: operations cannot be grouped or counted by it")
    return known[name]


def _counted_names(told: Any) -> tuple[str, ...]:
    named = getattr(told.condition, "fieldref", None)
    return () if named is None else (named,) if isinstance(named, str) else tuple(named)


def _condition(
    told: Any, kind: str, names: Sequence[str], fields: Sequence[Mapping[str, Field]]
) -> tuple[int, bool, Wanted | None, tuple[Field, ...]]:
    """How many are needed, whether exactly, which members a temporal rule wants, and what is counted."""
    condition = told.condition
    if isinstance(condition, SigmaExtendedCorrelationCondition):
        if kind == "temporal_ordered":
            raise Refused("an order with a condition of its own says two things; give the rules in order")
        return len(names), False, _wanted(condition.parsed, names), ()
    need, op = condition.count, condition.op
    if op not in {_OPS.GTE, _OPS.GT, _OPS.EQ}:
        raise Refused(
            f"{op.name.lower()}: what has not happened is known only when the time is over; ask gte, gt or eq"
        )
    need = int(need) + 1 if op is _OPS.GT else need
    if need != int(need) or need < 1:
        raise Impossible(f"there are never {op.name.lower()} {condition.count} of them" if need != int(need) else
                         f"{op.name.lower()} {condition.count} holds when nothing has happened")  # fmt: skip
    if kind.startswith("temporal"):
        if need > len(set(names)) if kind == "temporal" else need > len(names):
            raise Impossible(f"it asks for {need} of {len(names)} rules")
        if kind == "temporal_ordered" and need != len(names):
            raise Refused("an order needs all of its rules; leave the condition out")
        if op is _OPS.EQ:
            raise Refused("eq: which rules do not follow is known only when the time is over; ask gte")
    counted: tuple[Field, ...] = ()
    if kind == "value_count":
        counted = _counted(_counted_names(told), fields, int(need))
    return int(need), op is _OPS.EQ, None, counted


def _amounts(told: Any, kind: str, rules: Sequence[Rule]) -> tuple[Asked, tuple[Field, ...]]:
    """What is asked of the amounts of a field, and the field in each rule. Raises what can never be reached."""
    condition, names = told.condition, _counted_names(told)
    if len(names) != 1:
        raise Refused(f"{_AMOUNTS[kind]} is of one field, not of several together")
    found = tuple(_numeric(names[0], rule.fields, kind) for rule in rules)
    percentile, op = _percentile(condition.percentile, kind), condition.op.name.lower()
    limit = Fraction(str(condition.count)) * THOUSANDTHS
    if limit.denominator != 1:
        raise Refused(f"{condition.count}: amounts are counted in thousandths; give three decimals at most")
    most = MOST_AMOUNT * (1 if kind != "value_sum" else THOUSANDTHS // 2)
    if abs(condition.count) > most:
        raise Refused(f"{condition.count} is beyond what is counted, {most:,}")
    if kind == "value_sum" and op not in {"gt", "gte", "eq"}:
        raise Refused(f"{op}: a sum still grows until the time is over; ask gte, gt or eq")
    if kind == "value_sum" and limit <= 0 and (op != "gt" or limit < 0):
        raise Impossible(f"{op} {condition.count} holds when nothing has happened")
    lint.reachable(names[0], found, [rule.test for rule in rules], op, condition.count, whole=kind == "value_sum")
    return Asked(op, int(limit), percentile), found


def _numeric(name: str, known: Mapping[str, Field], kind: str) -> Field:
    if name not in known:
        raise Impossible(unknown(name, known))
    if known[name].kind != "number":
        numbers = ", ".join(sorted(key for key, field in known.items() if field.kind == "number"))
        raise Impossible(
            f"{name} is a {known[name].kind}, of which there is never {_AMOUNTS[kind]}; numbers are: {numbers}"
        )
    return known[name]


def _percentile(told: int | None, kind: str) -> int:
    if kind != "value_percentile":
        if told is not None:
            raise Refused(f"a percentile says nothing in a {kind}; the type for it is value_percentile")
        return 50 if kind == "value_median" else 0
    if told is None:
        raise Refused("which percentile is not said; give it in the condition, as in percentile: 95")
    if not 1 <= told <= 100:
        raise Impossible(f"there is no percentile {told}; they go from 1 to 100")
    return told


def unsound(document: Any) -> str:
    """Why the condition of a correlation, as it stood in the file, is none; "" where it is sound or there is none.

    pySigma would leave out the rest of the file with it, and cut a percentile to a whole number.
    """
    correlation = document.get("correlation") if isinstance(document, dict) else None
    condition = correlation.get("condition") if isinstance(correlation, dict) else None
    if not isinstance(condition, dict):
        return ""
    percentile = condition.get("percentile", 1)
    if not re.fullmatch(r"-?[0-9]+", str(percentile)):
        return f"a percentile is a whole number from 1 to 100, not {percentile}"
    try:
        SigmaCorrelationCondition.from_dict({str(key): value for key, value in condition.items()})
    except SigmaError as why:
        return str(why)
    return ""


def _counted(names: Sequence[str], fields: Sequence[Mapping[str, Field]], need: int) -> tuple[Field, ...]:
    if len(names) != 1:
        raise Refused("values of one field can be counted, not of several together")
    found = tuple(_field(names[0], known) for known in fields)
    most = len(found[0].values)
    if most and need > most:
        raise Impossible(f"it asks for {need} different values of {names[0]}, which has {most}")
    return found


def _wanted(item: Any, names: Sequence[str]) -> Wanted:
    if isinstance(item, (CorrelationConditionAND, CorrelationConditionOR)):
        kind = "and" if isinstance(item, CorrelationConditionAND) else "or"
        return Wanted(kind, tuple(_wanted(part, names) for part in item.args))
    if isinstance(item, CorrelationConditionNOT):
        raise Refused("not: what has not happened is known only when the time is over")
    return Wanted("member", member=list(names).index(item.reference))
