"""Taking values of secrets and tokens out of an event that shows its request's or its answer's object.

A policy of level Request or RequestResponse for Secrets writes their values into the log.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from pipeline.decoders._exact import RefusedError, dumps, loads
from pipeline.decoders._tokens import REDACTED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.decoders._object import Body

_OBJECTS: Final = frozenset({"requestObject", "responseObject"})
_KINDS: Final = ("Secret", "SecretList")
_VALUES: Final = frozenset({"data", "stringdata"})
_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"  # an object's former text, all of it
_PATCH: Final = "patch.webhook.admission.k8s.io/"  # what a webhook put into an object
_KEPT_PARTS: Final = ("/metadata", "/type", "/immutable", "/kind", "/apiVersion")  # of a secret, in a JSON patch
# Written by whoever took a value out before: no value.
_GONE: Final = re.compile(r"|\*+|[\[<(]*(?:secret contents )?(?:redacted|removed|hidden|masked)[\])>]*", re.IGNORECASE)

_SPACE: Final = r"(?:[ \t\r]|\\+[nrt])*"  # also within text within text
_URI: Final = r"/api/v1/(?:watch/)?(?:namespaces/[^/\"]*/)?secrets"
_OF_SECRETS: Final = rf'"secrets\\*"|{_URI}|Secret(?:List)?\\*"'
_TOKEN: Final = rf'"(?i:token)\\*"{_SPACE}:{_SPACE}\\*"[^"]'  # an API server writes an empty one into requests
_STEP: Final = rf'"op\\*"{_SPACE}:'
_JWT: Final = r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
_JWT_ALONE: Final = r"eyJ[A-Za-z0-9_-]{8,}+\.eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]*+"  # tried once at each word
_SHOWING: Final = r'"(?:request|response)Object"|patch\.webhook\.'
# In the text of every line that `redacted` changes, and of lines that have "\/" for "/": names that are read have one.
SUSPECTS: Final = (
    rf"(?:{_SHOWING}).*(?:{_OF_SECRETS})|(?:{_OF_SECRETS}).*(?:{_SHOWING})|{_TOKEN}|{_STEP}|{_JWT}|\\/|\\u002[fF]"
)
_DOUBTFUL: Final = re.compile(f"{_OF_SECRETS}|{_TOKEN}")
_SECRETS_URI: Final = re.compile(_URI)
_JWTS: Final = re.compile(rf"(?<![A-Za-z0-9_-]){_JWT_ALONE}")


def redacted(event: Body) -> Body:
    """The event without values; equal to it where there are none."""
    secret = _of_secrets(event)
    kept = {name: _whole(item, secret) if name in _OBJECTS else item for name, item in event.items()}
    notes = event.get("annotations")
    if secret and isinstance(notes, dict):
        kept["annotations"] = {name: REDACTED if name.startswith(_PATCH) else item for name, item in notes.items()}
    cleaned: Body = _without_jwts(kept)
    return cleaned


def _of_secrets(event: Mapping[str, Any]) -> bool:
    ref, uri = event.get("objectRef"), event.get("requestURI")
    named = isinstance(ref, dict) and ref.get("resource") == "secrets"
    return named or (isinstance(uri, str) and _SECRETS_URI.search(uri) is not None)


def _whole(value: Any, secret: bool) -> Any:
    """All of an object, which some who pass events on write as text."""
    return _text(value, secret) if isinstance(value, str) else _object(value, secret)


def _object(value: Any, secret: bool) -> Any:
    """Any part of an object, of a list of them, or of a patch. `secret`: it is about secrets."""
    if isinstance(value, list):
        return [_object(item, secret) for item in value]
    if isinstance(value, dict):
        inside = secret or value.get("kind") in _KINDS
        made = {name: _member(name, item, inside) for name, item in value.items()}
        return _step(made, inside) if isinstance(value.get("op"), str) and "value" in value else made
    return value


def _member(name: str, value: Any, secret: bool) -> Any:
    if name.lower() in _VALUES and secret:
        return _blank(value)
    if name.lower() == "token" and isinstance(value, str):
        return _blank(value)
    if name == _APPLIED and isinstance(value, str):
        return _text(value, secret)
    return _object(value, secret)


def _step(step: Body, secret: bool) -> Body:
    """One step of a JSON patch, whose value belongs where its path says."""
    path = step.get("path")
    path = path if isinstance(path, str) else "/"
    last = path.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
    value = _member(last, step["value"], secret)
    hidden = secret and path != "" and not path.startswith(_KEPT_PARTS)
    return {**step, "value": _blank(value) if hidden else value}


def _text(text: str, secret: bool) -> str:
    """An object's JSON text."""
    try:
        value = loads(text)
    except (RefusedError, json.JSONDecodeError):
        return REDACTED if text and (secret or _DOUBTFUL.search(text)) else text
    if not isinstance(value, (dict, list)):
        return text if not secret else str(_blank(text))
    kept = _object(value, secret)
    return text if kept == value else dumps(kept)


def _blank(value: Any) -> Any:
    """The names below `value`, nothing of what they name."""
    if isinstance(value, dict):
        return {name: _blank(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_blank(item) for item in value]
    if value is None or (isinstance(value, str) and _GONE.fullmatch(value)):
        return value
    return REDACTED


def _without_jwts(value: Any) -> Any:
    if isinstance(value, str):
        return _JWTS.sub(REDACTED, value)
    if isinstance(value, list):
        return [_without_jwts(item) for item in value]
    if isinstance(value, dict):
        return {_without_jwts(name): _without_jwts(item) for name, item in value.items()}
    return value
