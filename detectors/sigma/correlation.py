"""A Sigma correlation to what the sliding windows need to know of it, or the reason why it cannot be run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sigma.correlations import (
    CorrelationConditionAND,
    CorrelationConditionNOT,
    CorrelationConditionOR,
    SigmaCorrelationConditionOperator,
    SigmaExtendedCorrelationCondition,
)

from detectors.sigma.atoms import Impossible, Refused, unknown
from detectors.sigma.model import Correlation, Wanted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectors.sigma.fields import Field
    from detectors.sigma.model import Rule

_KINDS: Final = ("event_count", "value_count", "temporal", "temporal_ordered")
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
    need, exactly, wanted, counted = _condition(told, kind, names, fields)
    return Correlation(
        **meta, kind=kind, members=members, span_us=told.timespan.seconds * 1_000_000,
        group_names=tuple(told.group_by or ()), groups=groups, need=need, exactly=exactly, wanted=wanted,
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
