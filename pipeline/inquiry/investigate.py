"""`keytrail investigate`: everything about one name, in parts."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline import store
from pipeline.commands import parse_since
from pipeline.inquiry import names, principal, secret, told
from pipeline.inquiry.case import Case
from pipeline.inquiry.parts import Part, Row
from pipeline.inquiry.period import number, period
from pipeline.inquiry.period import told as shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.store import Ask

VIEWS: Final = ("operations", "alerts", "findings", "integrity", "coverage")
_BLANK: Final = dict.fromkeys(("time", "what", "who", "client_ip", "path", "outcome", "uid"))  # an event
_YOUNG: Final = dt.timedelta(days=1)  # of record before a compromise: too little to tell what is new
_FACTS: Final = """
SELECT min(time) AS first_seen, max(time) AS last_seen, count(*) AS operations,
  count(*) FILTER (outcome = 'denied') AS denied, count(DISTINCT client_ip) AS addresses
FROM operations WHERE time >= $start AND time < $end
  AND CASE WHEN $kind = 'secret' THEN secret = $name AND store = $store AND coalesce(namespace, '') = $namespace
      ELSE principal = $name END
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says."""

    name: str
    span: tuple[str | None, str | None] = (None, None)
    since: str | None = None
    kind: str | None = None
    store: str | None = None
    namespace: str | None = None


def investigate(lake: Path, wanted: Wanted) -> list[Part]:
    """The parts, most urgent first. Raises ConfigError, NoInputError."""
    return store.at_one_commit(lake, VIEWS, lambda ask: _parts(ask, wanted))


def _parts(ask: Ask, wanted: Wanted) -> list[Part]:
    chosen = period(ask, wanted.span)
    subject = names.subject(ask, wanted.name, wanted.kind, wanted.store, wanted.namespace)
    since, origin = None, ""
    if wanted.since:
        since, origin = parse_since("--since", wanted.since, dt.datetime.now(dt.UTC)), "--since"
    elif first := told.first_high(ask, subject, chosen):
        since, origin = first, "first high alert"
    case = Case(subject, chosen, since, origin)
    room = secret if subject.kind == "secret" else principal
    found = room.parts(ask, case)
    alerts, findings = told.alerts(ask, subject, chosen), told.findings(ask, subject, chosen)
    changes = next((part.rows for part in found if part.name == "change"), ())
    events = _timeline(case, [*room.events(ask, case), *map(_change, changes), *map(_alert, alerts.rows)])
    return [_subject(ask, case), *found, alerts, findings, events, told.record(ask, chosen)]


def _subject(ask: Ask, case: Case) -> Part:
    subject, chosen = case.subject, case.period
    (facts,) = ask(_FACTS, **told.about(subject, chosen), namespace=subject.namespace)
    row = {
        "kind": subject.kind, "name": subject.name, "store": subject.store or None,
        "namespace": subject.namespace if subject.kind == "secret" else None, **facts,
        "from": chosen.start, "to": chosen.end, "since": case.since, "since_from": case.since_from or None,
        "record_begins": chosen.begins, "record_ends": chosen.ends,
    }  # fmt: skip
    places = "1 address" if facts["addresses"] == 1 else f"{facts['addresses']:,} addresses"
    notes = [f"{number(facts['operations'], 'operation')} in that time, {facts['denied']:,} denied, {places}"]
    if case.since and case.since - chosen.begins < _YOUNG:
        notes.append(f"the record begins {shown(chosen.begins)}: 'new' says little, as there is hardly a time before")
    if case.since and case.since > chosen.until:
        notes.append(f"the record ends {shown(chosen.until)}, before that: it cannot tell what happened since")
    place = f" in {subject.store} {subject.namespace}".rstrip() if subject.kind == "secret" else ""
    title = f"{subject.name}: a {subject.kind}{place}, {shown(chosen.start)} to {shown(chosen.until)} UTC"
    return Part("subject", title, [row], notes=tuple(notes))


def _change(row: Row) -> dict[str, Any]:
    return {**_BLANK, **{name: row[name] for name in _BLANK if name in row}, "what": row["did"] or row["operation"],
            "who": row["principal"]}  # fmt: skip


def _alert(row: Row) -> dict[str, Any]:
    what = f"{row['severity']} alert: {row['title']}"
    return {**_BLANK, "time": row["first_time"], "what": what, "who": row["principal"], "path": row["secret"],
            "uid": row["uid"]}  # fmt: skip


def _timeline(case: Case, events: Sequence[dict[str, Any]]) -> Part:
    """All events once, in their order, with the moment of the compromise among them."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for event in events:
        rows.setdefault((event["uid"], event["what"]), event)
    if case.since:
        rows["since",] = {**_BLANK, "time": case.since, "what": f"compromise declared ({case.since_from})"}
    ordered = sorted(rows.values(), key=lambda row: (row["time"], row["uid"] or "", row["what"]))
    anchor = next((at for at, row in enumerate(ordered) if row["time"] == case.since), len(ordered))
    alone = {row["who"] for row in ordered} <= {case.subject.name, None}
    hidden = frozenset({"uid", "outcome", *(("who",) if alone else ())})
    return Part("event", "Timeline", ordered, hidden, "nothing", anchor)
