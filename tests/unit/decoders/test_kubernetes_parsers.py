"""The quick and the exact parser of Kubernetes audit events are one parser in two speeds."""

from __future__ import annotations

import copy
import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.decoders.kubernetes import Config, create
from tests.decoding import SHARED, Speeds, batch_of
from tests.unit.decoders.test_kubernetes import CASES, LOGS, event, told

if TYPE_CHECKING:
    pass


BOTH = Speeds(lambda: create(Config()))
QUICK = BOTH.quick


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_cases_read_alike(path: Any) -> None:
    """Every case gives the same by either parser."""
    BOTH.alike(batch_of(path.read_bytes()))


@pytest.mark.parametrize("log", LOGS)
def test_real_logs_read_alike(log: str) -> None:
    """Every recorded event gives the same by either parser."""
    path = SHARED / "real_logs" / log
    if not path.exists():
        pytest.skip(f"no recordings at {SHARED} (set KEYTRAIL_SHARED)")
    for file in [path] if path.is_file() else sorted(path.glob("*.json")):
        BOTH.alike(batch_of(file.read_bytes()))


@pytest.mark.parametrize("case", ["secrets", "other_resources", "outcomes", "identities"])
def test_ordinary_events_stay_on_the_quick_path(case: str) -> None:
    """Events that show no objects of secrets are believed at once."""
    (path,) = (path for path in CASES if path.stem == case)
    batch = batch_of(path.read_bytes())
    assert BOTH.believed(batch) == len(batch)


def test_recorded_events_stay_on_the_quick_path() -> None:
    """So are those of a real API server."""
    path = SHARED / "real_logs/k8s-audit2rbac/demo.log"
    if not path.exists():
        pytest.skip(f"no recordings at {SHARED} (set KEYTRAIL_SHARED)")
    batch = batch_of(path.read_bytes())
    assert BOTH.believed(batch) == len(batch) == 37


LINES = [
    line
    for path in CASES
    if path.stem not in {"documents", "refused"}
    for line in path.read_text(encoding="utf-8").splitlines()
]
NAMES = st.sampled_from(
    ["kind", "verb", "token", "Token", "data", "stringData", "secrets", "name", "uid", "op", "path", "value", "items",
     "annotations", "kubectl.kubernetes.io/last-applied-configuration", "requestObject", "responseObject", "extra",
     "authentication.kubernetes.io/credential-id", "apiVersion", "groups", "status", "timestamp", "x"]
)  # fmt: skip
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=4),
    st.sampled_from(
        ["Secret", "secrets", "hunter2", "/data/x", "add", "[redacted]", '{"kind":"Secret","data":{"a":"hunter2"}}',
         '{"token" : "hunter2"}', "2026-03-01T08:00:00Z", "2026-03-01T09:00:00+01:00", "403", "anonymous", "", "-",
         "eyJhbGciOiJub25l.eyJpc3MiOiJhIn0x.", "/api/v1/secrets", "https:\\/\\/example.com", "ümläut", "\u2028",
         [], {}, ["a"], [{"op": "add", "path": "/data/a", "value": "hunter2"}], {"kind": "Secret", "data": {"a": "b"}}]
    ),
)  # fmt: skip


def _places(value: Any) -> list[Any]:
    """Every object and list of a JSON value."""
    inside = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    here = [value] if isinstance(value, (dict, list)) else []
    return here + [place for item in inside for place in _places(item)]


@st.composite
def _changed(draw: st.DrawFn) -> str:
    """A case's line with some of its parts put in, taken out, changed or in another order."""
    body = json.loads(draw(st.sampled_from(LINES)))
    for _ in range(draw(st.integers(0, 4))):
        place, value = draw(st.sampled_from(_places(body))), copy.deepcopy(draw(VALUES))
        if isinstance(place, list):
            place.append(value)
        elif place and draw(st.booleans()):
            name = draw(st.sampled_from(sorted(place)))
            place[name] = value
        elif place and draw(st.booleans()):
            del place[draw(st.sampled_from(sorted(place)))]
        else:
            place[draw(NAMES)] = value
    rng = random.Random(draw(st.integers(0, 3)))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    return json.dumps(_shuffled(body, rng), ensure_ascii=draw(st.booleans()), separators=separators)


