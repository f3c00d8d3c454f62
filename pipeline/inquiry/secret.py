"""A secret that may have leaked: who read it, what became of it since, and the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pipeline.core import effects, revoked
from pipeline.core.schema import SEVERITIES
from pipeline.inquiry import clock
from pipeline.inquiry.parts import Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.inquiry.case import Case
    from pipeline.store import Ask

_HERE: Final = """
SELECT * FROM operations WHERE secret = $name AND store = $store AND coalesce(namespace, '') = $namespace
"""
_READERS: Final = """
WITH told AS (
  SELECT principal, max(list_position($severities, severity)) AS grade FROM alerts
  WHERE first_time < $end AND last_time >= $start GROUP BY ALL)
SELECT principal, any_value(principal_type) AS principal_type,
  count(*) FILTER (outcome = 'success' AND time >= $start) AS reads,
  count(*) FILTER (outcome = 'success' AND time >= $since) AS reads_since,
  count(*) FILTER (outcome = 'denied' AND time >= $start) AS denied,
  min(time) FILTER (outcome = 'success') AS first, max(time) FILTER (outcome = 'success') AS last,
  min(time) FILTER (outcome = 'success') >= $since AS new,
  coalesce(list_sort(list(DISTINCT client_ip) FILTER (client_ip IS NOT NULL AND time >= $start)), []) AS addresses,
  $severities[any_value(grade)] AS alert
FROM here LEFT JOIN told USING (principal) WHERE operation = 'read' AND time < $end
GROUP BY principal HAVING reads + denied > 0 ORDER BY new DESC NULLS LAST, last DESC NULLS LAST, principal
"""
_VERSIONS: Final = """
SELECT secret_version AS version, min(time) FILTER (operation = 'write') AS written,
  first(principal ORDER BY time) FILTER (operation = 'write') AS written_by,
  count(*) FILTER (operation = 'read') AS reads, count(DISTINCT principal) FILTER (operation = 'read') AS readers,
  max(time) FILTER (operation = 'read') AS last_read,
  last(principal ORDER BY time) FILTER (operation = 'read') AS last_reader,
  max(time) FILTER (operation = 'delete') AS deleted
FROM here WHERE secret_version IS NOT NULL AND outcome = 'success' AND time < $end
GROUP BY ALL ORDER BY version
"""
_COLUMNS: Final = (
    "time, operation, api_operation, path, mount, mount_type, store, secret, secret_version, principal, client_ip"
    ", outcome, uid"
)
_CHANGES: Final = f"""
WITH asked AS (SELECT DISTINCT path, mount, namespace FROM here WHERE path <> ''),
others AS (
  SELECT *, regexp_extract(path, '^sys/(?:leases/)?revoke(?:-prefix|-force)?/(.+)$', 1) AS prefix,
    regexp_extract(path, '^sys/mounts/(.+)$', 1) AS unmounted
  FROM operations WHERE store = $store AND coalesce(namespace, '') = $namespace AND secret = ''
    AND (operation = 'revoke' OR (path LIKE 'sys/mounts/%' AND api_operation = 'delete')))
SELECT {_COLUMNS} FROM here
WHERE operation IN ('write', 'rotate', 'delete', 'revoke', 'policy') AND time < $end
UNION ALL
SELECT {_COLUMNS.replace("operation, api", "'revoke' AS operation, api", 1)} FROM others WHERE time < $end AND (
  (prefix <> '' AND EXISTS (FROM asked WHERE starts_with(asked.path, prefix) OR starts_with(prefix, asked.path || '/')))
  OR (unmounted <> '' AND EXISTS (FROM asked WHERE rtrim(asked.mount, '/') = rtrim(unmounted, '/'))))
ORDER BY time, uid
"""  # noqa: S608
_READS: Final = (
    f"SELECT {_COLUMNS} FROM here WHERE operation = 'read' AND time >= $since AND time < $end ORDER BY time, uid"  # noqa: S608
)
_BEFORE: Final = f"""
SELECT {_COLUMNS} FROM here
WHERE operation = 'read' AND outcome = 'success' AND secret_version IS NOT NULL AND time <= $since
ORDER BY secret_version DESC, time DESC LIMIT 1
"""  # noqa: S608
_SPREAD: Final = """
SELECT o.principal, o.store, coalesce(o.namespace, '') AS namespace, o.secret, count(*) AS reads, max(o.time) AS last
FROM operations o
WHERE o.operation = 'read' AND o.outcome = 'success' AND o.secret <> '' AND o.time >= $since AND o.time < $end
  AND o.principal IN (SELECT unnest($readers))
  AND NOT (o.secret = $name AND o.store = $store AND coalesce(o.namespace, '') = $namespace)
