"""The head that a lake's commit holds: what a log was when it was committed, with the signed intent for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from pipeline.ledger.errors import LedgerError

Count = Annotated[int, msgspec.Meta(ge=0)]


class _Head(msgspec.Struct):
    size: Count
    root_hex: str
    intent: str
    control_bytes: Count = 0
    control_count: Count = 0
    files: _Head | None = None
    told: dict[str, Any] = msgspec.field(default_factory=dict)


def checked(head: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The head when it has the form that was committed; nothing is said of its content. Raises LedgerError."""
    if head:
        try:
            msgspec.convert(head, _Head)
        except msgspec.ValidationError as error:
            raise LedgerError(f"the ledger head in the lake's commit is none: {error}") from None
    return head


def readable(head: Mapping[str, Any] | None) -> bool:
    """Whether `checked` takes it."""
    try:
        checked(head)
    except LedgerError:
        return False
    return True
