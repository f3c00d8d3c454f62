"""The quick and the exact parser of CloudTrail records are one parser in two speeds, on recordings too."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipeline.decoders.cloudtrail as folder
from pipeline.decoders.cloudtrail import Config, create
from tests.decoding import SHARED, Speeds, batch_of

if TYPE_CHECKING:
    import polars as pl


BOTH = Speeds(lambda: create(Config()))
QUICK = BOTH.quick
CASES = sorted((Path(folder.__file__).parent / "cases").glob("*.in"))
ORDINARY = ("secrets", "keys", "parameters", "outcomes", "trail")
LINES = [line for path in CASES for line in path.read_bytes().split(b"\n") if line.startswith(b'{"event')]
WHOLE = [line for line in LINES if not QUICK.decode(batch_of(line)).rejected.height]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_cases_read_alike(path: Path) -> None:
    """Every case gives the same by either parser."""
    BOTH.alike(batch_of(path.read_bytes()))


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_records_stay_on_the_quick_path(name: str) -> None:
    """Doubt is for doubtful lines."""
    batch = batch_of((Path(folder.__file__).parent / "cases" / f"{name}.in").read_bytes())
    assert BOTH.believed(batch) >= 0.99 * len(batch)


_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8),
    st.sampled_from(["", "AWS Internal", "*", "[redacted]", "HIDDEN_X", "ümläut", 'q"uote', "back\\slash", "\x00"]),
    st.just("a\x1fb"),
    st.just([]), st.just({}), st.just(["a", "b"]), st.just({"name": "x", "arn": None}),
    st.just({"type": "t", "keyId": {"secretId": "s"}}), st.just([{"ARN": "arn:aws:kms:r:1:key/k"}]),
)  # fmt: skip
_KEYS = st.sampled_from(
    [
        "eventSource", "eventName", "eventTime", "eventType", "requestParameters", "responseElements", "resources",
        "additionalEventData", "userIdentity", "arn", "type", "principalId", "accountId", "invokedBy", "sessionContext",
        "sessionIssuer", "secretId", "name", "keyId", "value", "password", "readOnly", "errorCode", "version", "detail",
        "x",
    ]
)  # fmt: skip


def _spots(body: Any) -> list[dict[str, Any]]:
    """All objects in an object."""
    if isinstance(body, list):
        return [spot for item in body for spot in _spots(item)]
    return [body, *(spot for item in body.values() for spot in _spots(item))] if isinstance(body, dict) else []


@st.composite
def _changed(draw: st.DrawFn) -> bytes:
    """A line of the cases with members set, shuffled or written another way, or with bytes replaced."""
    body = json.loads(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(0, 3))):
        spot = draw(st.sampled_from(_spots(body)))
        spot[draw(st.one_of(_KEYS, st.sampled_from(sorted(spot) or ["x"])))] = deepcopy(draw(_VALUES))
    text = json.dumps(
        _shuffled(body, random.Random(draw(st.integers(0, 9)))),
        ensure_ascii=draw(st.booleans()),
        separators=draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " :\r")])),
    ).encode()
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(text)))
        part = draw(st.sampled_from([b"", b'"keyId":"x",', b'"arn":null,', b"\\u0061", b'"', b"}", b",", b"NaN"]))
        text = text[:at] + part + text[at + draw(st.integers(0, 3)) :]
    return text


def _shuffled(entry: Any, rng: random.Random) -> Any:
    if not isinstance(entry, dict):
        return entry
    names = list(entry)
    rng.shuffle(names)
    return {name: _shuffled(entry[name], rng) for name in names}


@settings(deadline=None)
@given(lines=st.lists(_changed(), min_size=1, max_size=6))
def test_changed_records_read_alike(lines: list[bytes]) -> None:
    """Whatever stands in a record, written in whatever way, gives the same by either parser."""
    BOTH.alike(batch_of(b"\n".join(lines)))


TWICE = {
    "a second name in the request": b'{"secretId":"decoy",',
    "a second name behind": b'{"a":1,"secretId":"decoy",',
}


@pytest.mark.parametrize("name", TWICE)
def test_a_name_given_twice_is_refused(name: str) -> None:
    """Two readings of one request are no reading."""
    line = next(line for line in LINES if b'"requestParameters":{"secretId"' in line)
    data = line.replace(b'"requestParameters":{', b'"requestParameters":' + TWICE[name])
    assert QUICK.decode(batch_of(data)).rejected["reason"].to_list() == ["duplicate_key"]


def _recorded(name: str) -> Path:
    path = SHARED / "real_logs" / name
    if not path.exists():
        pytest.skip(f"no recordings at {SHARED} (set KEYTRAIL_SHARED)")
    return path


def _unwrapped(name: str) -> bytes:
    """The records of a collection that keeps each as the `event` of a line."""
    events = [json.loads(line)["event"] for line in _recorded(name).read_text().splitlines()]
    return b"\n".join(json.dumps(one).encode() for one in events if isinstance(one, dict) and "eventSource" in one)


def _events(data: bytes) -> pl.DataFrame:
    BOTH.alike(batch_of(data))
    return QUICK.decode(batch_of(data)).events


def test_documented_key_records() -> None:
    """The records that the service documents: all are read at once, and each call has its class."""
    data = _unwrapped("aws-kms-docs/events.jsonl")
    events = _events(data)
    assert BOTH.believed(batch_of(data)) == len(events) == 69
    counted = Counter(events["operation"].to_list())
    assert counted == {"read": 21, "list": 6, "write": 18, "delete": 10, "rotate": 3, "policy": 5, "other": 6}
    assert events.filter(operation="read")["discloses_value"].sum() == 12
    assert events["outcome"].value_counts(sort=True).rows() == [("success", 67), ("failure", 2)]
    acting = {"kms.amazonaws.com", "workmail.eu-west-1.amazonaws.com"}
    assert acting < set(events["auth_display_name"])


def test_documented_secret_records() -> None:
    """A failed rotation names its secret; the two uses of a key by Secrets Manager itself are echoes."""
    events = _events(_unwrapped("aws-secretsmanager-docs/events.jsonl"))
    got = events.select("api_operation", "operation", "outcome", "discloses_value", "secret").rows()
    key = "kms/1234abcd-12ab-34cd-56ef-1234567890ab"
    assert got == [
        ("RotationFailed", "rotate", "failure", False, "secretsmanager/MyDatabaseSecret"),
        ("GenerateDataKey", "other", "success", False, key),
        ("Decrypt", "other", "success", False, key),
    ]
    role = "arn:aws:iam::111122223333:role/Admin"
    assert events["auth_display_name"].to_list() == ["secretsmanager.amazonaws.com", role, role]


def test_attack_recordings() -> None:
    """Twenty secrets read one after another, a trail stopped, a key made for somebody else."""
    read = _events(_recorded("aws-stratus/aws.credential-access.secretsmanager-retrieve-secrets.json").read_bytes())
    assert Counter(read["operation"].to_list()) == {"read": 20, "list": 1}
    numbers = read.filter(operation="read")["secret"].str.extract(r"^secretsmanager/[a-z-]+-(\d+)$")
    assert set(numbers) == {str(place) for place in range(20)}
    assert read["discloses_value"].sum() == 20
    (stop,) = _events(_recorded("aws-stratus/aws.defense-evasion.cloudtrail-stop.json").read_bytes()).to_dicts()
    assert (stop["operation"], stop["api_operation"]) == ("audit_control", "StopLogging")
    (made,) = _events(_recorded("aws-stratus/aws.persistence.iam-backdoor-user.json").read_bytes()).to_dicts()
    assert made["operation"] == "auth"
    assert made["login_display_name"].endswith(f":user/{made['path']}")
    assert made["login_display_name"] != made["auth_display_name"]
    assert made["login_session"].startswith("AKIA")


@pytest.mark.parametrize("packed", [False, True])
def test_a_delivered_file(packed: bool) -> None:
    """A document of 2017, pretty-printed: a call on a role's behalf, and a service taking that role; its token goes."""
    name = "aws-trailscraper/111111111111_CloudTrail_eu-central-1_20171211T1505Z_A6kvhMoVeCsc7v8U.json"
    data = gzip.decompress(_recorded(name + ".gz").read_bytes()) if packed else _recorded(name).read_bytes()
    events = _events(data).select("operation", "auth_display_name", "login_display_name", "login_session", "clear")
    assert events.rows() == [
        ("list", "arn:aws:iam::111111111111:role/someRole", None, None, False),
        ("auth", "config.amazonaws.com", "arn:aws:iam::111111111111:role/someRoleOther", "B" * 21, False),
    ]
    assert all(b"someSessionToken" not in text for text in QUICK.decode(batch_of(data)).replaced.values())


def test_samples_of_a_rule_set() -> None:
    """Trimmed records: seven with a time that is one, five without or in another form."""
    data = _unwrapped("panther-tests/secret-stores.dev.jsonl")
    events = _events(data)
    assert QUICK.decode(batch_of(data)).rejected["reason"].to_list() == ["bad_time"] * 5
    got = events.select("api_operation", "operation", "outcome", "secret").rows()
    assert got == [
        ("Decrypt", "read", "success", ""),
        ("UpdateInstanceInformation", "other", "success", ""),
        ("DisableKey", "delete", "success", "kms/1"),
        ("ScheduleKeyDeletion", "delete", "success", "kms/1"),
        ("Decrypt", "read", "success", "kms/1"),
        ("ScheduleKeyDeletion", "delete", "success", "kms/1"),
        ("DisableKey", "delete", "not_found", "kms/1"),
    ]


def test_documents_that_are_no_json_are_refused() -> None:
    """Examples spoilt by a missing comma, one too many, or an image between: nothing of them is taken for a record."""
    spoilt = sorted(_recorded("aws-kms-docs/malformed").iterdir())
    assert len(spoilt) == 7
    for path in spoilt:
        assert _events(path.read_bytes()).is_empty()