GROUP BY ALL ORDER BY o.principal, reads DESC, o.secret
"""
_FIRSTS: Final = """
SELECT min(time) AS time,
  CASE WHEN min(time) = min(min(time)) OVER (PARTITION BY principal) THEN 'first read'
    ELSE 'first read from there' END AS what,
  principal AS who, client_ip, arg_min(path, time) AS path, 'success' AS outcome, arg_min(uid, time) AS uid
FROM here WHERE operation = 'read' AND outcome = 'success' AND time < $end
GROUP BY principal, client_ip HAVING min(time) >= $start
UNION ALL
SELECT min(time), 'refused' || CASE WHEN count(*) > 1 THEN ' x' || count(*) ELSE '' END, principal, client_ip,
  arg_min(path, time), 'denied', arg_min(uid, time)
FROM here WHERE outcome = 'denied' AND time >= $start AND time < $end GROUP BY principal, client_ip
ORDER BY time, uid
"""
_ENGINE: Final = "SELECT any_value(mount_type) AS engine FROM here WHERE store = 'vault' AND discloses_value"
_SAID: Final = "each read makes a credential of its own; a lease revoked by its id does not say here whose it was"
_OF_ENGINES: Final = {  # what rotating means, where it is not what one would think
    None: "", "kv": "", "generic": "", "cubbyhole": "",
    "transit": "a key that is rotated still opens what it closed before",
}  # fmt: skip


def parts(ask: Ask, case: Case) -> list[Part]:
    """Everything about one secret but what is the same for a principal."""
    subject = case.subject
    place = {"name": subject.name, "store": subject.store, "namespace": subject.namespace}
    ask.keep("here", _HERE, **place)
    span = {"start": case.period.start, "end": case.period.end}
    changes = ask(_CHANGES, end=case.period.end, store=subject.store, namespace=subject.namespace)
    readers = ask(_READERS, since=case.since, severities=list(SEVERITIES), **span)
    return [
        _clock(ask, case, changes),
        _readers(readers, case),
        *_spread(ask, case, readers, place),
        _versions(ask(_VERSIONS, end=case.period.end)),
        _changes([one for one in changes if one["time"] >= case.period.start]),
    ]


def events(ask: Ask, case: Case) -> list[dict[str, Any]]:
    """What happened for the first time, and what was refused."""
    return ask(_FIRSTS, start=case.period.start, end=case.period.end)


def _clock(ask: Ask, case: Case, changes: Sequence[dict[str, Any]]) -> Part:
    if case.since is None:
        return case.no_clock()
    reads = ask(_BEFORE, since=case.since) + ask(_READS, since=case.since, end=case.period.end)
    found = revoked.of_secret(reads, changes, (case.since, case.since_from), case.period.until)
    notes = clock.sentences(found, "secret")
    if said := _OF_ENGINES.get(ask(_ENGINE)[0]["engine"], _SAID):
        notes.append(said)
    return Part("clock", "Time to revoke", [found], notes=tuple(notes))


def _readers(rows: Sequence[dict[str, Any]], case: Case) -> Part:
    hidden = {"principal_type", "reads_since", *({"new"} if case.since is None else ())}
    told = [{**row, "new": row["new"] if case.since else None} for row in rows]
    new = sum(bool(row["new"]) for row in told)
    notes = (f"{new} of {len(told)} read it for the first time since then",) if case.since else ()
    return Part("reader", "Who read it", told, frozenset(hidden), "nobody in this period", notes=notes)


def _spread(ask: Ask, case: Case, readers: Iterable[dict[str, Any]], place: dict[str, str]) -> list[Part]:
    """What else those read who were new: with whoever has this secret, that is at stake too."""
    new = [row["principal"] for row in readers if row["new"] and row["reads_since"]]
    if case.since is None:
        return []
    rows = ask(_SPREAD, readers=new, since=case.since, end=case.period.end, **place) if new else []
    return [Part("spread", "What the new readers read besides", rows, frozenset({"store"}), "nothing")]


def _versions(rows: Sequence[dict[str, Any]]) -> Part:
    return Part("version", "Versions", rows, frozenset({"readers"}), "the store tells of none", anchor=len(rows))


def _changes(rows: Sequence[dict[str, Any]]) -> Part:
    told = [
        {
            "time": one["time"], "did": effects.effect(one), "operation": one["operation"],
            "api_operation": one["api_operation"], "path": one["path"], "version": one["secret_version"],
            "principal": one["principal"], "client_ip": one["client_ip"], "outcome": one["outcome"], "uid": one["uid"],
        }
        for one in rows
    ]  # fmt: skip
    hidden = frozenset({"operation", "api_operation", "uid", "client_ip"})
    return Part("change", "Written, rotated, deleted, revoked", told, hidden, "never in this period", anchor=len(told))
