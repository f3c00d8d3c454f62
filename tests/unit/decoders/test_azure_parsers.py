"""The quick and the exact parser of Azure's records, and of the events in them, are one parser in two speeds."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipeline.decoders import kubernetes
from tests.decoding import batch_of
from tests.unit.decoders.test_azure import CASES, LINES, QUICK, aks, alike, believed, event, record, rows


def test_ordinary_entries_stay_on_the_quick_path() -> None:
    """Records as Azure writes them are believed at once: doubt is for doubtful lines."""
    made = [json.loads(line) for line in LINES[:25]]  # those of Key Vault
    acts = [one for one in GOOD if one.get("category") == "Administrative" and "ody" not in str(one["properties"])]
    made += [*acts, *(aks(event(verb=verb, requestURI="/api/v1/secrets?a=1&b=2")) for verb in ("get", "watch"))]
    made.append(aks(event(), text=False))
    ordinary = [json.dumps(one, separators=(",", ":")) for one in made]
    quick, count = believed("\n".join(ordinary).encode())
    assert quick >= 0.99 * count


@pytest.mark.parametrize("name", sorted(path.stem for path in CASES.glob("*.in")))
def test_cases_readalike(name: str) -> None:
    """Every case gives the same by either parser."""
    alike((CASES / f"{name}.in").read_bytes())


ODD_VALUES = st.sampled_from([
    None, True, False, 0, 403, 2e2, 1e400, "", "x", "Forbidden", "403", "2026-03-01T08:00:00Z", "2026-3-1T8:0:0Z", [],
    ["a"], {}, {"claim": {"upn": "a@example.com"}}, {"id": "x", "log": "y"}, '{"claim":{"upn":"b@example.com"}}',
    '{"httpStatusCode":403}', '{"auditID":"x"}', "{", "AuditEvent", "kube-audit", "Administrative", "write", "true",
    "SecretGet", "a/b/write", "ünï", "a\nb", "\x00", "\b", 'q"', "back\\slash", "😀", "\u2028", "s." + "A" * 24,
    {"value": "a/b/write"}, {"value": None}, "https://x.vault.azure.net/secrets/a/b", "[redacted]",
])  # fmt: skip


def _paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [at, *(path for name in value for path in _paths(value[name], (*at, name)))]
    return [at]


def _changed(value: Any, path: tuple[Any, ...], to: Any) -> Any:
    if not path:
        return to
    return {**value, path[0]: _changed(value[path[0]], path[1:], to)} if isinstance(value, dict) else to


def _shuffled(value: Any, rng: random.Random) -> Any:
    if not isinstance(value, dict):
        return value
    names = list(value)
    rng.shuffle(names)
    return {name: _shuffled(value[name], rng) for name in names}


GOOD = [json.loads(line) for line in LINES if line.startswith("{") and line.endswith("}")]


@settings(deadline=None)
@given(data=st.data())
def test_changed_entries_readalike(data: st.DataObject) -> None:
    """Records and events with other values in any place, keys in any order, give the same by either parser."""
    lines = []
    for _ in range(data.draw(st.integers(1, 4))):
        body = data.draw(st.sampled_from(GOOD))
        inner = body.get("properties", {}).get("log")
        rng = random.Random(data.draw(st.integers(0, 9)))
        if isinstance(inner, str) and inner.startswith("{") and data.draw(st.booleans()):
            changed = _mutated(json.loads(inner) if inner.endswith(("}", "}\n")) else event(), data)
            log = json.dumps(
                _shuffled(changed, rng),
                ensure_ascii=data.draw(st.booleans()),
                indent=data.draw(st.sampled_from([None, 1])),
            )
            body = _changed(body, ("properties", "log"), data.draw(st.sampled_from([log, changed, log + "\n"])))
        else:
            body = _mutated(body, data)
        lines.append(json.dumps(_shuffled(body, rng), ensure_ascii=data.draw(st.booleans())))
    alike("\n".join(lines).encode())


def _mutated(body: Any, data: st.DataObject) -> Any:
    for _ in range(data.draw(st.integers(0, 3))):
        body = _changed(body, data.draw(st.sampled_from(_paths(body))), data.draw(ODD_VALUES))
    return body


def _line(**more: Any) -> str:
    return json.dumps(record(**more), separators=(",", ":"))


def _event_line(old: str, new: str) -> str:
    text = json.dumps(event(), separators=(",", ":"))
    assert old in text
    return json.dumps(aks({}) | {"properties": {"log": text.replace(old, new)}}, separators=(",", ":"))


ODD = {
    "a second name": _line().replace('"operationName"', '"operationName":"KeyGet","operationName"'),
    "a second identity": _line().replace('"identity"', '"identity":null,"identity"'),
    "an identity that is null, and one elsewhere": _line(identity=None).replace(
        '"resourceId"', '"x":{"identity":{"claim":{"upn":"a"}}},"identity":null,"resourceId"'
    ),
    "a comma before a bracket": _line().replace('"durationMs":"12"', '"durationMs":"12",'),
    "a number that is none": _line().replace('"12"', "nan"),
    "an escaped name": _line().replace('"operationName"', '"oper\\u0061tionName"'),
    "a verb twice in an event": _event_line('"verb"', '"verb":"list","verb"'),
    "a verb escaped in an event": _event_line('"verb"', '"v\\u0065rb"'),
    "an event that breaks off": _event_line('"db"}', '"db"'),
    "an event with a comma too many": _event_line('"db"}', '"db",}'),
    "an event with a number that is none": _event_line('"code":200', '"code":NaN'),
    "an event with a line end in a text": _event_line('"shop"', '"sh\nop"'),
    "an event with a line end between": _event_line('"verb":', '"verb":\n'),
    "an event with a NUL": _event_line('"shop"', '"sh\x00op"'),
    "an event with an escaped NUL": _event_line('"shop"', '"sh\\u0000op"'),
    "an event with half a letter": _event_line('"shop"', '"sh\\ud800op"'),
    "an event and more": _event_line('"audit.k8s.io/v1"', '"audit.k8s.io/v1"').replace('"}}', '} {}"}}'),
    "an event too deep": _event_line('"level"', f'"x":{"[" * 70}{"]" * 70},"level"'),
    "an event of no time": _event_line("2026-03-01T11:00:00.002000Z", "soon"),
    "an event of another zone": _event_line("2026-03-01T11:00:00.002000Z", "2026-03-01T12:00:00+01:00"),
    "a record in a record": _event_line('"kind"', '"category":"kube-audit","properties":{"log":"{}"},"kind"'),
    "a record in a record, with an event": _event_line(
        '"kind"', f'"category":"kube-audit","properties":{{"log":{json.dumps(json.dumps(event(verb="list")))}}},"kind"'
    ),
    "a mark of the exact parser": _line(**{"keytrail.exact": True}),
    "a mark of the exact parser, on an event": json.dumps(aks(event()) | {"keytrail.exact": True}),
    "a mark of the exact parser, on a bad event": _event_line('"db"}', '"db"').replace(
        '"category"', '"keytrail.exact":true,"category"'
    ),
    "an event that is a list": json.dumps(aks({}) | {"properties": {"log": "[1]"}}),
    "an event without an id": _event_line('"auditID"', '"auditId"'),
    "a log that is a number": json.dumps(aks({}) | {"properties": {"log": 7}}),
    "properties as text": json.dumps(record() | {"properties": json.dumps({"httpStatusCode": 403})}),
    "identity as text": json.dumps(record() | {"identity": json.dumps({"claim": {"upn": "ana@example.com"}})}),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_lines_readalike(name: str) -> None:
    """Lines on which parsers are known to differ give the same by either."""
    alike(ODD[name].encode())


def test_objects_written_as_text() -> None:
    """`identity` and `properties` may be JSON in text."""
    (who,) = rows(record() | {"identity": json.dumps({"claim": {"upn": "ana@example.com"}})})
    (what,) = rows(record() | {"properties": json.dumps({"httpStatusCode": 403})})
    assert (who["auth_display_name"], what["outcome"]) == ("ana@example.com", "denied")


def test_time_of_an_event_is_its_own() -> None:
    """The record around it is written later; both copies that a cluster's two categories hold have one id."""
    first, again = rows(aks(event()), aks(event()) | {"category": "kube-audit-admin", "time": "2026-03-01T11:02:00Z"})
    assert first["time"] == again["time"]
    assert first["time"].isoformat() == "2026-03-01T11:00:00.002000+00:00"
    assert first["correlation_uid"] == again["correlation_uid"] == "a1:2026-03-01T11:00:00.000000Z"
    assert first["latency_ms"] == 2.0


def test_events_are_read_as_a_cluster_of_ones_own_writes_them() -> None:
    """A record of AKS gives the columns that its event gives by itself, but for the cluster's name."""
    events = [event(), event(verb="list", responseStatus={"code": 403}), event(stage="RequestReceived")]
    own = kubernetes.create(kubernetes.Config()).decode(batch_of("\n".join(map(json.dumps, events)).encode())).events
    for text in (True, False):
        batch = batch_of("\n".join(json.dumps(aks(one, text=text)) for one in events).encode())
        assert_frame_equal(QUICK.decode(batch).events.drop("cluster", "format"), own.drop("cluster", "format"))
