"""What makes a JSON object an audit event, and what of it may be kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.decoders._exact import RefusedError, dumps, loads
from pipeline.decoders.kubernetes.fields import CLUSTER
from pipeline.decoders.kubernetes.redact import redacted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.decoders._object import Body

_GROUP: Final = "audit.k8s.io/"
# At the top of every event, or of what AKS wraps it in.
MARKS: Final = ("apiVersion", "auditID", "properties")
HINT: Final = r'"auditID"'
# An event's time is when its stage was reached, which is the order in which events are written.
TIMES: Final = ("staged", "received", "stamped")
_OF_EVENT: Final = pl.col("kind").is_null() | (pl.col("kind") == "Event")
_UNNAMED: Final = pl.col("api_version").is_null() & pl.col("stage").is_not_null() & pl.col("verb").is_not_null()
PLAIN: Final = (
    _OF_EVENT & pl.col("audit_id").is_not_null() & (pl.col("api_version").str.starts_with(_GROUP) | _UNNAMED)
)  # fmt: skip


def found(body: Body) -> Body | None:
    """The event in an object, with its cluster's name where AKS tells it. Raises RefusedError."""
    log = _log(body)
    if log is None:
        return body if _is_event(body) else None
    event = _unpacked(log)
    return {**event, CLUSTER: _cluster(body)} if event is not None and _is_event(event) else None


def clean(body: Body) -> tuple[Body, bool]:
    """The object without values of secrets and without tokens, the same one where there are none; were there any?"""
    log = _log(body)
    if log is None:
        kept = redacted(body)
        return (body, False) if kept == body else (kept, True)
    event = _unpacked(log)
    if event is None:
        return body, False
    kept = redacted(event)
    if kept == event:
        return body, False
    return {**body, "properties": {**body["properties"], "log": dumps(kept) if isinstance(log, str) else kept}}, True


def _is_event(body: Mapping[str, Any]) -> bool:
    """An event says so; as an item of a list it does not, and is known by what only events have."""
    if body.get("kind") not in (None, "Event"):
        return False
    version = body.get("apiVersion")
    if version is None:
        return all(body.get(name) is not None for name in ("auditID", "stage", "verb"))
    return isinstance(version, str) and version.startswith(_GROUP)


def _log(body: Mapping[str, Any]) -> Any:
    """What an AKS resource log of the API server's audit wraps: an event as text or as an object."""
    category, properties = body.get("category"), body.get("properties")
    if not isinstance(category, str) or not category.startswith("kube-audit") or not isinstance(properties, dict):
        return None
    return properties.get("log")


def _unpacked(log: Any) -> Body | None:
    if isinstance(log, str):
        try:
            log = loads(log)
        except json.JSONDecodeError:
            raise RefusedError("malformed") from None
    return log if isinstance(log, dict) else None


def _cluster(body: Mapping[str, Any]) -> str | None:
    """The last name of the resource id, which Azure writes in upper case at times."""
    resource = body.get("resourceId")
    return resource.rstrip("/").rpartition("/")[2].lower() or None if isinstance(resource, str) else None
