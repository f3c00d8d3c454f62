"""A principal's sessions and credentials: how long each was used, what it made for others, and who ended which."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from pipeline.inquiry.parts import Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.inquiry.case import Case
    from pipeline.store import Ask

# A session ends by its own word or by somebody else's. It lapses when its time to live has passed since it was issued
# or renewed last, as far as the log tells; one that was issued before the record began is not known to have lapsed.
_SESSIONS: Final = """
WITH used AS (
  SELECT session, min(time) AS first, max(time) AS last, count(*) AS operations,
    list_sort(list(DISTINCT client_ip) FILTER (client_ip IS NOT NULL)) AS addresses,
    max(time) FILTER (path LIKE 'auth/token/renew-self%' AND outcome = 'success') AS renewed,
    max(token_ttl) AS ttl
  FROM mine WHERE session IS NOT NULL AND time < $end GROUP BY session),
issued AS (
  SELECT login_session AS session, min(time) AS issued, max(token_ttl) AS ttl FROM operations
  WHERE login_session IS NOT NULL AND outcome = 'success' AND operation = 'auth' AND time < $end
    AND login_principal = $name GROUP BY ALL),
ended AS (
  SELECT session, min(time) AS revoked, arg_min(principal, time) AS revoked_by FROM (
    SELECT session, time, principal FROM mine WHERE path LIKE 'auth/token/revoke-self%' AND outcome = 'success'
    UNION ALL SELECT login_session, time, principal FROM operations
    WHERE operation = 'revoke' AND outcome = 'success' AND login_session IS NOT NULL)
  WHERE session IS NOT NULL AND time < $end GROUP BY ALL),
known AS (
  SELECT coalesce(u.session, i.session) AS session, i.issued, coalesce(u.first, i.issued) AS first,
    coalesce(u.last, i.issued) AS last, coalesce(u.operations, 0) AS operations, coalesce(u.addresses, []) AS addresses,
    e.revoked, e.revoked_by, coalesce(u.ttl, i.ttl) AS ttl, greatest(i.issued, u.renewed) AS renewed
  FROM used u FULL JOIN issued i USING (session) LEFT JOIN ended e ON e.session = coalesce(u.session, i.session)),
after AS (
  SELECT m.session, count(*) AS used_after FROM mine m JOIN ended e USING (session)
  WHERE m.outcome = 'success' AND m.time > e.revoked
    AND m.path NOT LIKE 'auth/token/revoke-self%' AND m.time < $end GROUP BY ALL)
SELECT k.session, k.issued, k.first, k.last, k.operations, k.addresses, k.revoked, k.revoked_by,
  coalesce(a.used_after, 0) AS used_after, k.ttl, k.renewed
FROM known k LEFT JOIN after a USING (session) WHERE k.last >= $start ORDER BY k.last DESC, k.session
"""
_MADE: Final = """
WITH made AS (
  SELECT time, path, api_operation, operation, client_ip, login_session, uid,
    coalesce(nullif(login_principal, principal), nullif(regexp_replace(path,
      '^auth/(.+)/role/([^/]+)/(?:custom-)?secret-id$', '\\1/\\2'), path)) AS owner
  FROM mine WHERE outcome = 'success' AND operation = 'auth' AND time >= $start AND time < $end),
used AS (
  SELECT o.session, count(*) AS uses, max(o.time) AS last_used FROM operations o
  SEMI JOIN made m ON m.login_session = o.session WHERE o.time < $end GROUP BY ALL)
SELECT m.time, m.owner AS made_for, m.path, m.client_ip, coalesce(u.uses, 0) AS uses, u.last_used,
  m.login_session AS session, m.uid
FROM made m LEFT JOIN used u ON u.session = m.login_session WHERE m.owner IS NOT NULL ORDER BY m.time, m.uid
"""
_COLUMNS: Final = "time, operation, api_operation, path, principal, client_ip, outcome, uid, session"
# What was done to end it: a session revoked by somebody else, the role or user deleted, its secret-id destroyed, its
# password changed. Other settings of the role or user end nothing.
_AGAINST: Final = f"""
SELECT {_COLUMNS}, 'session revoked' AS what FROM operations
WHERE operation = 'revoke' AND outcome = 'success' AND principal <> $name AND time >= $start AND time < $end
  AND login_session IN (
    SELECT session FROM mine UNION SELECT login_session FROM operations WHERE login_principal = $name)
