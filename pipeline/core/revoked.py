"""How long what leaked could still be used (M8): the clock of one secret, and what every such clock tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline.core import effects

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    Row = Mapping[str, Any]

RUNNING, STOPPED = "running", "stopped"
_FIELDS: Final = (
    "state", "since", "since_from", "seconds", "stopped_at", "action", "action_time", "action_by", "action_path",
    "last_success", "last_success_by", "last_success_from", "successes_after", "refused_at", "refused_by", "version",
    "sessions_open", "note",
)  # fmt: skip


def row(**known: Any) -> dict[str, Any]:
    """A clock, every field there."""
    return {name: known.get(name) for name in _FIELDS}


def of_secret(
    reads: Sequence[Row], changes: Sequence[Row], since: tuple[dt.datetime, str], now: dt.datetime
) -> dict[str, Any]:
    """The clock of one secret, from its reads and its changes, both by time; `now` is where the record ends."""
    start, origin = since
    leaked = version_at(sorted((*reads, *changes), key=lambda one: one["time"]), start)
    ends = effects.ending(changes, start, leaked)
    first = ends[0] if ends else None
    old = [r for r in reads if r["time"] >= start and r["outcome"] == "success" and _is_old(r, leaked, first)]
    after = [r for r in old if first is not None and r["time"] > first["time"]]
    last = old[-1] if old else None
    told_of = {
        "since": start, "since_from": origin, "version": leaked, "successes_after": len(after),
        **success(last), **action(first, effects.effect(first) if first else None),
    }  # fmt: skip
    if first is None:
        return row(
            state=RUNNING, seconds=seconds(start, now), note="nothing has replaced or revoked it since", **told_of
        )
    stop = after[-1]["time"] if after else first["time"]
    refused = next((r for r in reads if r["time"] > stop and r["outcome"] in {"denied", "not_found"}), None)
    note = ""
    if leaked is not None and not effects.gone(ends):
        note = f"version {leaked} is replaced, not destroyed: whoever may read the secret can still ask for it"
    return row(
        state=STOPPED, seconds=seconds(start, stop), stopped_at=stop, refused_at=refused and refused["time"],
        refused_by=refused and refused["principal"], note=note, **told_of,
    )  # fmt: skip


def version_at(told_of: Sequence[Row], start: dt.datetime) -> int | None:
    """The newest version at a time, as reads and writes tell it; None where they tell none."""
    known = [one for one in told_of if one["secret_version"] is not None and one["outcome"] == "success"]
    before = [int(one["secret_version"]) for one in known if one["time"] <= start]
    if before or not known:
        return max(before, default=None)
    first = int(known[0]["secret_version"])
    return first - 1 if effects.effect(known[0]) == effects.REPLACED else first


def _is_old(read: Row, leaked: int | None, first: Row | None) -> bool:
    """Whether a read from the declaration on gave the value of then."""
    if leaked is not None and read["secret_version"] is not None:
        return bool(read["secret_version"] <= leaked)
    renewed = first is not None and effects.effect(first) in {effects.REPLACED, effects.REVOKED}
    return not (renewed and first is not None and read["time"] > first["time"])


def success(last: Row | None) -> dict[str, Any]:
    """What a clock tells of the last use of what leaked."""
    return {
        "last_success": last and last["time"], "last_success_by": last and last["principal"],
        "last_success_from": last and last["client_ip"],
    }  # fmt: skip


def action(first: Row | None, what: str | None) -> dict[str, Any]:
    """What a clock tells of what was done about it."""
    return {
        "action": what, "action_time": first and first["time"], "action_by": first and first["principal"],
        "action_path": first and first["path"],
    }  # fmt: skip


def seconds(start: dt.datetime, end: dt.datetime) -> float:
    """From one moment to another, and never less than nothing."""
    return max((end - start).total_seconds(), 0.0)
