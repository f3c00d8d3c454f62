"""What makes a JSON object an audit entry, and the RAW row of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.decoders._exact import RefusedError, row_of, utc
from pipeline.decoders.vault.fields import FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping


def is_entry(body: Mapping[str, Any]) -> bool:
    """An audit entry tells of a request; older and trimmed ones at least of their type and one of the other parts."""
    if isinstance(body.get("request"), dict):
        return "type" in body or "time" in body
    return isinstance(body.get("type"), str) and any(isinstance(body.get(part), dict) for part in ("auth", "response"))


def row(body: Mapping[str, Any]) -> dict[str, Any]:
    """The RAW row of an entry. Raises RefusedError for one whose time cannot be read."""
    made = row_of(body, FIELDS)
    made["time"] = utc(made["time"])
    if made["time"] is None:
        raise RefusedError("bad_time")
    return made
