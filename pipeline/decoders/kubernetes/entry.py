"""What makes a JSON object an audit event, and what of it may be kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.decoders._format import Signs
from pipeline.decoders.kubernetes.redact import redacted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.decoders._object import Body

_GROUP: Final = "audit.k8s.io/"
# At the top of every event.
MARKS: Final = ("apiVersion", "auditID")
SIGNS: Final = Signs(
    ("kind", "apiVersion", "annotations", "level"),
    ("kind", "annotations"),
    r'"(?:auditID|requestURI|objectRef|requestReceivedTimestamp|stageTimestamp)":',
)
HINT: Final = r'"auditID"'
# An event's time is when its stage was reached, which is the order in which events are written.
TIMES: Final = ("staged", "received", "stamped")
_OF_EVENT: Final = pl.col("kind").is_null() | (pl.col("kind") == "Event")
_UNNAMED: Final = pl.col("api_version").is_null() & pl.col("stage").is_not_null() & pl.col("verb").is_not_null()
PLAIN: Final = (
    _OF_EVENT & pl.col("audit_id").is_not_null() & (pl.col("api_version").str.starts_with(_GROUP) | _UNNAMED)
)  # fmt: skip


def found(body: Body) -> Body | None:
    """The event that an object is, or None."""
    return body if _is_event(body) else None


def clean(body: Body) -> tuple[Body, bool]:
    """The object without values of secrets and without tokens, the same one where there are none; were there any?"""
    kept = redacted(body)
    return (body, False) if kept == body else (kept, True)


def _is_event(body: Mapping[str, Any]) -> bool:
    """An event says so; as an item of a list it does not, and is known by what only events have."""
    if body.get("kind") not in (None, "Event"):
        return False
    version = body.get("apiVersion")
    if version is None:
        return all(body.get(name) is not None for name in ("auditID", "stage", "verb"))
    return isinstance(version, str) and version.startswith(_GROUP)