UNION ALL
SELECT {_COLUMNS}, CASE WHEN path LIKE '%/destroy' THEN 'secret-id destroyed'
    WHEN path LIKE '%/password' OR path LIKE 'auth/%/users/%' AND api_operation <> 'delete' THEN 'password changed'
    WHEN api_operation = 'delete' AND list_contains($own, path) THEN 'credential deleted'
    ELSE 'settings changed' END FROM operations
WHERE outcome = 'success' AND api_operation <> 'read' AND api_operation <> 'list' AND time >= $start AND time < $end
  AND list_any_value([t FOR t IN $own IF path = t OR starts_with(path, t || '/')]) IS NOT NULL
  AND NOT (path LIKE '%/secret-id' OR path LIKE '%/lookup' OR path LIKE '%/custom-secret-id')
ORDER BY time, uid
"""  # noqa: S608
_USES: Final = f"""
SELECT {_COLUMNS} FROM mine WHERE time >= $since AND time < $end AND path NOT LIKE 'auth/token/revoke-self%'
UNION ALL
SELECT {_COLUMNS} FROM operations
WHERE principal = 'anonymous' AND $name <> 'anonymous' AND outcome = 'denied' AND time >= $since AND time < $end
  AND client_ip IN (SELECT client_ip FROM mine WHERE time >= $since)
ORDER BY time, uid
"""  # noqa: S608
_STATES: Final = ("open", "used after that", "revoked", "ended", "lapsed")  # ended: by its own word
_KINDS: Final = ("role", "roles", "user", "users", "certs", "account")


def sessions(ask: Ask, case: Case) -> list[dict[str, Any]]:
    """Every session used in the period, the last used first, with what is known of its end: `state`."""
    rows = ask(_SESSIONS, name=case.subject.name, start=case.period.start, end=case.period.end)
    return [{**row, "state": _state(row, case)} for row in rows]


def _state(row: dict[str, Any], case: Case) -> str:
    now = case.period.until
    if row["revoked"] is not None:
        ended = "ended" if row["revoked_by"] == case.subject.name else "revoked"
        return "used after that" if row["used_after"] else ended
    if row["renewed"] is not None and row["ttl"] and row["renewed"] + dt.timedelta(seconds=row["ttl"]) < now:
        return "lapsed"
    return "open"


def shown(rows: Sequence[dict[str, Any]]) -> Part:
    """The sessions as a part, those first that may still be used."""
    counts = {state: sum(row["state"] == state for row in rows) for state in _STATES}
    notes = (", ".join(f"{count:,} {state}" for state, count in counts.items() if count),) if rows else ()
    told = sorted(
        ({name: value for name, value in row.items() if name not in {"ttl", "renewed"}} for row in rows),
        key=lambda row: _STATES.index(row["state"]),
    )
    hidden = frozenset({"issued", "revoked_by", "used_after"})
    return Part("session", "Sessions", told, hidden, "the store tells of none", notes=notes)


def made(ask: Ask, case: Case) -> Part:
    """Tokens and credentials it made for others."""
    rows = ask(_MADE, start=case.period.start, end=case.period.end)
    hidden = frozenset({"uid", "session"})
    return Part("made", "Made for others", rows, hidden, "no token or credential", anchor=len(rows))


def own(name: str) -> list[str]:
    """The paths where a store may keep the credential of a principal of that name."""
    mount, _, rest = name.partition("/")
    return [f"auth/{mount}/{kind}/{rest}" for kind in _KINDS] if rest else []


def actions(ask: Ask, case: Case, start: dt.datetime | None) -> list[dict[str, Any]]:
    """What was done to its sessions and its credential from then on: rows with `what`."""
    name = case.subject.name
    return ask(_AGAINST, name=name, own=own(name), start=start, end=case.period.end)


def uses(ask: Ask, case: Case) -> list[dict[str, Any]]:
    """What it did since, and what nobody known was refused from its addresses."""
    return ask(_USES, name=case.subject.name, since=case.since, end=case.period.end)


def events(ask: Ask, case: Case) -> list[dict[str, Any]]:
    """What others did to it, as events of a timeline."""
    return [
        {
            "time": row["time"], "what": row["what"], "who": row["principal"], "client_ip": row["client_ip"],
            "path": row["path"], "outcome": row["outcome"], "uid": row["uid"],
        }
        for row in actions(ask, case, case.period.start)
    ]  # fmt: skip
