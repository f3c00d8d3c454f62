"""The quick and the exact way of reading Google Cloud's entries are one way in two speeds; and what was recorded."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipeline.decoders.gcp
from pipeline.decoders.gcp import Config, create
from tests.decoding import SHARED, Speeds, batch_of

if TYPE_CHECKING:
    pass

CASES = Path(str(pipeline.decoders.gcp.__file__)).parent / "cases"
ORDINARY = ("secret_manager", "kms", "identities", "audit_trail", "gke", "other_services")


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().rstrip().split(b"\n")


BOTH = Speeds(lambda: create(Config()))
QUICK = BOTH.quick


@pytest.mark.parametrize("case", sorted(path.stem for path in CASES.glob("*.in")))
def test_cases_read_alike(case: str) -> None:
    """Every case gives the same when the quick parser fails."""
    BOTH.alike(batch_of((CASES / f"{case}.in").read_bytes()))


@pytest.mark.parametrize("case", ORDINARY)
def test_ordinary_entries_stay_on_the_quick_path(case: str) -> None:
    """Entries as Google writes them are believed at once."""
    batch = batch_of((CASES / f"{case}.in").read_bytes())
    assert BOTH.believed(batch) == len(batch)


ENTRIES = [json.loads(line) for case in (*ORDINARY, "in_clear") for line in _lines(CASES / f"{case}.in")]
NAMES = st.sampled_from(
    [
        "name", "status", "code", "message", "request", "response", "resource", "labels", "type", "@type", "time",
        "timestamp", "principalEmail", "methodName", "serviceName", "resourceName", "protoPayload", "id", "data",
        "payload", "token", "secrets", "project_id", "location", "metadata", "x", "ü", "value", "operation",
    ]
)  # fmt: skip
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.sampled_from([0.5, 7.0, -1.25]),
    st.text(max_size=8),
    st.sampled_from(
        [
            "7", "k8s.io", "secretmanager.googleapis.com", "projects/shop-prod/secrets/a/versions/2", "core/v1/secrets",
            "2026-03-01T08:00:00Z", "2026-03-01 08:00:00", "2026-03-01T09:00:00+01:00", "io.k8s.core.v1.secrets.list",
            "system:serviceaccount:a:b", "allUsers", 'q"uote', "back\\slash", "\x00", "\u2028", "😀",
            "GenerateAccessToken", "ya29.aaaaaaaaaaaaaaaaaaaaaaaa", "hvs.aaaaaaaaaaaaaaaaaaaaaaaa",
        ]
    ),
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=5,
)


def _objects(value: Any) -> list[dict[str, Any]]:
    """Every object in a value, itself included."""
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return ([value] if isinstance(value, dict) else []) + [one for item in inner for one in _objects(item)]


@st.composite
def _changed(draw: st.DrawFn) -> str:
    """A line of the cases with some of its values changed, added or taken away, its keys in any order."""
    entry = json.loads(json.dumps(draw(st.sampled_from(ENTRIES))))
    for _ in range(draw(st.integers(0, 3))):
        where = draw(st.sampled_from(_objects(entry)))
        name = draw(st.one_of(NAMES, st.sampled_from(sorted(where)) if where else NAMES))
        if draw(st.booleans()):
            where[name] = draw(VALUES)
        else:
            where.pop(name, None)
    shuffled = _shuffled(entry, random.Random(draw(st.integers(0, 9))))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    return json.dumps(shuffled, ensure_ascii=draw(st.booleans()), separators=separators)


def _shuffled(value: Any, rng: random.Random) -> Any:
    if not isinstance(value, dict):
        return value
    names = list(value)
    rng.shuffle(names)
    return {name: _shuffled(value[name], rng) for name in names}


@settings(deadline=None)
@given(lines=st.lists(_changed(), min_size=1, max_size=8))
def test_changed_entries_read_alike(lines: list[str]) -> None:
    """Whatever stands in an entry gives the same by either way."""
    BOTH.alike(batch_of("\n".join(lines).encode()))


LINE = json.dumps(ENTRIES[0], separators=(",", ":"))
ODD = {
    "a second service": LINE.replace('"serviceName"', '"serviceName":"k8s.io","serviceName"'),
    "a second payload": LINE[:-1] + ',"protoPayload":{}}',
    "a second status elsewhere": LINE[:-1] + ',"status":{"code":7}}',
    "an escaped key": LINE.replace('"methodName"', '"method\\u004eame"'),
    "an escaped key twice": LINE.replace('"methodName"', '"method\\u004eame":"x","methodName"'),
    "a comma before a bracket": LINE[:-1] + ',"x":[1,]}',
    "a time with a blank": LINE.replace('"timestamp":"', '"timestamp":" '),
    "a time of single digits": LINE.replace('"timestamp":"2026-03-01T0', '"timestamp":"2026-3-1T'),
    "a code in quotes": LINE.replace('"authenticationInfo"', '"status":{"code":"7"},"authenticationInfo"'),
    "a code with a fraction": LINE.replace('"authenticationInfo"', '"status":{"code":7.0},"authenticationInfo"'),
    "a status that is a list": LINE.replace('"authenticationInfo"', '"status":[7],"authenticationInfo"'),
    "labels that are text": LINE.replace('"labels":{', '"labels":"none","more":{'),
    "a type of something else": LINE.replace("google.cloud.audit.AuditLog", "google.other.Log"),
    "another case": LINE.replace('"callerIp"', '"callerIP"'),
    "both cases": LINE.replace('"callerIp"', '"callerIP":"198.51.100.1","callerIp"'),
    "wrapped and not": LINE[:-1] + ',"data":{"protoPayload":{"serviceName":"k8s.io","methodName":"io.k8s.get"}}}',
}


@pytest.mark.parametrize("name", ODD)
def test_odd_lines_read_alike(name: str) -> None:
    """Lines on which parsers are known to differ give the same by either."""
    assert ODD[name] != LINE
    BOTH.alike(batch_of(ODD[name].encode()))


def _recorded(log: str) -> list[dict[str, Any]]:
    """The Google Cloud entries of a recording, unwrapped."""
    path = SHARED / "real_logs" / log
    if not path.exists():
        pytest.skip(f"no recordings at {SHARED} (set KEYTRAIL_SHARED)")
    bodies = [json.loads(line) for line in _lines(path)]
    return [one["event"] for one in bodies if "protoPayload" in one.get("event", {})]


def _columns(entries: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    batch = batch_of("\n".join(map(json.dumps, entries)).encode())
    BOTH.alike(batch)
    decoded = QUICK.decode(batch)
    assert decoded.rejected.is_empty()
    return decoded.events.select(names).rows()


def test_recorded_attacks_are_told() -> None:
    """The entries that attack descriptions show, of which all but one lack the time, which is put in here."""
    entries = _recorded("gcp-stratus-docs/events.jsonl")
    timeless = [
        one for one in entries if "timestamp" not in one and "requestAttributes" not in json.dumps(one)
    ]  # fmt: skip
    refused = QUICK.decode(batch_of("\n".join(map(json.dumps, entries)).encode())).rejected["reason"].to_list()
    assert refused == ["bad_time"] * len(timeless) == ["bad_time"] * 7
    timed = [{"timestamp": "2026-03-01T08:00:00Z", **one} for one in entries]
    names = ("operation", "outcome", "path", "auth_display_name", "secret", "namespace")
    got = _columns(timed, *names)
    assert [one[0] for one in got] == ["read", "policy", "policy", "policy", "write", "delete", "policy", "auth"]
    assert [one[1] for one in got] == [*["success"] * 7, "denied"]
    payloads = [one["protoPayload"] for one in entries]
    assert [one[2] for one in got] == [one["resourceName"] for one in payloads]
    assert [one[3] for one in got] == [one.get("authenticationInfo", {}).get("principalEmail") for one in payloads]
    project, secret = re.match(r"projects/([^/]+)/secrets/([^/]+)/", payloads[0]["resourceName"]).groups()  # type: ignore[union-attr]
    assert [one[4] for one in got] == ["secretmanager/" + secret, *[""] * 7]
    assert [one[5] for one in got[:4]] == [project] * 4
    mounts = ["secretmanager/", *["compute/"] * 3, "storage/", "storage/", "cloudresourcemanager/", "iamcredentials/"]
    assert _columns(timed, "mount") == [(mount,) for mount in mounts]
    assert _columns(timed, "discloses_value") == [(True,), *[(False,)] * 7]


def test_recorded_uses_of_keys_are_told() -> None:
    """The entries that a rule set is tested with: their times have no zone, their types another key."""
    entries = _recorded("panther-tests/secret-stores.dev.jsonl")
    names = ("operation", "outcome", "secret_version", "flags", "auth_display_name", "secret", "namespace")
    got = _columns(entries, *names)
    assert [one[0] for one in got] == [*["read"] * 5, "delete", "write", "delete"]
    assert [one[1] for one in got] == [*["success"] * 2, "failure", *["success"] * 5]
    assert [one[2] for one in got] == [*[None] * 5, 1, 1, 1]
    assert [one[3] for one in got] == [*[[]] * 3, ["external"], *[[]] * 4]
    payloads = [one["protoPayload"] for one in entries]
    assert [one[4] for one in got] == [one["authenticationInfo"]["principalEmail"] for one in payloads]
    key = re.compile(r"projects/([^/]+)/locations/([^/]+)/keyRings/([^/]+)/cryptoKeys/([^/]+)")
    parts = [key.match(one["resourceName"]).groups() for one in payloads]  # type: ignore[union-attr]
    assert [one[5] for one in got] == ["/".join(("cloudkms", *part[1:])) for part in parts]
    assert [one[6] for one in got] == [part[0] for part in parts]
    assert _columns(entries[2:3], "error")[0][0].startswith("FAILED_PRECONDITION: ")
