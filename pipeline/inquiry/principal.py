"""A principal that may be in wrong hands: what it reached, from where, with which sessions, and the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline.core.schema import NOTABLE, SEVERITIES
from pipeline.inquiry import clock, credentials
from pipeline.inquiry.parts import Part
from pipeline.inquiry.period import number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.inquiry.case import Case
    from pipeline.store import Ask

_MINE: Final = """
SELECT * EXCLUDE (secret, namespace), coalesce(namespace, '') AS namespace,
  CASE WHEN secret = '' AND discloses_value AND operation = 'read' THEN path ELSE secret END AS secret
FROM operations WHERE principal = $name
"""
_SECRETS: Final = """
SELECT secret, namespace, store, count(*) FILTER (time >= $start) AS reads,
  count(*) FILTER (time >= $since) AS reads_since, min(time) AS first, max(time) AS last, min(time) >= $since AS new
FROM mine WHERE operation = 'read' AND outcome = 'success' AND secret <> '' AND time < $end
GROUP BY ALL HAVING reads > 0 ORDER BY new DESC NULLS LAST, reads_since DESC, reads DESC, secret, namespace
"""
# What was read since, with everybody else who reads it in the 90 days before the end, and what was said of it.
_BLAST: Final = """
WITH reached AS (
  SELECT secret, namespace, store, count(*) AS reads, max(time) AS last FROM mine
  WHERE operation = 'read' AND outcome = 'success' AND secret <> '' AND time >= $since AND time < $end GROUP BY ALL),
others AS (
  SELECT o.secret, coalesce(o.namespace, '') AS namespace, o.store, list_sort(list(DISTINCT o.principal)) AS consumers
  FROM operations o SEMI JOIN reached r ON o.secret = r.secret AND o.store = r.store
  WHERE o.operation = 'read' AND o.outcome = 'success' AND o.principal <> $name
    AND o.time >= $end - INTERVAL 90 DAY AND o.time < $end GROUP BY ALL),
told AS (
  SELECT secret, store, max(list_position($severities, severity)) AS grade FROM alerts
  WHERE secret <> '' AND first_time < $end GROUP BY ALL),
changed AS (
  SELECT r.secret, r.namespace, r.store, max(o.time) AS replaced FROM reached r JOIN operations o
    ON o.secret = r.secret AND o.store = r.store AND coalesce(o.namespace, '') = r.namespace
  WHERE o.operation IN ('write', 'rotate', 'delete', 'revoke') AND o.outcome = 'success' AND o.time > r.last
    AND o.time < $end AND NOT starts_with(o.path, o.mount || 'metadata/') GROUP BY ALL)
SELECT r.secret, r.namespace, r.store, r.reads, r.last, coalesce(len(o.consumers), 0) AS others,
  coalesce(o.consumers, []) AS consumers, $severities[t.grade] AS severity, c.replaced
FROM reached r LEFT JOIN others o USING (secret, namespace, store) LEFT JOIN told t USING (secret, store)
  LEFT JOIN changed c USING (secret, namespace, store)
ORDER BY others DESC, t.grade DESC NULLS LAST, r.reads DESC, r.secret, r.namespace
"""
_PLACES: Final = """
WITH mine_at AS (
  SELECT client_ip, any_value(zone) AS zone, count(*) FILTER (time >= $start) AS operations,
    count(*) FILTER (outcome = 'denied' AND time >= $start) AS denied, min(time) AS first, max(time) AS last,
    min(time) >= $since AS new FROM mine WHERE client_ip IS NOT NULL AND time < $end GROUP BY client_ip),
others AS (
  SELECT o.client_ip, count(DISTINCT o.principal) AS others FROM operations o SEMI JOIN mine_at m USING (client_ip)
  WHERE o.principal NOT IN ($name, 'anonymous') AND o.time >= $start AND o.time < $end GROUP BY ALL)
SELECT m.*, coalesce(o.others, 0) AS others FROM mine_at m LEFT JOIN others o USING (client_ip)
WHERE m.operations > 0 ORDER BY new DESC NULLS LAST, last DESC, client_ip
"""
_PROGRAMS: Final = """
SELECT user_agent AS program, count(*) FILTER (time >= $start) AS operations, count(DISTINCT client_ip) AS addresses,
  min(time) AS first, max(time) AS last, min(time) >= $since AS new
FROM mine WHERE user_agent IS NOT NULL AND time < $end
GROUP BY user_agent HAVING operations > 0 ORDER BY new DESC NULLS LAST, last DESC, program
"""
_NEIGHBOURS: Final = """
WITH mine_at AS (SELECT DISTINCT client_ip FROM mine
  WHERE client_ip IS NOT NULL AND time >= coalesce($since, $start) AND time < $end)
SELECT o.principal, any_value(o.principal_type) AS principal_type, list_sort(list(DISTINCT o.client_ip)) AS addresses,
  count(*) AS operations, count(*) FILTER (o.outcome = 'denied') AS denied, min(o.time) AS first, max(o.time) AS last,
  count(DISTINCT o.secret) FILTER (o.operation = 'read' AND o.outcome = 'success' AND o.secret <> '') AS secrets
