"""RBAC rules, in YAML."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from pipeline.inquiry.policy.escaped import comment, comments, history, quoted, refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.inquiry.policy.grants import Grant

# What every user may ask: discovery, version and health, and reviews of what oneself may do.
_PUBLIC: Final = re.compile(r"^/(?:api|apis|healthz|livez|readyz|openapi|version)(?:/[^/]*)?/?(?:\?.*)?$")
_SELF: Final = frozenset({"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"})
_API: Final = re.compile(
    r"^/(?:api/[^/]+|apis/(?P<group>[^/]+)/[^/]+)(?:/namespaces/(?P<namespace>[^/]+))?/(?P<resource>[^/]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<sub>.+))?$"
)
_NAMELESS: Final = frozenset({"list", "watch", "create", "deletecollection"})  # verbs that no resourceNames narrow


@dataclass(frozen=True, slots=True)
class _Target:
    namespace: str
    group: str
    resource: str
    name: str
    url: str = ""


def needless(row: Mapping[str, Any]) -> bool:
    """Whether every user may do it."""
    return bool(_PUBLIC.fullmatch(row["path"])) or row["mount"].rstrip("/") in _SELF


def lines(head: Sequence[str], grants: Sequence[Grant], others: Sequence[Grant]) -> tuple[list[str], list[str]]:
    """A Role for each namespace, and a ClusterRole for what is in none."""
    found = comments([*head, "RBAC rules; name each and bind it to its subject."])
    by_space: dict[str, list[tuple[_Target, Grant]]] = defaultdict(list)
    for one in grants:
        target = _target(one)
        by_space[target.namespace].append((target, one))
    for space, members in sorted(by_space.items()):
        kind = ["kind: Role", "metadata:", '  name: "observed"', f"  namespace: {quoted(space)}"]
        wide = ["kind: ClusterRole", "metadata:", '  name: "observed"']
        found += ["---", "apiVersion: rbac.authorization.k8s.io/v1", *(kind if space else wide), "rules:"]
        for target, one in members:
            found += _rules(target, one)
    return found + refused(others), []


def _target(grant: Grant) -> _Target:
    path = grant.path.partition("?")[0]
    told = _API.fullmatch(path)
    if told is None:
        return _Target("", "", "", "", path)
    parts = {key: unquote(value or "") for key, value in told.groupdict().items()}
    if parts["resource"] in {"status", "finalize"} and not parts["name"]:
        return _Target("", parts["group"], f"namespaces/{parts['resource']}", parts["namespace"])
    resource = parts["resource"] + (f"/{parts['sub']}" if parts["sub"] else "")
    return _Target(parts["namespace"], parts["group"], resource, parts["name"])


def _rules(target: _Target, grant: Grant) -> list[str]:
    """One rule, or two: verbs that a name narrows, and verbs that it does not."""
    found = [comment(f"{grant.path}: {history(grant)}")]
    if target.url:
        return [*found, f"- nonResourceURLs: [{quoted(target.url)}]", f"  verbs: {_words(grant.capabilities)}"]
    named = [verb for verb in grant.capabilities if verb not in _NAMELESS or "/" in target.resource]
    for verbs, names in ((named, target.name), ([v for v in grant.capabilities if v not in named], "")):
        if verbs:
            found += [f"- apiGroups: [{quoted(target.group)}]", f"  resources: [{quoted(target.resource)}]"]
            found += [f"  resourceNames: [{quoted(names)}]"] if names else []
            found.append(f"  verbs: {_words(verbs)}")
    return found


def _words(words: Sequence[str]) -> str:
    return f"[{', '.join(map(quoted, words))}]"
