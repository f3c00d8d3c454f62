"""What makes a JSON object an audit entry, and what of one must not be kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from pipeline.decoders._format import Signs
from pipeline.decoders._tokens import REDACTED
from pipeline.decoders.gcp.fields import AUDIT_LOG

Body = dict[str, Any]
Hides = Callable[[str], bool]

SIGNS: Final = Signs(
    ("protoPayload", "insertId", "logName"),
    ("protoPayload", "insertId", "logName"),
    r'"(?:protoPayload|authenticationInfo|authorizationInfo|methodName)":',
)
_NAMES: Final = ("serviceName", "methodName", "resourceName")
# A time as tables write it: LogEntry times are UTC, whether or not a copy says so.
_ZONELESS: Final = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d+)?)(?: ?UTC)?", re.ASCII)

# Keys in a request or an answer whose value is a credential. Google leaves them out; whoever copies may not.
_CREDENTIAL: Final = (
    r"(?:access(?:T|_t)oken|id(?:T|_t)oken|token|signed(?:J|_j)wt|signed(?:B|_b)lob|private(?:K|_k)ey(?:(?:D|_d)ata)?"
    r"|key(?:S|_s)tring|plaintext|password|client(?:S|_s)ecret|shared(?:S|_s)ecret|secret(?:D|_d)ata)"
)
# Services in whose requests and answers `payload` is the secret itself.
_STORES: Final = ("secretmanager.googleapis.com", "parametermanager.googleapis.com")
_ASKED_AND_TOLD: Final = ("request", "response")
# Parts of a Kubernetes secret, in its own form, in a JSON patch, and in kubectl's copy of it.
_HELD: Final = r"(?:data|stringData|value|kubectl\.kubernetes\.io/last-applied-configuration)"
_HELD_TEXT: Final = r'(?:"(?:data|stringData|value)"|last-applied-configuration")'
# Values that are a credential by their form: an access token, an API key, a private key, a JWT.
_FORM: Final = (
    r"(?:\bya29\.[A-Za-z0-9_.-]{16,}|\bAIza[A-Za-z0-9_-]{35}|(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}+\.eyJ[A-Za-z0-9_-]{8,}+"
    r"(?:\.[A-Za-z0-9_-]*)?|-----BEGIN [A-Z ]*PRIVATE KEY-----[^\x00]*)"
)
SUSPECTS: Final = (
    rf'"(?:payload|{_CREDENTIAL})"[ \t\r]*:|secrets.*{_HELD_TEXT}|{_HELD_TEXT}.*secrets'
    r"|ya29\.|AIza[A-Za-z0-9_-]{35}|eyJ[A-Za-z0-9_-]{8,}\.eyJ|PRIVATE[^\"]{1,12}KEY-----"
)

_IS_CREDENTIAL: Final = re.compile(_CREDENTIAL)
_OF_SECRETS: Final = re.compile(r"io\.k8s\.core\.v1\.secrets\.|core/v1/(?:namespaces/[^/]+/)?secrets(?:/|$)")
_IS_HELD: Final = re.compile(_HELD)
_HAS_FORM: Final = re.compile(_FORM)
_HIDDEN: Final = re.compile(r"|\[?redacted\]?|\*+", re.IGNORECASE)


def found(body: Body) -> Body | None:
    """The LogEntry that an object is, or that a CloudEvent carries as its `data`; None for anything else."""
    entry = body if "protoPayload" in body else body.get("data")
    if not isinstance(entry, dict) or not _is_audit(entry.get("protoPayload")):
        return None
    times = {name: _zoned(entry.get(name)) for name in ("timestamp", "receiveTimestamp")}
    return {**entry, **{name: time for name, time in times.items() if time is not None}}


def clean(body: Body) -> tuple[Body, bool]:
    """The object without values that must not be kept, the same one where there is none, and whether there were."""
    entry = found(body) or {}
    kept: Body = _without(body, _nothing, _hider(entry.get("protoPayload", {})))
    return (body, False) if kept == body else (kept, True)


def _is_audit(payload: Any) -> bool:
    """Other payloads have a type of their own; copies may write the key otherwise, or leave it out."""
    if not isinstance(payload, dict):
        return False
    kind = payload.get("@type", payload.get("at_sign_type"))
    if isinstance(kind, str):
        return kind.endswith(AUDIT_LOG)
    return any(isinstance(payload.get(name), str) for name in _NAMES)


def _zoned(time: Any) -> str | None:
    match = _ZONELESS.fullmatch(time) if isinstance(time, str) else None
    return None if match is None else f"{match[1]}T{match[2]}Z"


def _hider(payload: Body) -> Hides:
    """Which keys of its request and its answer an entry hides the values of."""
    service = payload.get("serviceName")
    if service in _STORES:
        return lambda key: key == "payload" or _credential(key)
    named = (str(payload.get(name)) for name in ("methodName", "resourceName"))
    return _held if service == "k8s.io" and any(map(_OF_SECRETS.match, named)) else _credential


def _nothing(_: str) -> bool:
    return False


def _credential(key: str) -> bool:
    return _IS_CREDENTIAL.fullmatch(key) is not None


def _held(key: str) -> bool:
    return _credential(key) or _IS_HELD.fullmatch(key) is not None


def _without(value: Any, hides: Hides, below: Hides) -> Any:
    """Without values of keys that `hides` names, and in requests and answers of those that `below` names."""
    if isinstance(value, dict):
        return {
            key: _blanked(item) if hides(key) else _without(item, below if key in _ASKED_AND_TOLD else hides, below)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_without(item, hides, below) for item in value]
    return _HAS_FORM.sub(REDACTED, value) if isinstance(value, str) else value


def _blanked(value: Any) -> Any:
    """Every text in a value hidden; what holds it and what is no text stays."""
    if isinstance(value, dict):
        return {key: _blanked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_blanked(item) for item in value]
    return value if not isinstance(value, str) or _HIDDEN.fullmatch(value) else REDACTED
