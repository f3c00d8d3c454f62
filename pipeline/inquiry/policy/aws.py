"""An IAM policy document. JSON takes no comments, so what is to be told stands beside it."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from pipeline.core.text import json_shown
from pipeline.inquiry.policy.escaped import history, refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.inquiry.policy.grants import Grant

_LITERAL: Final = str.maketrans({"*": "${*}", "?": "${?}", "$": "${$}"})  # what IAM would take for more than itself
_NAMED: Final = {  # of a service: how an ARN is made of a name, and what the name may begin with
    "secretsmanager": "secret:{}-??????",
    "ssm": "parameter/{}",
    "kms": "key/{}",
}


def lines(head: Sequence[str], grants: Sequence[Grant], others: Sequence[Grant]) -> tuple[list[str], list[str]]:
    """The document, and notes on it."""
    statements: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    notes = list(head)
    for one in grants:
        resource, alias = _resource(one)
        if resource == "*":
            notes.append(f"{', '.join(_actions(one))}: the log tells no resource, so Resource is *")
        statements[tuple(_actions(one)), alias, resource == "*"].add(resource)
        notes.append(f"{one.path} {', '.join(one.capabilities)}: {history(one)}")
    document = {
        "Version": "2012-10-17",
        "Statement": [_statement(key, found) for key, found in sorted(statements.items())],
    }
    notes += [line.removeprefix("# ") for line in refused(others) if line]
    return json_shown(json.dumps(document, indent=2, ensure_ascii=False)).splitlines(), notes


def _statement(key: tuple[Any, ...], resources: set[str]) -> dict[str, Any]:
    actions, alias, _ = key
    found: dict[str, Any] = {"Effect": "Allow", "Action": list(actions), "Resource": sorted(resources)}
    if alias:
        found["Condition"] = {"StringEquals": {"kms:RequestAlias": alias}}
    return found


def _actions(grant: Grant) -> list[str]:
    service = grant.mount.rstrip("/") or grant.path.partition("/")[0]
    return [f"{service}:{word}" for word in grant.capabilities]


def _resource(grant: Grant) -> tuple[str, str]:
    """The ARN, and the alias that a key was asked for by."""
    service, path = grant.mount.rstrip("/"), grant.path
    if path.startswith("arn:") and ":alias/" not in path:
        return path.translate(_LITERAL), ""
    account, _, region = grant.namespace.partition("/")
    if service == "kms" and (alias := path[path.find("alias/") :] if "alias/" in path else ""):
        return f"arn:aws:kms:{region}:{account}:key/*", alias.translate(_LITERAL)
    if service not in _NAMED or path.startswith(f"{service}/"):
        return "*", ""
    name = _NAMED[service].format("\0").replace("\0", path.lstrip("/").translate(_LITERAL))
    return f"arn:aws:{service}:{region}:{account}:{name}", ""
