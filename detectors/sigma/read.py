"""Rule files to rules that can be run, and a reason for each that cannot. pySigma reads; what it says ends here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from sigma.collection import SigmaCollection
from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
    ConditionValueExpression,
)
from sigma.correlations import SigmaCorrelationRule
from sigma.exceptions import SigmaError
from sigma.types import SigmaExpansion

from detectors.sigma import lint
from detectors.sigma.atoms import Impossible, Refused, atom_of, unknown
from detectors.sigma.correlation import correlation_of, unsound
from detectors.sigma.fields import STREAMS
from detectors.sigma.model import Atom, Node, Pack, Problem, Rule
from pipeline.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from detectors.sigma.fields import Stream
    from detectors.sigma.model import Correlation

PACKS: Final = Path(__file__).parent / "packs"
_JOINED: Final = {ConditionAND: "and", ConditionOR: "or"}
_CONFIDENCE: Final = {"stable": 0.9, "test": 0.8, "experimental": 0.6}


@dataclass(frozen=True, slots=True)
class _Read:
    """A rule as pySigma has it, and where it stood."""

    file: str
    rule: Any

    @property
    def called(self) -> str:
        return self.rule.title or self.rule.name or str(self.rule.id or "a rule without title")

    def problem(self, why: Refused | SigmaError) -> Problem:
        return Problem(self.file, self.called, str(why), impossible=isinstance(why, Impossible))


def read(
    paths: Iterable[str], placeholders: Mapping[str, Sequence[str]], *, off: Sequence[str] = (), ours_only: bool = False
) -> Pack:
    """Every rule in files and folders (recursive: *.yml, *.yaml). Raises ConfigError for a path that is none.

    With `ours_only`, rules for streams that keytrail does not read are left out without a word.
    """
    found: list[_Read] = []
    problems: list[Problem] = []
    filters: list[Any] = []
    for file in _files(paths):
        _collect(file, off, found, filters, problems)
    found = [one for one in found if not set(_names(one.rule)) & set(off)]
    plain = [one for one in found if not isinstance(one.rule, SigmaCorrelationRule)]
    rules: list[Rule] = []
    places: dict[str, int] = {}
    gone: dict[str, str] = {}
    for one in plain:
        if ours_only and one.rule.logsource.product not in STREAMS:
            continue
        try:
            rule = _rule(one.rule, filters, placeholders)
        except (Refused, SigmaError) as why:
            problems.append(one.problem(why))
            gone |= dict.fromkeys(_names(one.rule), str(why))
            continue
        places |= dict.fromkeys(_names(one.rule), len(rules))
        rules.append(rule)
    correlations, silent = _correlations(found, rules, places, gone, problems)
    return Pack(
        tuple(_hushed(rule) if place in silent else rule for place, rule in enumerate(rules)),
        tuple(correlations),
        tuple(problems),
    )


def _correlations(
    found: list[_Read], rules: list[Rule], places: dict[str, int], gone: dict[str, str], problems: list[Problem]
) -> tuple[list[Correlation], set[int]]:
    """The correlations that can be run, and the rules that are only theirs."""
    kept, silent = [], set()
    for one in found:
        if not isinstance(one.rule, SigmaCorrelationRule):
            continue
        try:
            correlation = correlation_of(one.rule, rules, places, gone, _meta(one.rule))
        except (Refused, SigmaError) as why:
            problems.append(one.problem(why))
            continue
        kept.append(correlation)
        if not one.rule.generate:
            silent |= set(correlation.members)
    return kept, silent


def _files(paths: Iterable[str]) -> Iterator[Path]:
    for text in paths:
        path = PACKS / text.removeprefix("pack:") if text.startswith("pack:") else Path(text).expanduser()
        if path.is_dir():
            yield from sorted(file for kind in ("*.yml", "*.yaml") for file in path.rglob(kind))
        elif path.is_file():
            yield path
        else:
            packs = ", ".join(sorted(f"pack:{folder.name}" for folder in PACKS.iterdir()))
            raise ConfigError(f"[detectors.sigma] rules: there is no file or folder {text}; packs are {packs}")


def _collect(
    file: Path, off: Sequence[str], found: list[_Read], filters: list[Any], problems: list[Problem]
) -> None:  # fmt: skip
    """The rules of one file; what cannot be read is a problem of its own."""
    try:
        whole = list(yaml.safe_load_all(file.read_text("utf-8")))
        documents = list(_sound(file, whole, off, problems))
        collection = SigmaCollection.from_dicts(
            documents, collect_errors=True, collect_filters=True, resolve_references=False
        )
    except OSError as error:
        raise ConfigError(f"[detectors.sigma] rules: {file}: {error.strerror}") from None
    except (yaml.YAMLError, SigmaError, UnicodeDecodeError, AttributeError, TypeError) as error:
        problems.append(Problem(str(file), "the file", f"is no Sigma rule: {str(error).splitlines()[0]}"))
        return
    filters += collection.filters
    for rule in collection.rules:
        one = _Read(str(file), rule)
        if rule.errors:
            problems.extend(one.problem(error) for error in rule.errors)
        else:
            found.append(one)
    if not collection.rules and not collection.filters and len(documents) == len(whole):
        problems.append(Problem(str(file), "the file", "; ".join(map(str, collection.errors)) or "holds no rule"))


def _sound(file: Path, documents: Iterable[Any], off: Sequence[str], problems: list[Problem]) -> Iterator[Any]:
    """The documents that pySigma can read without losing others."""
    for document in documents:
        why = unsound(document)
        if not why:
            yield document
        elif not {str(document.get("name")), str(document.get("id"))} & set(off):
            named = document.get("title") or document.get("name") or document.get("id") or "a rule without title"
            problems.append(Problem(str(file), str(named), why))


def _names(rule: Any) -> list[str]:
    return [str(name) for name in (rule.id, rule.name) if name is not None]


def _meta(rule: Any) -> dict[str, Any]:
    """What a finding of a rule always says."""
    tags = [tag.name.upper() for tag in rule.tags if tag.namespace == "attack" and tag.name[:1] in "tT"]
    return {
        "id": rule.name or str(rule.id or rule.title),
        "title": rule.title or rule.name or str(rule.id),
        "level": rule.level.name.lower() if rule.level else "medium",
        "confidence": _CONFIDENCE.get(rule.status.name.lower() if rule.status else "", 0.7),
        "techniques": tuple(tag for tag in tags if tag[1:2].isdigit()),
        "harmless": tuple(str(text) for text in rule.falsepositives or ()),
    }


def _hushed(rule: Rule) -> Rule:
    return replace(rule, silent=True)


def _rule(rule: Any, filters: list[Any], placeholders: Mapping[str, Sequence[str]]) -> Rule:
    stream = _stream(rule.logsource)
    rule = reduce(lambda kept, one: one.apply_on_rule(kept), filters, rule)
    tests = [_node(condition.parsed, stream, placeholders) for condition in rule.detection.parsed_condition]
    test = tests[0] if len(tests) == 1 else Node("or", tuple(tests))
    if stream.store:
        test = Node("and", (_is_store(stream), test))
    lint.possible(test)
    return Rule(**_meta(rule), fields=dict(stream.fields), test=test)


def _is_store(stream: Stream) -> Node:
    field = stream.fields["store"]
    return Node("atom", atom=Atom("store", field, "is", stream.store, field.expr == stream.store, field.columns))


def _stream(source: Any) -> Stream:
    """What a logsource stands for. Raises Impossible."""
    told = ", ".join(f"{k} {v}" for k in ("category", "product", "service") if (v := getattr(source, k)))
    stream = STREAMS.get(source.product or "")
    if stream is None or source.category:
        known = ", ".join(f"{name}/{' '.join(stream.services)}" for name, stream in STREAMS.items())
        raise Impossible(f"the logsource ({told}) is no stream that is read here; there are: {known}")
    if source.service and source.service not in stream.services:
        raise Impossible(
            f"the logsource ({told}) is another stream of {source.product}; read is {', '.join(stream.services)}"
        )
    return stream


def _node(item: Any, stream: Stream, placeholders: Mapping[str, Sequence[str]]) -> Node:
    """pySigma's tree of a condition. Raises Refused, Impossible."""
    if isinstance(item, (ConditionAND, ConditionOR)):
        return Node(_JOINED[type(item)], tuple(_node(part, stream, placeholders) for part in item.args))
    if isinstance(item, ConditionNOT):
        return Node("not", (_node(item.args[0], stream, placeholders),))
    if isinstance(item, ConditionFieldEqualsValueExpression):
        if item.field not in stream.fields:
            raise Impossible(unknown(item.field, stream.fields))
        return _value(item.field, item.value, stream, placeholders)
    if isinstance(item, ConditionValueExpression):
        raise Refused("a keyword without a field would search the line as it was logged, which rules do not see")
    raise Refused("the condition is empty")


def _value(name: str, value: Any, stream: Stream, placeholders: Mapping[str, Sequence[str]]) -> Node:
    if isinstance(value, SigmaExpansion):
        return Node("or", tuple(_value(name, one, stream, placeholders) for one in value.values))
    if getattr(value, "contains_placeholder", lambda: False)():
        return Node("or", tuple(_filled(name, value, stream, placeholders)))
    return Node("atom", atom=atom_of(name, value, stream.fields))


def _filled(name: str, value: Any, stream: Stream, placeholders: Mapping[str, Sequence[str]]) -> Iterator[Node]:
    def fill(placeholder: Any) -> Iterator[str]:
        if placeholder.name not in placeholders:
            raise Refused(f"%{placeholder.name}% is not in [detectors.sigma.placeholders]")
        yield from placeholders[placeholder.name]

    for one in value.replace_placeholders(fill):
        yield Node("atom", atom=atom_of(name, one, stream.fields))
