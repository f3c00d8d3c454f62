"""Entries of several formats in one stream: in lists and documents, wrapped, torn, beside each other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.core import plugins
from pipeline.decoders import together
from tests.decoding import batch_of, batch_of_records, drained, uncovered

if TYPE_CHECKING:
    from tests.decoding import Seen

ROOM = "pipeline.decoders"
AUTO = together([plugins.load(ROOM, kind).format_of(plugins.load(ROOM, kind).Config()) for kind in plugins.kinds(ROOM)])
HUSH = "aHVudGVyMg=="


def trail(number: int, **other: Any) -> dict[str, Any]:
    """A CloudTrail record."""
    return {
        "eventVersion": "1.10", "eventTime": f"2026-03-01T08:00:{number:02d}Z", "eventName": "GetSecretValue",
        "eventSource": "secretsmanager.amazonaws.com", "eventID": f"e{number}", "recipientAccountId": "111122223333",
        "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/ana"}, **other,
    }  # fmt: skip


def cluster(number: int, **other: Any) -> dict[str, Any]:
    """A Kubernetes event; with `requestObject` it shows a secret."""
    return {
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "auditID": f"a{number}", "stage": "ResponseComplete",
        "verb": "create", "requestURI": "/api/v1/namespaces/shop/secrets", "user": {"username": "bo"},
        "objectRef": {"resource": "secrets", "namespace": "shop", "name": "db", "apiVersion": "v1"},
        "stageTimestamp": f"2026-03-01T08:00:{number:02d}.000000Z", **other,
    }  # fmt: skip


SHOWING = cluster(9, requestObject={"kind": "Secret", "apiVersion": "v1", "data": {"pw": HUSH}})
RECORDS = [trail(1), trail(2), trail(3)]


def told(data: bytes) -> list[str]:
    """What each piece is: an event's own id, or its reason. The same in any cut."""
    seen = drained(AUTO, data)
    assert drained(AUTO, data, [1]) == drained(AUTO, data, [2, 3]) == seen
    return [_named(one) for one in seen]


def _named(one: Seen) -> str:
    return str(one.event["correlation_uid"] or one.event["path"]) if one.event else one.reason


def kept(data: bytes) -> bytes:
    """All that is stored of it."""
    return b"\n".join(one.text if one.replaced is None else one.replaced for one in drained(AUTO, data))


def compact(value: Any) -> bytes:
    """One line."""
    return json.dumps(value, separators=(",", ":")).encode()


DOCUMENTS = {
    "a document": compact({"Records": RECORDS}),
    "a document over lines": json.dumps({"Records": RECORDS}, indent=2).encode(),
    "a list": compact(RECORDS),
    "a list over lines": json.dumps(RECORDS, indent=1).encode(),
    "a byte order mark": b"\xef\xbb\xbf" + compact({"Records": RECORDS}),
    "members before": compact({"a-b": "x\"y", "ok": False, "n": 1.5, "m": {"v": "1"}, "l": ["x"], "Records": RECORDS}),
    "members behind": compact({"records": RECORDS, "nextLink": "x", "more": True}),
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_entries_of_a_document_are_found(name: str) -> None:
    """Each entry is one event; what holds them together is kept, and nothing is refused."""
    data = DOCUMENTS[name]
    assert [one for one in told(data) if one != "brackets"] == ["e1", "e2", "e3"]
    assert uncovered(batch_of(data), AUTO.decode(batch_of(data))) == b""


def test_an_empty_document_is_brackets() -> None:
    """There is nothing to refuse in it."""
    assert told(b'{"Records":[]}') == ["brackets"]


def test_a_document_in_a_record_that_is_counted() -> None:
    """Of a topic: all its entries have the record's offset, and one behind it has its own."""
    decoded = AUTO.decode(batch_of_records([compact({"Records": RECORDS}), compact(trail(4))]))
    places = decoded.pieces.positions[decoded.events["piece"].to_numpy()].tolist()
    assert places == [1000, 1000, 1000, 1001]
    assert decoded.consumed == 2


@pytest.mark.parametrize(
    "text",
    [b"[" * 1100 + b"]" * 1100, b'[{"a":' + b'{"a":' * 5000 + b"1" + b"}" * 5001 + b"]"],
    ids=["lists", "objects"],
)
def test_what_is_nested_too_deep_stops_nobody(text: bytes) -> None:
    """It is refused, and its neighbours are read."""
    good = compact(trail(1))
    names = told(good + b"\n" + text + b"\n" + good)
    assert names[0] == names[-1] == "e1"


def test_tiny_elements_are_few_pieces_a_line() -> None:
    """A list of what is no entry is refused as one."""
    assert told(compact([{}] * 50)) == ["brackets", "unknown_format"]


WRAPPED = {
    "a shipper's text": {"log": compact(SHOWING).decode() + "\n", "stream": "stdout"},
    "a shipper's object": {"@timestamp": "2026-03-01T08:00:00Z", "audit": SHOWING},
    "a table's row": {"TimeGenerated": "2026-03-01T08:00:00Z", "log_s": compact(SHOWING).decode()},
    "an unknown document": {"Meta": [{"x": 1}], "Kept": [trail(1, requestParameters={"secretString": HUSH})]},
    "a look-up": {"Events": [{"CloudTrailEvent": compact(trail(1, requestParameters={"password": HUSH})).decode()}]},
}  # fmt: skip


@pytest.mark.parametrize("name", WRAPPED)
def test_an_entry_that_is_not_recognised_keeps_no_value(name: str) -> None:
    """However it is wrapped: what cannot be told apart is not kept."""
    data = compact(WRAPPED[name])
    assert told(data) == ["unknown_format"]
    assert HUSH.encode() in data
    assert HUSH.encode() not in kept(data)


def test_members_of_a_document_keep_no_value() -> None:
    """Beside the list there may be anything."""
    data = (
        compact({"sessionToken": HUSH, "Records": [trail(1)]}) + b"\n" + compact({"Records": [trail(2)], "token": HUSH})
    )
    assert HUSH.encode() not in kept(data)
    assert [one for one in told(data) if one != "brackets"] == ["e1", "e2"]


def test_an_entry_with_a_list_is_no_document() -> None:
    """Whoever can put a list into an entry does not make it vanish."""
    assert told(compact(cluster(1, items=[{}]))) == ["a1"]
    assert told(compact(trail(1, records=[{}]))) == ["e1"]


@pytest.mark.parametrize("inner", [SHOWING, trail(5, requestParameters={"secretString": HUSH})])
def test_a_torn_head_hides_no_entry(inner: dict[str, Any]) -> None:
    """A line that is an entry by itself stays one, also where its neighbours would make it part of something else."""
    data = b'{"kind":\n' + compact(inner) + b"\n}"
    assert inner.get("auditID", inner.get("eventID")) in told(data)
    assert HUSH.encode() not in kept(data)


@pytest.mark.parametrize("last", [cluster(3), SHOWING], ids=["plain", "showing"])
def test_a_line_is_judged_by_itself(last: dict[str, Any]) -> None:
    """What becomes of the second line does not depend on how the third is read."""
    assert told(b'{"request":{\n"accountId": "1",\n' + compact(last))[1] == "unknown_format"


def test_stages_before_the_answer_are_no_operations() -> None:
    """They are events, which the pairing leaves out: the answer tells all again."""
    lines = [cluster(1, stage=stage) for stage in ("RequestReceived", "ResponseStarted", "ResponseComplete")]
    events = AUTO.decode(batch_of(b"\n".join(map(compact, lines)))).events
    assert events["probe"].to_list() == [True, True, False]
