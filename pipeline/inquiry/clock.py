"""The time-to-revoke clock (M8): from a compromise declared to the last moment that what leaked could be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline.core import effects
from pipeline.inquiry.period import length, number, told

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    Row = Mapping[str, Any]

RUNNING, STOPPED = "running", "stopped"
_NOBODY: Final = "nobody has revoked its sessions or its credential since"
_SESSION: Final = "session revoked"
_CREDENTIAL: Final = frozenset({"credential deleted", "secret-id destroyed", "password changed"})
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
    leaked = _version(sorted((*reads, *changes), key=lambda one: one["time"]), start)
    ends = effects.ending(changes, start, leaked)
    first = ends[0] if ends else None
    old = [r for r in reads if r["time"] >= start and r["outcome"] == "success" and _is_old(r, leaked, first)]
    after = [r for r in old if first is not None and r["time"] > first["time"]]
    last = old[-1] if old else None
    told_of = {
        "since": start, "since_from": origin, "version": leaked, "successes_after": len(after),
        **_success(last), **_action(first, effects.effect(first) if first else None),
    }  # fmt: skip
    if first is None:
        return row(
            state=RUNNING, seconds=_seconds(start, now), note="nothing has replaced or revoked it since", **told_of
        )
    stop = after[-1]["time"] if after else first["time"]
    refused = next((r for r in reads if r["time"] > stop and r["outcome"] in {"denied", "not_found"}), None)
    note = ""
    if leaked is not None and not effects.gone(ends):
        note = f"version {leaked} is replaced, not destroyed: whoever may read the secret can still ask for it"
    return row(
        state=STOPPED, seconds=_seconds(start, stop), stopped_at=stop, refused_at=refused and refused["time"],
        refused_by=refused and refused["principal"], note=note, **told_of,
    )  # fmt: skip


def _version(told_of: Sequence[Row], start: dt.datetime) -> int | None:
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


def of_principal(
    uses: Sequence[Row], actions: Sequence[Row], live: Sequence[Row], since: tuple[dt.datetime, str], now: dt.datetime
) -> dict[str, Any]:
    """The clock of one principal.

    `uses` are what it did since, and what nobody known was refused from its addresses; `actions` what was done against
    it; `live` its sessions that may still be used; `now` where the record ends. All by time. Once its credential has
    been changed, only sessions from before that count: who logs in later has the new one.
    """
    start, origin = since
    ends = [one for one in actions if one["what"] in _CREDENTIAL or one["what"] == _SESSION]
    renewed = next((one["time"] for one in reversed(ends) if one["what"] in _CREDENTIAL), None)
    fresh = {u["session"]: u["time"] for u in reversed(uses) if u["session"]}  # when each was used first
    good = [u for u in uses if u["outcome"] == "success" and not _later(fresh.get(u["session"], u["time"]), renewed)]
    left = [one for one in live if not _later(one["issued"] or one["first"], renewed)]
    last, action = (good[-1] if good else None), (ends[-1] if ends else None)
    after = [use for use in good if action is not None and use["time"] > action["time"]]
    told_of = {
        "since": start, "since_from": origin, "sessions_open": len(left), "successes_after": len(after),
        **_success(last), **_action(action, action["what"] if action else None),
    }  # fmt: skip
    if action is None or after or left:
        why = _why(action, after, len(left)) if action or left else f"{_NOBODY}; its known sessions are over"
        return row(state=RUNNING, seconds=_seconds(start, now), note=why, **told_of)
    stop = max(action["time"], last["time"]) if last else action["time"]
    refused = next((use for use in uses if use["time"] > stop and use["outcome"] == "denied"), None)
    return row(
        state=STOPPED, seconds=_seconds(start, stop), stopped_at=stop, refused_at=refused and refused["time"],
        refused_by=refused and refused["principal"], note="", **told_of,
    )  # fmt: skip


def _later(moment: Any, renewed: dt.datetime | None) -> bool:
    return bool(renewed is not None and moment > renewed)


def _why(action: Row | None, after: Sequence[Row], sessions: int) -> str:
    if action is None:
        return _NOBODY
    if after:
        return f"it succeeded {number(len(after), 'time')} after that"
    return f"{sessions:,} of its sessions are not known to be over"


def _success(last: Row | None) -> dict[str, Any]:
    return {
        "last_success": last and last["time"], "last_success_by": last and last["principal"],
        "last_success_from": last and last["client_ip"],
    }  # fmt: skip


def _action(first: Row | None, what: str | None) -> dict[str, Any]:
    return {
        "action": what, "action_time": first and first["time"], "action_by": first and first["principal"],
        "action_path": first and first["path"],
    }  # fmt: skip


def _seconds(start: dt.datetime, end: dt.datetime) -> float:
    return max((end - start).total_seconds(), 0.0)


def sentences(clock: Row, kind: str) -> list[str]:
    """A clock for a tired person."""
    since = f"since {told(clock['since'])} ({clock['since_from']})"
    span = length(clock["seconds"])
    lines = [f"STILL RUNNING: {span} {since}" if clock["state"] == RUNNING else f"stopped after {span} {since}"]
    if clock["action"]:
        lines.append(f"{clock['action']} {told(clock['action_time'])} by {clock['action_by']}: {clock['action_path']}")
    used = "last read of that value" if kind == "secret" else "last success"
    if clock["last_success"]:
        source = f" from {clock['last_success_from']}" if clock["last_success_from"] else ""
        lines.append(f"{used} {told(clock['last_success'])} by {clock['last_success_by']}{source}")
    else:
        lines.append(f"{used}: none since")
    if clock["refused_at"]:
        lines.append(f"first refused {told(clock['refused_at'])}: {clock['refused_by']}")
    return lines + ([clock["note"]] if clock["note"] else [])
