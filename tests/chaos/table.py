"""The table of docs/reliability.md, from what the tests of a run have told of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

NAME: Final = "chaos"  # of the property that a test records: fault, rounds, offsets, lost, doubled
_HEAD: Final = "| fault | rounds | offsets | lost | doubled | runs that differed |\n|---|---|---|---|---|---|"


def table(stats: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    """Its lines, none where nothing was told. `stats` are the reports of a run by outcome."""
    rows: dict[str, Counter[str]] = {}
    for outcome in ("passed", "failed"):
        for fault, *numbers in _told(stats.get(outcome, ())):
            row = rows.setdefault(fault, Counter())
            row.update(dict(zip(("rounds", "offsets", "lost", "doubled"), numbers, strict=True)))
            row[outcome] += 1
    if rows:
        yield f"\n{_HEAD}"
    for fault, row in rows.items():
        offsets = f"{row['offsets']:,}" if row["offsets"] else "–"  # what is no topic has none
        cells = (f"{row['rounds']:,}", offsets, *(f"{row[name]:,}" for name in ("lost", "doubled", "failed")))
        yield f"| {fault} | {' | '.join(cells)} |"


def _told(reports: Iterable[Any]) -> Iterator[Any]:
    for report in reports:
        for name, value in report.user_properties if getattr(report, "when", "") == "call" else ():
            if name == NAME:
                yield value
