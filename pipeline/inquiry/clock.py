"""The time-to-revoke clock (M8): from a compromise declared to the last moment that what leaked could be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline.core import revoked
from pipeline.inquiry.period import length, number, told

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    Row = Mapping[str, Any]

_NOBODY: Final = "nobody has revoked its sessions or its credential since"
_SESSION: Final = "session revoked"
_CREDENTIAL: Final = frozenset({"credential deleted", "secret-id destroyed", "password changed"})


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
        **revoked.success(last), **revoked.action(action, action["what"] if action else None),
    }  # fmt: skip
    if action is None or after or left:
        why = _why(action, after, len(left)) if action or left else f"{_NOBODY}; its known sessions are over"
        return revoked.row(state=revoked.RUNNING, seconds=revoked.seconds(start, now), note=why, **told_of)
    stop = max(action["time"], last["time"]) if last else action["time"]
    refused = next((use for use in uses if use["time"] > stop and use["outcome"] == "denied"), None)
    return revoked.row(
        state=revoked.STOPPED, seconds=revoked.seconds(start, stop), stopped_at=stop,
        refused_at=refused and refused["time"], refused_by=refused and refused["principal"], note="", **told_of,
    )  # fmt: skip


def _later(moment: Any, renewed: dt.datetime | None) -> bool:
    return bool(renewed is not None and moment > renewed)


def _why(action: Row | None, after: Sequence[Row], sessions: int) -> str:
    if action is None:
        return _NOBODY
    if after:
        return f"it succeeded {number(len(after), 'time')} after that"
    return f"{sessions:,} of its sessions are not known to be over"


def sentences(clock: Row, kind: str) -> list[str]:
    """A clock for a tired person."""
    since = f"since {told(clock['since'])} ({clock['since_from']})"
    span = length(clock["seconds"])
    lines = [f"STILL RUNNING: {span} {since}" if clock["state"] == revoked.RUNNING else f"stopped after {span} {since}"]
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
