"""The same rules as Sigma, for systems that do not run this detector: one document a rule, from the one source."""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING, Any, Final

from detectors.invariant.rule import NEVER, PLANNED, RARE
from detectors.invariant.rules import RULES
from pipeline.core.schema import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectors.invariant.rule import Rule

_NAMES: Final = uuid.UUID("0b6a3c1e-2d60-5a8c-8f0f-6a4f1d7f3b52")
_LONG_TTL: Final = 32 * 86_400
_FIELDS: Final = {
    "at": "request.path", "rest": "path_in_mount", "verb": "request.operation", "engine": "engine", "error": "error",
    "policies": "auth.policies", "login_policies": "response.auth.policies", "token_ttl": "response.auth.token_ttl",
    "principal_type": "principal_type", "clear": "clear", "outcome": "outcome",
}  # fmt: skip
_HARMLESS: Final = {
    PLANNED: "Planned and approved changes",
    NEVER: "None in normal running",
    RARE: "The few identities whose task it is",
    "token_long_lived": "Roles that are meant to give long-lived tokens",
    "unwrap_refused": "A receiver who asks again after a time-out",
    "secret_id_issued": "The deployment system, at deployments",
}
_LOG: Final = (
    "An audit device of HashiCorp Vault or OpenBao, request and response joined. request.path is relative to the"
    " namespace and without a slash at its end; path_in_mount is what follows the mount in it; engine is"
    " request.mount_type; clear marks entries with values that are not hashed; principal_type and outcome are named as"
    " keytrail names them."
)
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_WORDS: Final = ("true", "false", "null", "yes", "no", "on", "off")


class _NotToBeSaid(Exception):  # noqa: N818  it is an answer
    """A question that only another store's log answers."""


def documents() -> Iterator[tuple[str, str]]:
    """(rule id, YAML) of every rule over the log of Vault and OpenBao."""
    for rule in RULES:
        try:
            detection = _Detection(rule)
        except _NotToBeSaid:
            continue
        yield rule.id, _yaml(_document(rule, detection))


def _document(rule: Rule, detection: _Detection) -> dict[str, Any]:
    return {
        "title": rule.title,
        "id": str(uuid.uuid5(_NAMES, rule.id)),
        "name": rule.id,
        "status": "test",
        "description": f"{rule.title}. {rule.next_step}",
        "author": "keytrail",
        "tags": [f"attack.{technique.lower()}" for technique in rule.techniques],
        "logsource": {"product": "vault", "service": "audit", "definition": _LOG},
        "detection": {**detection.selections, "condition": detection.condition},
        "falsepositives": [_HARMLESS.get(rule.id) or _HARMLESS[rule.expected]],
        "level": rule.severity,
    }


class _Detection:
    """A rule's question as named selections and a condition over them."""

    def __init__(self, rule: Rule) -> None:
        self.selections: dict[str, Any] = {}
        said: tuple[Any, ...] = rule.when.said
        if rule.outcomes != OUTCOMES:
            said = ("and", said, ("is", "outcome", rule.outcomes))
        self.condition = self._told(said, outer=True)

    def _told(self, said: tuple[Any, ...], *, outer: bool = False) -> str:
        kind, *parts = said
        if kind == "not":
            return f"not {self._told(parts[0])}"
        if kind == "or":
            whole = " or ".join(self._told(part) for part in _flat(said, "or"))
            return whole if outer else f"({whole})"
        if kind == "and":
            return self._all(_flat(said, "and"), outer=outer)
        return self._select(_leaf(said))

    def _all(self, parts: list[tuple[Any, ...]], *, outer: bool) -> str:
        """One selection of what can stand in one, and the rest by name."""
        together: dict[str, Any] = {}
        apart = []
        for part in parts:
            if part == ("true", "is_vault"):
                continue
            leaf = _leaf(part) if part[0] not in {"and", "or", "not"} else None
            if isinstance(leaf, dict) and not leaf.keys() & together.keys():
                together |= leaf
            else:
                apart.append(part)
        names = ([self._select(together)] if together else []) + [self._told(part) for part in apart]
        whole = " and ".join(names)
        return whole if outer or len(names) == 1 else f"({whole})"

    def _select(self, leaf: Any) -> str:
        for name, known in self.selections.items():
            if known == leaf:
                return name
        name = f"selection_{len(self.selections) + 1}" if self.selections else "selection"
        self.selections[name] = leaf
        return name


def _flat(said: tuple[Any, ...], kind: str) -> list[tuple[Any, ...]]:
    if said[0] != kind:
        return [said]
    return [leaf for part in said[1:] for leaf in _flat(part, kind)]


def _leaf(said: tuple[Any, ...]) -> Any:
    """A selection: a map, or a list of maps of which one suffices."""
    kind, column, *more = said
    if said == ("true", "is_canary"):
        return {"secret|expand": "%canary_secrets%"}
    if column == "flags":
        hashed = [name for name in more[0] if "=" in name]  # not to be said of the entry as it stands
        flags: list[dict[str, Any]] = [
            {f"{'response' if name == 'complete' else 'request'}.data.{name}": True}
            for name in more[0] if name not in hashed
        ]  # fmt: skip
        flags += [{"flags": hashed[0] if len(hashed) == 1 else hashed}] if hashed else []
        return flags[0] if len(flags) == 1 else flags
    if column not in _FIELDS or kind == "beyond":
        raise _NotToBeSaid
    name = _FIELDS[column]
    if kind in {"is", "has", "begins"}:
        values = list(more[0])
        return {name + ("|startswith" if kind == "begins" else ""): values[0] if len(values) == 1 else values}
    if kind == "matches":
        return {f"{name}|re": more[0]}
    if kind in {"least", "more"}:
        return {f"{name}|{'gte' if kind == 'least' else 'gt'}": _LONG_TTL}
    return {name: True}


def _yaml(value: Any) -> str:
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Any) -> Iterator[str]:
    """A map or a list in block style; everything here is text, whole numbers, true, lists and maps."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, (dict, list)):
                yield f"{_scalar(key)}:"
                yield from (f"  {line}" for line in _lines(item))
            else:
                yield f"{_scalar(key)}: {_scalar(item)}"
        return
    for item in value:
        lines = list(_lines(item)) if isinstance(item, (dict, list)) else [_scalar(item)]
        yield f"- {lines[0]}"
        yield from (f"  {line}" for line in lines[1:])


def _scalar(value: Any) -> str:
    if value is True or isinstance(value, int):
        return str(value).lower()
    text = str(value)
    simple = all(_PLAIN.fullmatch(word) for word in text.replace("|", " ").split(" "))
    if simple and text.lower() not in _WORDS and "  " not in text:
        return text
    return json.dumps(text, ensure_ascii=False)
