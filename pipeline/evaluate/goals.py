"""What the detection aims at, and whether the figures hold it: the table that opens docs/detection.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline.evaluate.summary import ENTRIES, METHODS, beyond, headline, method_row

if TYPE_CHECKING:
    from collections.abc import Iterator

Goal = tuple[str, str, str, bool]  # what, the aim, what was measured, whether it is met

RECALL, LOW = 0.95, 0.92
RATIO: Final = (0.75, 1.25)
FALSE_PER_ENTRY, FALSE_PER_PRINCIPAL_DAY = 3e-6, 0.005
COME_TRUE: Final = (0.5, 2.0)
LEVELS: Final = ("0.01", "0.001", "0.0001")
TIMES_OF: Final = {("rules", "rules_allowed"): 3.0, ("first_seen", "first_seen_allowed"): 1.5,
                   ("forest", "forest_allowed"): 2.5}  # fmt: skip
RULES_S, VOLUME_S, SLOW_S, SLOW_ACCESSES, FIRST_S = 60, 300, 72 * 3600, 8, 300
A_CONFUSER = 1.0


def goals(result: dict[str, Any]) -> list[Goal]:
    """Every goal that the figures of `summarize` can tell of, at PROMISED alerts a day and 1,000 principals."""
    return [*_found(result), *_cost(result), *_beside(result), *_soon(result), *_quiet(result)]


def span(seconds: float) -> str:
    """In the unit that leaves it at least two."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _found(result: dict[str, Any]) -> Iterator[Goal]:
    row, _ = headline(result)
    held = row["recall"] >= RECALL and row["low"] >= LOW
    measured = f"{row['recall']:.1%}, from {row['low']:.1%}"
    yield "incidents found", f"{RECALL:.0%}, its interval from {LOW:.0%}", measured, held


def _cost(result: dict[str, Any]) -> Iterator[Goal]:
    (_, at), entries = headline(result), result["operations_a_day"] * ENTRIES
    least, most = RATIO
    yield "delivered of promised", f"{least} to {most}", f"{at['ratio']:.2f}", least <= at["ratio"] <= most
    value = at["false_per_entry"]
    yield ("false alerts per audit entry", f"at most {FALSE_PER_ENTRY:.0e}, at 2,000,000 a day and more",
           f"{value:.1e}, at {entries:,} a day", value <= FALSE_PER_ENTRY)  # fmt: skip
    value = at["false_per_principal_day"]
    aim = f"at most {FALSE_PER_PRINCIPAL_DAY:g}"
    yield "false alerts per principal and day", aim, f"{value:.4f}", value <= FALSE_PER_PRINCIPAL_DAY


def _beside(result: dict[str, Any]) -> Iterator[Goal]:
    mine, _ = headline(result)
    for names, least in TIMES_OF.items():
        theirs = [row["recall"] for name in names if (row := method_row(result, name)) is not None]
        if theirs:
            times = mine["recall"] / max(theirs) if max(theirs) else float("inf")
            yield (
                f"found, to {METHODS[names[0]]}",
                f"{least:g} times",
                f"{times:.1f} times" if max(theirs) else "it finds none",
                times >= least,
            )


def _soon(result: dict[str, Any]) -> Iterator[Goal]:
    by = {row["by"]: row for row in result["times"]}
    what = "from complete evidence to the alert, p95: "
    for name, most in (("rules", RULES_S), ("volume", VOLUME_S), ("slow evidence", SLOW_S)):
        if name in by:
            took = by[name]["waited_p95"]
            yield f"{what}{name}", span(most), span(took), took <= most
    if "slow evidence" in by:
        before = by["slow evidence"]["accesses_p95"]
        yield "accesses before slow evidence is told, p95", str(SLOW_ACCESSES), str(before), before <= SLOW_ACCESSES
    if "all" in by:
        took = by["all"]["seconds_p50"]
        yield "from the first request to the alert, p50", span(FIRST_S), span(took), took <= FIRST_S


def _quiet(result: dict[str, Any]) -> Iterator[Goal]:
    _, at = headline(result)
    yield "false pages", "0", str(at["pages"]), at["pages"] == 0
    rows = [(beyond(row), row["confuser"]) for row in result["confusers"] if row["happened"]]
    if rows:
        worst, name = max(rows)
        yield ("false tickets about those a confuser touches, beyond others', each time", f"{A_CONFUSER:g}",
               f"{name} {worst:.1f}", worst <= A_CONFUSER)  # fmt: skip
    yield "alerts with a whole explanation", "100%", f"{at['explained']:.1%}", at["explained"] >= 1
    shares = [row["inflation"][level] for row in result["calibration"] for level in LEVELS if level in row["inflation"]]
    if shares:
        least, most = COME_TRUE
        held = least <= min(shares) and max(shares) <= most
        yield ("how often levels of 1e-2 to 1e-4 come true, to what they say", f"{least:g} to {most:g}",
               f"{min(shares):.2g} to {max(shares):.2g}", held)  # fmt: skip
