"""Values that must not be kept: credentials in requests to Azure and in its answers."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from pipeline.decoders._exact import RefusedError, dumps, loads
from pipeline.decoders._tokens import REDACTED
from pipeline.decoders.azure.entry import VAULT, Body, opened

_BODIES: Final = frozenset({"requestbody", "responsebody"})
# Names under which credentials stand in requests to Azure and in its answers; of storage, key values are `value`.
_NAMED: Final = frozenset(
    {
        "value", "secretvalue", "password", "pwd", "secret", "clientsecret", "kubeconfig", "accesskey", "primarykey",
        "secondarykey", "connectionstring", "primaryconnectionstring", "secondaryconnectionstring", "privatekey",
        "accountsastoken", "servicesastoken", "token", "k", "d", "p", "q", "dp", "dq", "qi",
    }
)  # fmt: skip
_STARS: Final = re.compile(r"\**")  # what Azure itself has hidden

_ANY: Final = "|".join(sorted(_NAMED))
_INSIDE: Final = (
    rf'"(?:{_ANY})\\*"(?:[ \t\r]|\\+[nrt])*:'  # a name in the text of a body, which stands in a text itself
)
SUSPECTS: Final = rf'(?i:"(?:{_ANY})"[ \t\r]*:|(?:{"|".join(sorted(_BODIES))})\\*".*{_INSIDE})'
_SPEAKS: Final = re.compile(_INSIDE, re.IGNORECASE)


def redacted(body: Body) -> Body:
    """A record of Key Vault or of the Activity Log without values; equal to it where there are none."""
    category = body.get("category")
    inside = isinstance(category, str) and category.lower() == VAULT
    properties = opened(body.get("properties"))
    kept = _vault(properties, inside=inside)
    return body if kept == properties else {**body, "properties": kept}


def _vault(value: Any, *, inside: bool) -> Any:
    """Without values under the names of credentials; outside Key Vault's own records only in bodies of requests."""
    if isinstance(value, list):
        return [_vault(item, inside=inside) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _field(name.lower(), item, inside=inside) for name, item in value.items()}


def _field(name: str, item: Any, *, inside: bool) -> Any:
    if name in _BODIES:
        return _text(item) if isinstance(item, str) else _vault(item, inside=True)
    if inside and name in _NAMED and isinstance(item, str):
        return item if _STARS.fullmatch(item) else REDACTED
    return _vault(item, inside=inside)


def _text(body: str) -> str:
    """A body that is JSON in text; one that cannot be read goes where it speaks of credentials."""
    try:
        read = loads(body)
    except (json.JSONDecodeError, RefusedError):
        return REDACTED if _SPEAKS.search(body) else body
    kept = _vault(read, inside=True)
    return body if kept == read else dumps(kept)
