"""What is said of a sweep."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from detectors._text import several, show
from detectors._window import Found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectors.store_sweep.reads import Stores

_EVIDENCE: Final = 8
_NAMES: Final = {
    "vault": "Vault", "aws": "AWS", "gcp": "Google Cloud", "azure": "Azure", "kubernetes": "Kubernetes",
}  # fmt: skip
_LAST: Final = re.compile(r"([^/:@]{2,})(?:@[^/:@]*)?$")
_ANYBODY: Final = frozenset(("root", "admin", "administrator", "default", "user", "system", "unknown", "anonymous"))
_NEXT: Final = (
    "Ask who sits at {address}: a person, a build machine, the way out of a network? If nobody explains it, revoke the"
    " tokens and keys of all these principals in each of the stores, and rotate what was read, most critical first."
)


@dataclass(frozen=True, slots=True)
class Sweep:
    """The read that completed it, and what was known before: `usual` are the stores that the address had together most
    often, with the number of days.
    """

    step: dict[str, Any]
    stores: Stores
    first_minute: int
    minutes: int
    others: int
    usual: tuple[Stores, int] | None


def found_of(sweep: Sweep, rows: pl.DataFrame) -> Found:
    """A finding; `rows` is what was read until then, in order."""
    step, many = sweep.step, len(sweep.stores)
    address, day = show(step["address"]), step["minute"] // (24 * 60)
    parts = {name: part for (name,), part in rows.group_by("store", maintain_order=True)}
    refused = [name for name, part in parts.items() if not part["granted"].any()]
    got = [_part(str(name), part) for name, part in parts.items() if name not in refused]
    tried = [_part(str(name), parts[name]) for name in refused]
    name = _same([part["principal"].to_list() for part in parts.values()])
    asked = rows.select("store", "secret", "listed").n_unique()
    # The first who was let in: a sweep that grows stays a matter of the same principal.
    begun = rows.filter("granted").row(0, named=True)
    return Found(
        key=f"{step['address']}|{' '.join(sorted(sweep.stores))}|{day}",
        cause="store_sweep" if many > 2 else "second_store",
        title=None if many > 2 else "One address reads the secrets of a second store",
        severity=("low", "medium", "high")[min(many, 3) - 1 - bool(refused)],
        confidence=(0.8 if many > 2 else 0.6) - (0.1 if refused else 0.0),
        score=(worth := _worth(many, asked, len(refused))) / (worth + 2.0),
        message=f"Within {_span(rows)} {address} read {_listed(got)}"
        + (f" and was refused {_listed(tried)}" if tried else "")
        + (f", all in the name of {show(name)}" if name else "")
        + f"; {_usual(sweep)}.",
        observed=f"{asked} secrets and lists of {many} stores ({_stores(sweep.stores)}) within {_span(rows)}",
        expected=f"secrets of one store within {sweep.minutes} minutes; {_others(sweep.others)}",
        next_step=_NEXT.format(address=address),
        principal=begun["principal"] or None,
        store=begun["store"],
        client_ip=step["address"],
        evidence=_evidence(rows),
        time=step["time"],
        ready=step["ready"],
    )


def _worth(many: int, asked: int, refused: int) -> float:
    return 1.5 * (many - 1) ** 2 / (1 + refused) + math.log2(1 + asked)


def _part(store: str, rows: pl.DataFrame) -> str:
    """What was asked of one store by whom: `3 secrets of Vault (approle/ci)`."""
    rows = rows.filter("granted") if rows["granted"].any() else rows
    secrets, lists = (rows.filter(listed=listed)["secret"].n_unique() for listed in (False, True))
    counts = [_count(n, what) for n, what in ((secrets, "secret"), (lists, "list")) if n]
    who = several(sorted(name or "nobody known" for name in rows["principal"].unique()), 2)
    return f"{' and '.join(counts)} of {_named(store)} ({who})"


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _named(store: str) -> str:
    return _NAMES.get(store) or show(store)


def _stores(stores: Stores) -> str:
    return _listed([_named(name) for name in sorted(stores)])


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _span(rows: pl.DataFrame) -> str:
    low, high = (int(at) for at in (rows["minute"][0], rows["minute"][-1]))
    return "a minute" if high - low < 2 else f"{high - low} minutes"


def _usual(sweep: Sweep) -> str:
    if sweep.usual is None:
        return f"on no day before did it read two stores within {sweep.minutes} minutes"
    stores, days = sweep.usual
    return f"before, it had {_stores(stores)} together on {_count(days, 'day')}"


def _others(others: int) -> str:
    found = f"{others} other addresses" if others > 1 else "one other address" if others else "no other address"
    return f"{found} had these together in the last 30 days"


def _same(people: Sequence[Sequence[str]]) -> str:
    """A name that somebody has in each of the stores; empty for none."""
    names = [{match[1].lower() for name in some if (match := _LAST.search(name))} for some in people]
    return min(set.intersection(*names) - _ANYBODY, default="")


def _evidence(rows: pl.DataFrame) -> list[str]:
    """The first of each store, then what else was read."""
    first = rows.unique(["store", "granted"], keep="first", maintain_order=True)["uid"].to_list()
    return list(dict.fromkeys([*first, *rows["uid"]]))[:_EVIDENCE]
