"""What makes a JSON object a record that this format reads, and how the shapes it comes in are made one."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import polars as pl

from pipeline.decoders._exact import RefusedError, loads
from pipeline.decoders._format import Signs

Body = dict[str, Any]
VAULT: Final = "auditevent"
CLUSTER: Final = ("kube-audit", "kube-audit-admin")
# Of the Activity Log; the last three are how older exports named the kind of an operation.
ACTIVITY: Final = (
    "administrative", "policy", "security", "servicehealth", "resourcehealth", "alert", "autoscale", "recommendation",
    "write", "delete", "action",
)  # fmt: skip
SIGNS: Final = Signs(
    ("time", "category", "operationName", "resourceId"),
    ("time", "category", "operationName", "resourceId"),
    r'"(?:operationName|resultSignature|callerIpAddress|resourceId)":',
)
_NAME: Final = r"^[A-Za-z][A-Za-z0-9 ._-]*$"
_ACT: Final = r"^[A-Za-z][A-Za-z0-9._-]*(?:/[A-Za-z0-9 ._-]+)+$"
_TRUTHS: Final = ("true", "false")

KIND: Final = pl.col("category").str.to_lowercase()
IS_CLUSTER: Final = KIND.is_in(CLUSTER).fill_null(value=False)
IS_ACTIVITY: Final = KIND.is_in(ACTIVITY).fill_null(value=False)
# An object that is written as text; the quick parser would take it for an empty one.
AS_TEXT: Final = r'"(?:identity|properties)"[ \t\r]*:[ \t\r]*"'


def found(body: Body) -> Body | None:
    """The record, in the shape in which Azure Monitor streams it; None where it is none of these logs."""
    if isinstance(body.get("operationName"), dict):
        body = _streamed(body)
    category, operation = body.get("category"), body.get("operationName")
    if not isinstance(category, str) or not isinstance(operation, str):
        return None
    body = {**body, **{name: opened(body[name]) for name in ("identity", "properties") if name in body}}
    kind = category.lower()
    if kind in CLUSTER:
        return body
    named = re.match(_NAME if kind == VAULT else _ACT, operation, re.ASCII) and operation not in _TRUTHS
    return body if named and (kind == VAULT or kind in ACTIVITY) else None


def opened(value: Any) -> Any:
    """An object that was written as text, as Managed HSM may write `identity`; everything else as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return value
    try:
        return loads(value)
    except (json.JSONDecodeError, RefusedError):
        return value


def is_cluster(body: Body) -> bool:
    """Whether this is an audit record of AKS."""
    category = body.get("category")
    return isinstance(category, str) and category.lower() in CLUSTER


def log_of(body: Body) -> Body | None:
    """The object in an AKS record's log, which may be text. Raises RefusedError."""
    properties = opened(body.get("properties"))
    log = properties.get("log") if isinstance(properties, dict) else None
    if isinstance(log, str):
        try:
            log = loads(log)
        except json.JSONDecodeError:
            raise RefusedError("malformed") from None
    return log if isinstance(log, dict) else None


def _streamed(body: Body) -> Body:
    """An entry of the Activity Log as its REST API gives it, in the words of a stream."""
    claims, caller, request = body.get("claims"), body.get("caller"), body.get("httpRequest")
    claims = dict(claims) if isinstance(claims, dict) else {}
    if isinstance(caller, str) and caller:
        claims.setdefault("upn" if "@" in caller else "appid", caller)
    return {
        "time": body.get("eventTimestamp"),
        "operationName": _value(body.get("operationName")),
        "category": _value(body.get("category")),
        "resultType": _value(body.get("status")),
        "resultSignature": _value(body.get("subStatus")),
        "callerIpAddress": request.get("clientIpAddress") if isinstance(request, dict) else None,
        "identity": {"claims": claims},
        **{name: body.get(name) for name in ("resourceId", "correlationId", "properties")},
    }


def _value(value: Any) -> Any:
    return value.get("value") if isinstance(value, dict) else value


def _plain() -> pl.Expr:
    """RAW rows that `found` would give as they stand."""
    operation = pl.col("operationName")
    vault = (KIND == VAULT) & operation.str.contains(_NAME) & ~operation.is_in(_TRUTHS)
    act = IS_ACTIVITY & operation.str.contains(_ACT)
    event = IS_CLUSTER & pl.col("event:known") & operation.str.contains(_ACT)
    return (vault | act | event) & pl.col("stamped")


PLAIN: Final = _plain()