FROM operations o SEMI JOIN mine_at m USING (client_ip)
WHERE o.principal <> $name AND o.time >= coalesce($since, $start) AND o.time < $end
  AND (o.principal <> 'anonymous' OR o.outcome = 'denied')
GROUP BY o.principal ORDER BY len(addresses) DESC, last DESC, o.principal
"""
_FIRSTS: Final = """
SELECT min(time) AS time, 'first time from there' AS what, principal AS who, client_ip, arg_min(path, time) AS path,
  arg_min(outcome, time) AS outcome, arg_min(uid, time) AS uid
FROM mine WHERE client_ip IS NOT NULL AND time < $end GROUP BY principal, client_ip HAVING min(time) >= $start
UNION ALL
SELECT min(time), 'first read', principal, arg_min(client_ip, time), secret, 'success', arg_min(uid, time)
FROM mine WHERE operation = 'read' AND outcome = 'success' AND secret <> '' AND time < $end
GROUP BY principal, secret, namespace, store HAVING min(time) >= coalesce($since, $start)
UNION ALL
SELECT min(time), 'refused' || CASE WHEN count(*) > 1 THEN ' x' || count(*) ELSE '' END, principal,
  arg_min(client_ip, time), arg_min(path, time), 'denied', arg_min(uid, time)
FROM mine WHERE outcome = 'denied' AND time >= $start AND time < $end
GROUP BY principal, client_ip, time_bucket(INTERVAL 1 HOUR, time)
UNION ALL
SELECT time, operation, principal, client_ip, path, outcome, uid FROM mine
WHERE operation IN (SELECT unnest($notable)) AND api_operation <> 'read' AND time >= $start AND time < $end
  AND NOT ends_with(path, '/oidc/auth_url')
ORDER BY time, uid
"""


def parts(ask: Ask, case: Case) -> list[Part]:
    """Everything about one principal but what is the same for a secret."""
    ask.keep("mine", _MINE, name=case.subject.name)
    span = {"start": case.period.start, "end": case.period.end, "since": case.since}
    mine = {**span, "name": case.subject.name}
    sessions = credentials.sessions(ask, case)
    found = [_clock(ask, case, sessions)]
    if case.since is not None:
        found.append(_blast(ask, case))
    neighbours = ask(_NEIGHBOURS, **mine)
    return [
        *found,
        _secrets(ask(_SECRETS, **span), case),
        Part("place", "From where", ask(_PLACES, **mine), frozenset({"zone", *_unknown(case)})),
        Part(
            "program",
            "With which programs",
            ask(_PROGRAMS, **span),
            frozenset({"addresses", *_unknown(case)}),
            "not told",
        ),
        credentials.shown(sessions),
        credentials.made(ask, case),
        Part("neighbour", "Who else used its addresses", neighbours, frozenset({"principal_type", "first"}), "nobody"),
    ]


def events(ask: Ask, case: Case) -> list[dict[str, Any]]:
    """What happened for the first time, what was refused, and what it did to the store itself."""
    span = {"start": case.period.start, "end": case.period.end, "since": case.since}
    return ask(_FIRSTS, notable=list(NOTABLE), **span) + credentials.events(ask, case)


def _unknown(case: Case) -> tuple[str, ...]:
    return ("new",) if case.since is None else ()


def _clock(ask: Ask, case: Case, sessions: Sequence[dict[str, Any]]) -> Part:
    if case.since is None:
        return case.no_clock()
    uses, actions = credentials.uses(ask, case), credentials.actions(ask, case, case.since)
    live = [one for one in sessions if one["state"] == "open" and one["last"] >= case.since]
    found = clock.of_principal(uses, actions, live, (case.since, case.since_from), case.period.until)
    return Part("clock", "Time to revoke", [found], notes=tuple(clock.sentences(found, "principal")))


def _blast(ask: Ask, case: Case) -> Part:
    rows = ask(
        _BLAST, name=case.subject.name, since=case.since, end=case.period.end, severities=list(SEVERITIES)
    )  # fmt: skip
    left = sum(row["replaced"] is None for row in rows)
    notes = (f"{number(len(rows), 'secret')} read since; {left:,} not written, rotated or revoked after its last read",)
    hidden = frozenset({"store", "namespace"})
    title = "Blast radius: to be rotated, and whom to tell first"
    return Part("blast", title, rows, hidden, "it has read nothing since", notes=notes if rows else ())


def _secrets(rows: Sequence[dict[str, Any]], case: Case) -> Part:
    new = sum(bool(row["new"]) for row in rows)
    notes = (f"{new:,} of {len(rows):,} for the first time since then",) if case.since and rows else ()
    hidden = frozenset({"store", "namespace", *(("new", "reads_since") if case.since is None else ())})
    return Part("secret", "What it read", rows, hidden, "nothing", notes=notes)
