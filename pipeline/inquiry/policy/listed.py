"""For stores whose permissions come in roles of their own: what was done to which resource, as a list in YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.inquiry.policy.escaped import comment, comments, history, quoted, refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.inquiry.policy.grants import Grant


def lines(head: Sequence[str], grants: Sequence[Grant], others: Sequence[Grant]) -> tuple[list[str], list[str]]:
    """The list."""
    found = comments([*head, "This is a list, not a policy: choose the narrowest role that has these operations."])
    for one in grants:
        found += [
            comment(history(one)),
            f"- resource: {quoted(one.path)}",
            f"  scope: {quoted(one.namespace)}",
            f"  operations: [{', '.join(map(quoted, one.capabilities))}]",
        ]
    return found + refused(others), []
