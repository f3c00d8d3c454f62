"""The time-to-revoke clock: what stops it, what does not, and what starts it again."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from pipeline.core import effects, revoked
from pipeline.inquiry import clock
from pipeline.inquiry.period import length

START = dt.datetime(2026, 3, 2, 8, tzinfo=dt.UTC)
SINCE = (START, "--since")


def moment(minute: float) -> dt.datetime:
    """Minutes after the compromise."""
    return START + dt.timedelta(minutes=minute)


def one(
    minute: float, operation: str, path: str = "kv/data/db", version: int | None = None, **more: Any
) -> dict[str, Any]:
    """An operation on a secret."""
    return {
        "time": moment(minute), "operation": operation, "api_operation": "update", "path": path, "mount": "kv/",
        "mount_type": "kv", "store": "vault", "secret": "kv/db", "secret_version": version, "principal": "userpass/a",
        "client_ip": "10.0.0.1", "outcome": "success", "uid": str(minute), "session": "s", **more,
    }  # fmt: skip


def told(reads: list[dict[str, Any]], changes: list[dict[str, Any]], now: float = 100) -> tuple[Any, ...]:
    """State, minutes, and what stopped it."""
    found = revoked.of_secret(reads, changes, SINCE, moment(now))
    return found["state"], found["seconds"] / 60, found["action"]


DELETE = {"api_operation": "delete"}
NEW = one(5, "write", version=2)
AWS = {"store": "aws", "mount": "secretsmanager/", "mount_type": None, "path": "arn"}


@pytest.mark.parametrize(
    ("reads", "changes", "expected"),
    [
        ([], [], ("running", 100, None)),
        ([], [one(-5, "write", version=1)], ("running", 100, None)),
        ([], [one(5, "write", version=2)], ("stopped", 5, "replaced")),
        ([one(3, "read", version=1)], [one(5, "write", version=2)], ("stopped", 5, "replaced")),
        ([one(3, "read", version=1), one(9, "read", version=1)], [NEW], ("stopped", 9, "replaced")),
        ([one(3, "read", version=1), one(9, "read", version=2)], [NEW], ("stopped", 5, "replaced")),
        ([], [one(5, "write", version=2, outcome="denied")], ("running", 100, None)),
        ([], [one(5, "write", "kv/metadata/db")], ("running", 100, None)),
        ([], [one(5, "delete", **DELETE)], ("stopped", 5, "deleted")),
        ([], [one(5, "delete", **DELETE), one(6, "write", "kv/undelete/db")], ("running", 100, None)),
        ([], [one(5, "delete", "kv/metadata/db", **DELETE)], ("stopped", 5, "destroyed")),
        ([one(-9, "read", version=7)], [one(5, "delete", "kv/destroy/db", 3)], ("running", 100, None)),
        ([one(-9, "read", version=7)], [one(5, "delete", "kv/destroy/db", 7)], ("stopped", 5, "destroyed")),
        ([one(9, "read")], [one(5, "delete", "kv/metadata/db", **DELETE)], ("stopped", 9, "destroyed")),
        ([], [one(5, "write", "transit/keys/k/config", mount_type="transit")], ("running", 100, None)),
        ([], [one(5, "rotate", "transit/keys/k/rotate", mount_type="transit")], ("stopped", 5, "replaced")),
        ([], [one(5, "revoke", "sys/leases/revoke-prefix/database/creds/r")], ("stopped", 5, "revoked")),
        ([one(9, "read", **AWS)], [one(5, "write", **AWS, api_operation="PutSecretValue")], ("stopped", 5, "replaced")),
        ([], [one(5, "write", **AWS, api_operation="TagResource")], ("running", 100, None)),
        ([], [one(5, "delete", **AWS, api_operation="DeleteSecret"),
              one(6, "write", **AWS, api_operation="RestoreSecret")], ("running", 100, None)),
    ],
)  # fmt: skip
def test_the_clock_of_a_secret(
    reads: list[dict[str, Any]], changes: list[dict[str, Any]], expected: tuple[Any, ...]
) -> None:
    """It stops with the change that ended the value of then, or the last read of that value after it."""
    assert told(reads, changes) == expected


def test_a_clock_before_its_time_stands_at_nothing() -> None:
    """The record may end before the compromise."""
    assert told([], [], now=-10) == ("running", 0, None)


def act(minute: float, what: str) -> dict[str, Any]:
    """Something done against a principal."""
    return {**one(minute, "revoke"), "what": what, "principal": "userpass/admin"}


OPEN = {"session": "s", "issued": None, "first": moment(-9), "state": "open"}
RENEWED = {"session": "n", "issued": moment(8), "first": moment(8), "state": "open"}
LATER = one(9, "read", session="n")


@pytest.mark.parametrize(
    ("uses", "actions", "live", "expected"),
    [
        ([one(1, "read")], [], [], ("running", 100, 0)),
        ([one(1, "read")], [act(5, "session revoked")], [], ("stopped", 5, 0)),
        ([one(1, "read")], [act(5, "session revoked")], [OPEN], ("running", 100, 0)),
        ([one(1, "read"), one(9, "read")], [act(5, "session revoked")], [], ("running", 100, 1)),
        ([one(1, "read"), LATER], [act(5, "session revoked")], [], ("running", 100, 1)),
        ([one(1, "read"), LATER], [act(5, "password changed")], [RENEWED], ("stopped", 5, 0)),
        ([one(1, "read"), one(9, "read")], [act(5, "password changed")], [], ("running", 100, 1)),
        ([one(1, "read")], [act(5, "settings changed")], [], ("running", 100, 0)),
        ([one(1, "read")], [act(2, "credential deleted"), act(5, "session revoked")], [], ("stopped", 5, 0)),
    ],
)  # fmt: skip
def test_the_clock_of_a_principal(
    uses: list[dict[str, Any]], actions: list[dict[str, Any]], live: list[dict[str, Any]], expected: tuple[Any, ...]
) -> None:
    """Who logs in anew after a changed credential has the new one; a session that goes on has not."""
    found = clock.of_principal(uses, actions, live, SINCE, moment(100))
    assert (found["state"], found["seconds"] / 60, found["successes_after"]) == expected


def test_the_first_refusal_confirms_it() -> None:
    """Also one of somebody unknown from the same address."""
    refused = one(7, "read", outcome="denied", principal="anonymous", session=None)
    found = clock.of_principal([one(1, "read"), refused], [act(5, "session revoked")], [], SINCE, moment(100))
    assert (found["refused_at"], found["refused_by"]) == (moment(7), "anonymous")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3_661, "1 h 1 min"), (86_405, "1 d"), (90_000, "1 d 1 h")],
)
def test_lengths_for_people(seconds: float, text: str) -> None:
    """Two units at most."""
    assert length(seconds) == text


def test_words_of_other_stores() -> None:
    """What is final there, and what only looks like a new value."""
    azure = {"store": "azure", "mount": "secrets/", "path": "https://x", "mount_type": None}
    assert effects.effect(one(0, "delete", **{**azure, "api_operation": "SecretPurge"})) == "destroyed"
    assert effects.effect(one(0, "delete", **{**azure, "api_operation": "SecretDelete"})) == "deleted"
    assert effects.effect(one(0, "write", **{**azure, "api_operation": "SecretSet"})) == "replaced"
    gcp = "google.cloud.secretmanager.v1.SecretManagerService."
    assert effects.effect(one(0, "write", **{**azure, "api_operation": gcp + "EnableSecretVersion"})) == "restored"
    assert effects.effect(one(0, "delete", **{**azure, "api_operation": gcp + "DestroySecretVersion"})) == "destroyed"
    assert effects.effect(one(0, "list")) is None
