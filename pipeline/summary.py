"""What a run has done, as one object and as notes for the person who started it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline.core.schema import BROKEN_VERDICTS, SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.core.ports import Source
    from pipeline.line import Line
    from pipeline.store import Lake


def summary(line: Line, seconds: float) -> dict[str, Any]:
    """One run as one object: the keys that scripts rely on.

    findings: `folded` into alerts, `held` as not worth one of the day's, and how many of the folded a suppression of
    the configuration covered (`suppressed`).
    """
    totals = line.totals
    integrity: dict[str, int] = {}
    for verdict, _count in totals.verdicts.values():
        integrity[verdict] = integrity.get(verdict, 0) + 1
    alerts = dict.fromkeys(SEVERITIES, 0)
    counts = line.parts.router.counts
    for severity in totals.alerts.values():
        alerts[severity] += 1
    return {
        "entries": totals.entries,
        "operations": totals.operations,
        "rejected": dict(sorted(totals.rejected.items())),
        "integrity": dict(sorted(integrity.items())),
        "slis": sli_summary(totals.slis),
        "alerts": {name: count for name, count in alerts.items() if count},
        "seconds": round(seconds, 3),
        "entries_per_second": round(totals.entries / seconds) if seconds > 0 else 0,
        "findings": {"folded": counts.folded, "held": counts.held, "suppressed": counts.suppressed},
    }


_AT_MOST: Final = ("M5", "M8")


def sli_summary(windows: Mapping[tuple[Any, ...], Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Per SLI over the run and all stores: good, total, value, objective and whether it is met.

    value: M1 share of reads that succeeded; M2 share of operations within the objective's milliseconds; M3 share of
    rotations done; M4 denied operations; M5 reads of secrets past their lifetime; M8 seconds of the longest clock, with
    a `note` of how many run; M9 operations a minute; M10 share of lookups that a cache answered, where one's log tells,
    else of reads that no cache would have answered.
    """
    found: dict[str, dict[str, Any]] = {}
    minutes: dict[str, float] = {}
    clocks: dict[str, str] = {}
    told = any(row["sli"] == "M10" and not row["estimate"] for row in windows.values())
    for row in windows.values():
        if told and row["sli"] == "M10" and row["estimate"]:
            continue
        first = {"good": 0.0, "total": 0.0, "value": None, "objective": row["objective"], "estimate": row["estimate"]}
        entry = found.setdefault(row["sli"], first)
        entry["good"] += row["good"] or 0.0
        entry["total"] += row["total"] or 0.0
        if row["sli"] == "M8":
            entry["value"] = max(entry["value"] or 0.0, row["value"])
            clocks[row["store"]] = row["coverage"].partition(";")[0]
        minutes[row["sli"]] = minutes.get(row["sli"], 0.0) + row["window_seconds"] / 60
    if clocks:
        found["M8"]["note"] = _running(clocks)
    for name, entry in found.items():
        good, total = entry["good"], entry["total"]
        share = good / total if total else None
        values = {"M1": share, "M2": share, "M4": total - good, "M5": total - good, "M9": total / minutes[name]}
        if name != "M8":
            entry["value"] = None if share is None and name == "M5" else values.get(name, share)
        entry["met"] = _met(name, entry["value"] if name in _AT_MOST else share, entry["objective"])
    return {name: found[name] for name in sorted(found, key=lambda name: int(name[1:]))}


def _running(clocks: Mapping[str, str]) -> str:
    """How many clocks run, by store where there are several."""
    if len(clocks) == 1:
        return next(iter(clocks.values()))
    return ", ".join(f"{text} in {store}" for store, text in sorted(clocks.items()))


def _met(name: str, value: float | None, objective: float | None) -> bool | None:
    """Whether the objective is met: M2's is the latency that 95 % must keep, M5's and M8's the most that may be, the
    others' the share.
    """
    if value is None or objective is None:
        return None
    if name in _AT_MOST:
        return value <= objective
    return value >= (0.95 if name == "M2" else objective)


def broken(result: Mapping[str, Any]) -> bool:
    """Whether the run met a verdict that breaks integrity."""
    return any(verdict in BROKEN_VERDICTS for verdict in result["integrity"])


def notes(source: Source, line: Line, lake: Lake, undelivered: Mapping[str, int]) -> list[str]:
    found = left_out(getattr(source, "skipped", ()))
    found += [f"{fault.file}: {fault.message}" for fault in getattr(source, "faults", ())]
    found += [
        f"{depth:,} undelivered in the outbox for {name}; the next run tries again"
        for name, depth in undelivered.items()
    ]
    found += list(line.parts.router.notes)
    found += [text for detector in line.parts.detectors for text in getattr(detector, "notes", ())]
    return found + ([f"upkeep of the lake failed: {lake.upkeep_failure}"] if lake.upkeep_failure else [])


def left_out(skipped: Sequence[str]) -> list[str]:
    """What a folder held besides logs, in one line, so that nobody misses a log of an odd name."""
    if not skipped:
        return []
    some = ", ".join(skipped[:2]) + (", …" if skipped[2:] else "")
    many = f"{len(skipped):,} files do not look like logs and were"
    files = "1 file does not look like a log and was" if len(skipped) == 1 else many
    return [f"{files} left out ({some}); a file named on the command line is read"]