def _shuffled(value: Any, rng: random.Random) -> Any:
    if isinstance(value, list):
        return [_shuffled(item, rng) for item in value]
    if not isinstance(value, dict):
        return value
    names = list(value)
    rng.shuffle(names)
    return {name: _shuffled(value[name], rng) for name in names}


@settings(deadline=None)
@given(lines=st.lists(_changed(), min_size=1, max_size=6))
def test_changed_events_read_alike(lines: list[str]) -> None:
    """Events of every shape, keys in any order and letters written either way, give the same by either parser."""
    BOTH.alike(batch_of("\n".join(lines).encode()))


USUAL = json.dumps(event("get", "secrets", "db"), separators=(",", ":"))
CREDENTIAL = '"authentication.kubernetes.io/credential-id":["JTI=1"]'
ODD = {
    "a name with its slash escaped": USUAL.replace("kubernetes.io/c", "kubernetes.io\\/c"),
    "a name twice, once with its slash escaped": USUAL.replace(
        '"extra":{', '"extra":{' + CREDENTIAL.replace("io/", "io\\/").replace("=1", "=2") + ","
    ),
    "a name twice, once with its slash as a number": USUAL.replace(
        '"extra":{', '"extra":{' + CREDENTIAL.replace("io/", "io\\u002f") + ","
    ),
    "a verb twice": USUAL.replace('"verb":"get"', '"verb":"get","verb":"list"'),
    "a user twice": USUAL.replace('"user":{', '"user":{"username":"ana"},"user":{'),
    "a code in quotes": USUAL.replace('"code":200', '"code":"403"'),
    "a code that is none": USUAL.replace('"code":200', '"code":200.5'),
    "a name that is a number": USUAL.replace('"name":"db"', '"name":12'),
    "a user that is null": USUAL[: USUAL.index('"user":')] + '"user":null,' + USUAL[USUAL.index('"sourceIPs"') :],
    "addresses that are none": USUAL.replace('["192.0.2.10"]', '"192.0.2.10"'),
    "an address that is null": USUAL.replace('["192.0.2.10"]', "[null]"),
    "a time that is null": USUAL.replace('"stageTimestamp":"2026-03-01T08:00:00.004000Z"', '"stageTimestamp":null'),
    "a kind with an escape": USUAL.replace('"kind":"Event"', '"kind":"\\u0045vent"'),
    "no kind": USUAL.replace('"kind":"Event",', ""),
    "a kind that is a list": USUAL.replace('"kind":"Event"', '"kind":["Event"]'),
    "a group that is no audit's": USUAL.replace("audit.k8s.io/v1", "v1"),
    "a cluster that it names itself": USUAL[:-1] + ',"keytrail.cluster":"mine"}',
    "a token in another case": USUAL[:-1] + ',"requestObject":{"status":{"Token" : "hunter2"}}}',
    "a token in a text": USUAL[:-1] + ',"requestObject":"{\\"token\\"\\n:\\t\\"hunter2\\"}"}',
    "a token that is empty": USUAL[:-1] + ',"requestObject":{"status":{"token":""}}}',
    "a token in quotes": USUAL[:-1] + ',"requestObject":{"status":{"token":"\\""}}}',
    "a comma before a bracket": USUAL[:-1] + ",}",
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_lines_read_alike(name: str) -> None:
    """Lines on which parsers are known to differ give the same by either."""
    assert ODD[name] != USUAL
    BOTH.alike(batch_of(ODD[name].encode()))


def test_odd_lines_are_read_as_they_should_be() -> None:
    """A name given twice is refused, however it is written; a status code may be a text."""
    assert told(ODD["a name twice, once with its slash escaped"]) == "duplicate_key"
    assert told(ODD["a name twice, once with its slash as a number"]) == "duplicate_key"
    assert told(ODD["a user twice"]) == "duplicate_key"
    coded = told(ODD["a code in quotes"])
    assert isinstance(coded, dict)
    assert coded["outcome"] == "denied"
