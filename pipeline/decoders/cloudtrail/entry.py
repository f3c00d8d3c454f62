"""What makes a JSON object a CloudTrail record, and what of one is not kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.decoders._format import Signs
from pipeline.decoders._tokens import REDACTED
from pipeline.decoders.cloudtrail.fields import FIELDS
from pipeline.decoders.cloudtrail.vocabulary import NAMED_IN_REQUEST

if TYPE_CHECKING:
    from collections.abc import Iterable

Body = dict[str, Any]

SIGNS: Final = Signs(
    ("eventVersion", "awsRegion"), ("eventVersion",), r'"(?:eventSource|userIdentity|requestParameters)"\s*:'
)
MARKS: Final = ("eventSource", "eventVersion", "detail")

# Keys whose value is a secret, in any part of a record. AWS leaves most of them out or writes a placeholder.
_SECRETS: Final = (
    "secretString", "secretBinary", "plaintext", "password", "oldPassword", "newPassword", "masterUserPassword",
    "servicePassword", "randomPassword", "secretAccessKey", "privateKey", "privateKeyPlaintext", "sharedSecret",
    "keyMaterial", "clientSecret", "accessToken", "refreshToken", "idToken", "authToken", "authorizationToken",
    "webIdentityToken", "samlAssertion", "tokenCode", "authenticationCode1", "authenticationCode2", "sessionToken",
)  # fmt: skip
_KEYS: Final = frozenset(name.lower() for name in _SECRETS)
_ROUTINE: Final = "sessiontoken"  # AWS writes it into every AssumeRole: nobody's mistake
_PUT: Final = "PutParameter"  # whose `value` is the parameter's

# A value that is there and not hidden (`_is_hidden`), behind its key and colon.
_OPEN: Final = (
    r'\s*:\s*(?:"(?:[^"*H\[]|\*+[^*"]|H(?:[^I]|I(?:[^D]|D(?:[^D]|D(?:[^E]|E(?:[^N]|N[^_])))))'
    r"|\[(?:[^r]|r(?:[^e]|e[^d])))|[0-9\[{-])"
)

# Names that are looked up in these parts. A second one inside the same part leaves room for two readings.
_REQUESTED: Final = (
    "secretId", "secretIdList", "keyId", "aliasName", "sourceKeyId", "destinationKeyId", "name", "names", "path",
    "withDecryption", "versionId", "versionStage", "resourceArn", "resourceId", "resourceType", "roleArn", "roleName",
    "userName", "groupName", "policyArn", "trailName", "eventDataStore", "durationSeconds", "filters",
    "targetPrincipal",
)  # fmt: skip
_ANSWERED: Final = ("version", "parameterVersion", "accessKey", "accessKeyId", "userName", "ConsoleLogin")
_LISTS: Final = ("secretIdList", "names")
_OBJECTS: Final = ("filters", "accessKey")
_TEXTS: Final = {field.path[-1] for field in FIELDS.values() if field.kind == "text"}
_READ: Final = _TEXTS.union(_REQUESTED, _ANSWERED, ["SecretId"]).difference(_LISTS, _OBJECTS)
# Numbers and objects where a text should stand: parsers write them in more than one way.
_NO_TEXT: Final = (
    rf'"(?:{"|".join(sorted(_READ))})"\s*:\s*(?:[{{\[-]|[0-9]+(?:[.eE]|[0-9]{{15}}))'
    rf'|"(?:{"|".join(_LISTS)})"\s*:\s*\[\s*[^"\s\]]'
)
SUSPECTS: Final = (
    rf'"(?i:{"|".join(_SECRETS)})"{_OPEN}|"{_PUT}".*"value"{_OPEN}|"value"{_OPEN}.*"{_PUT}"|{_NO_TEXT}'
)  # fmt: skip


def _twice(names: Iterable[str]) -> str:
    return "|".join(f'"{name}":.*"{name}":' for name in names)


def _doubtful(part: str, pattern: str) -> pl.Expr:
    return pl.col(part).str.contains(pattern).fill_null(value=False)


_OURS: Final = pl.col("event_source").str.strip_suffix(".amazonaws.com").is_in(NAMED_IN_REQUEST)
PLAIN: Final = (
    pl.col("event_source").str.contains(r"^[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]+$")
    & pl.col("event_name").str.contains(r"^[A-Z][A-Za-z0-9]*$")
    & ~(_OURS & (_doubtful("request", _twice(_REQUESTED)) | _doubtful("response", _twice(_ANSWERED))))
    & ~_doubtful("resources", r'\{[^{}]*"(?i:arn)":[^{}]*"(?i:arn)":')
    & ~_doubtful("additional", _twice(["SecretId"]))
)


def found(body: Body) -> Body | None:
    """The record in an object: itself, or what an EventBridge event holds as `detail`."""
    if _is_record(body):
        return body
    detail = body.get("detail")
    return detail if isinstance(detail, dict) and _is_record(detail) else None


def _is_record(body: Body) -> bool:
    """A record tells of a call; those of Insights tell only their own type."""
    called = isinstance(body.get("eventSource"), str) and isinstance(body.get("eventName"), str)
    return called or (isinstance(body.get("eventVersion"), str) and isinstance(body.get("eventType"), str))


def clean(body: Body) -> tuple[Body, bool]:
    """The object without secret values, itself where there are none; and whether AWS should have hidden one."""
    shown: set[str] = set()
    cleaned = _cleaned(body, shown)
    inner = found(cleaned)
    if inner is not None and inner.get("eventName") == _PUT and _is_open(_get(inner, "requestParameters", "value")):
        shown.add("value")
        request = {**inner["requestParameters"], "value": REDACTED}
        made = {**inner, "requestParameters": request}
        cleaned = made if inner is cleaned else {**cleaned, "detail": made}
    return cleaned, not shown <= {_ROUTINE}


def _get(body: Body, part: str, name: str) -> Any:
    inner = body.get(part)
    return inner.get(name) if isinstance(inner, dict) else None


def _cleaned(value: Any, shown: set[str]) -> Any:
    """The same object where nothing is to be taken out of it. What was, is told in `shown`."""
    if isinstance(value, list):
        items = [_cleaned(item, shown) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if not isinstance(value, dict):
        return value
    made: Body = {}
    for key, item in value.items():
        name = key.lower()
        if name in _KEYS and key.isascii() and _is_open(item):
            shown.add(name)
            made[key] = REDACTED
        elif isinstance(item, (dict, list)) and (new := _cleaned(item, shown)) is not item:
            made[key] = new
    return {**value, **made} if made else value


def _is_open(value: Any) -> bool:
    """Whether a secret's place holds one: no placeholder, nothing empty."""
    if isinstance(value, str):
        return not _is_hidden(value)
    return value is not None and not isinstance(value, bool) and value not in ([], {})


def _is_hidden(text: str) -> bool:
    """AWS writes HIDDEN_DUE_TO_SECURITY_REASONS or asterisks."""
    return not text.strip("*") or text.startswith(("HIDDEN_", REDACTED[:4]))
