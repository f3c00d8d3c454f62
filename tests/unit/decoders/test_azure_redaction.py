"""What is taken out of Azure's records, and that what stays is an entry still."""

from __future__ import annotations

import json
from typing import Any

import pytest
from polars.testing import assert_frame_equal

from tests.decoding import batch_of
from tests.unit.decoders.test_azure import EXACT, QUICK, aks, event, record, rows

SHOWN = "correct horse"
SECRET = {"kind": "Secret", "data": {"a": SHOWN}, "stringData": {"a": SHOWN}}
CLEAR = {
    "a Secret written": (event(verb="create", requestObject=SECRET), True),
    "a Secret in a list": (
        event(verb="list", objectRef={"resource": "secrets"}, responseObject={"kind": "SecretList", "items": [SECRET]}),
        True,
    ),
    "a Secret of no kind": (event(responseObject={"items": [{"data": {"a": SHOWN}}]}), True),
    "what was applied": (
        event(responseObject={
            "kind": "Secret", "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": SHOWN}},
        }),
        True,
    ),
    "a patch": (event(verb="patch", requestObject=[{"op": "add", "path": "/data/a", "value": SHOWN}]), True),
    "a token that was made": (
        event(
            verb="create", objectRef={"resource": "serviceaccounts", "subresource": "token", "name": "ci"},
            responseObject={"kind": "TokenRequest", "status": {"token": SHOWN}},
        ),
        True,
    ),
    "a token to look at": (
        event(objectRef={"resource": "tokenreviews"}, requestObject={"kind": "TokenReview", "spec": {"token": SHOWN}}),
        True,
    ),
    "a config map": (
        event(requestURI="/c", objectRef={"resource": "configmaps"}, requestObject={"data": {"a": "plain"}}), False,
    ),
    "a Secret without values": (event(responseObject={"kind": "Secret", "metadata": {"name": "db"}}), False),
}  # fmt: skip


@pytest.mark.parametrize("text", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", CLEAR)
def test_nothing_of_a_secret_is_kept(case: str, *, text: bool) -> None:
    """What a cluster logs of secrets and tokens goes, and the row says that it was there."""
    inner, shown = CLEAR[case]
    for indent in (None, 1):
        line = json.dumps(aks(inner, text=text) if indent is None else aks(inner) | _indented(inner))
        batch = batch_of(line.encode())
        quick, exact = QUICK.decode(batch), EXACT.decode(batch)
        assert_frame_equal(quick.events, exact.events)
        assert quick.events["clear"].to_list() == [shown]
        kept = quick.replaced.get(0, line.encode())
        assert SHOWN.encode() not in kept
        assert (0 in quick.replaced) is shown
        again = QUICK.decode(batch_of(kept))
        assert again.replaced == {}
        assert_frame_equal(again.events.drop("clear"), quick.events.drop("clear"))


def _indented(inner: dict[str, Any]) -> dict[str, Any]:
    return {"properties": {"log": json.dumps(inner, indent=1).replace('":', '"\t :')}}


ACTS = {
    "a secret's value": ({"requestbody": json.dumps({"properties": {"value": SHOWN}})}, True),
    "credentials": ({"responseBody": {"kubeconfigs": [{"name": "a", "value": SHOWN}]}}, True),
    "a body that is no JSON": ({"requestbody": f'{{"value": "{SHOWN}"'}, True),
    "what Azure hid": ({"requestbody": json.dumps({"properties": {"value": "******"}})}, False),
    "no credentials": ({"requestbody": json.dumps({"properties": {"sku": "premium"}})}, False),
    "a value elsewhere": ({"eventName": {"value": "EndRequest"}}, False),
}


@pytest.mark.parametrize("case", ACTS)
def test_bodies_of_requests(case: str) -> None:
    """Of requests to Azure that the Activity Log may hold, credentials go and the rest stays."""
    properties, shown = ACTS[case]
    act = record(
        category="Administrative", operationName="Microsoft.KeyVault/vaults/secrets/write", properties=properties
    )
    batch = batch_of(json.dumps(act).encode())
    decoded = QUICK.decode(batch)
    assert decoded.events["clear"].to_list() == [shown]
    assert (0 in decoded.replaced) is shown
    assert SHOWN.encode() not in decoded.replaced.get(0, b"")
    rows(act)


def test_tokens_in_events_go_whatever_stands_around_them() -> None:
    """A token is taken out of the event, not out of its text, where that would no longer be one."""
    token = "s." + "A" * 24
    for agent in (token, f"\b{token[1:]}", f"\r{token[1:]}", f"a {token} b"):
        line = json.dumps(aks(event(userAgent=agent, annotations={f"x{token}": "1", f"y {token}": "2"})))
        decoded = QUICK.decode(batch_of(line.encode()))
        assert len(decoded.events) == 1
        assert token not in str(decoded.events["user_agent"][0])
        assert f" {token}".encode() not in decoded.replaced[0]
