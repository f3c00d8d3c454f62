"""The narrowest policy that would have allowed what a principal was seen to do, in each store's own form."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline import store as lakes
from pipeline.core.errors import ConfigError, NoInputError
from pipeline.inquiry import names
from pipeline.inquiry import told as telling
from pipeline.inquiry.period import Period, period, told
from pipeline.inquiry.policy import aws, kubernetes, listed, vault
from pipeline.inquiry.policy.grants import Grant, observed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.store import Ask

VIEWS: Final = ("operations", "integrity", "coverage")
_SEEN: Final = """
SELECT store, coalesce(namespace, '') AS namespace, coalesce(mount, '') AS mount, any_value(mount_type) AS mount_type,
  coalesce(secret, '') AS secret, coalesce(path, '') AS path, coalesce(api_operation, '') AS api_operation, operation,
  outcome, count(*) AS operations, min(time) AS first, max(time) AS last
FROM operations WHERE principal = $name AND time >= $start AND time < $end
GROUP BY ALL ORDER BY store, namespace, path, api_operation, outcome
"""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """For one principal in one store. `refused` were asked for and not given: denied, not there, or failed.

    `left_out` operations need no policy of their own.
    """

    principal: str
    store: str
    period: Period
    grants: Sequence[Grant]
    refused: Sequence[Grant]
    left_out: int
    whole: Sequence[str]

    def rows(self) -> list[dict[str, Any]]:
        """One row a grant, suggested or not."""
        return [
            {
                "principal": self.principal, "store": self.store, "namespace": one.namespace, "path": one.path,
                "capabilities": list(one.capabilities), "status": one.status, "paths": one.paths,
                "operations": one.operations, "first": one.first, "last": one.last, "note": one.note,
            }
            for one in (*self.grants, *self.refused)
        ]  # fmt: skip

    def head(self) -> list[str]:
        """What a person has to know of it first."""
        total = sum(one.operations for one in self.grants)
        paths = sum(one.paths for one in self.grants)
        when = f"{told(self.period.start)} to {told(self.period.until)} UTC"
        lines = [
            f"{self.principal}: what it was seen to do in {self.store}, {when}",
            f"{total:,} operations on {paths:,} paths; what is done once a year may not be among them.",
        ]
        if self.left_out:
            lines.append(f"Left out: {self.left_out:,} operations that need no policy, or the default one alone.")
        return [*lines, *(f"Is the record whole? {note}" for note in self.whole)]

    def text(self) -> tuple[list[str], list[str]]:
        """The policy's lines in the store's own form, and what to tell beside them where it takes no comments."""
        form = {"vault": vault.lines, "aws": aws.lines, "kubernetes": kubernetes.lines}.get(self.store, listed.lines)
        return form(self.head(), self.grants, self.refused)


def policy(lake: Path, name: str, span: tuple[str | None, str | None], store: str | None) -> list[Suggestion]:
    """One suggestion for each store that the principal used. Raises NoInputError, ConfigError."""
    return lakes.at_one_commit(lake, VIEWS, lambda ask: _suggest(ask, name, span, store))


def _suggest(ask: Ask, name: str, span: tuple[str | None, str | None], store: str | None) -> list[Suggestion]:
    chosen = period(ask, span)
    names.subject(ask, name, "principal", None, None)
    rows = ask(_SEEN, name=name, start=chosen.start, end=chosen.end)
    stores = sorted({row["store"] for row in rows})
    if not stores:
        raise NoInputError(f"{name} did nothing from {told(chosen.start)} to {told(chosen.until)}")
    if store is not None and store not in stores:
        raise ConfigError(f"{name} used no store {store!r}; it used: {', '.join(stores)}")
    whole = telling.record(ask, chosen).notes
    return [
        _of_store(Suggestion(name, one, chosen, (), (), 0, whole), [row for row in rows if row["store"] == one])
        for one in stores if store in {None, one}
    ]  # fmt: skip


def _of_store(bare: Suggestion, rows: list[dict[str, Any]]) -> Suggestion:
    """The suggestion with its grants."""
    needless = {"vault": vault.needless, "kubernetes": kubernetes.needless}.get(bare.store)
    kept = [row for row in rows if needless is None or not needless(row)]
    left_out = sum(row["operations"] for row in rows) - sum(row["operations"] for row in kept)
    grants = observed([row for row in kept if row["outcome"] == "success"], "suggested")
    refused = [
        one for status in ("denied", "not_found", "failure")
        for one in observed([row for row in kept if row["outcome"] == status], status)
    ]  # fmt: skip
    if bare.store == "vault":
        grants, refused = vault.shaped(grants, refused)
    allowed = {(one.namespace, one.path, capability) for one in grants for capability in one.capabilities}
    return dataclasses.replace(bare, grants=grants, refused=_not_allowed(refused, allowed), left_out=left_out)


def _not_allowed(refused: Sequence[Grant], allowed: set[tuple[str, str, str]]) -> list[Grant]:
    """Without what was refused once and given at another time."""
    found = []
    for one in refused:
        left = tuple(c for c in one.capabilities if (one.namespace, one.path, c) not in allowed)
        if left:
            found.append(dataclasses.replace(one, capabilities=left))
    return found


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """A row as people need it."""
    kept = ("namespace", "path", "capabilities", "status", "paths", "operations", "last", "note")
    return {**{name: row[name] for name in kept}, "capabilities": ", ".join(row["capabilities"])}
