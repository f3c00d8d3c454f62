"""The recorded server's own clients as oracle: who, what, from where, with which outcome, for all 1,029 requests."""

from __future__ import annotations

import json
import urllib.parse
from typing import Any

import pytest

from pipeline.decoders.vault import Config, create
from pipeline.enrich import create as enricher
from tests.decoding import SHARED, batch_of, rows

LIVE = SHARED / "real_logs" / "openbao-live"
WHO = {
    "alice": "userpass/alice", "bob": "userpass/bob", "root": "root", "prod/ledger": "k8s-prod/prod/ledger",
    "prod/report": "k8s-prod/prod/report", "canary": "token/canary", "invalid": "anonymous", "anonymous": "anonymous",
    "token": "token", "token-breakglass": "token/breakglass", "wrapped": "wrapping",
}  # fmt: skip
GONE = {728, 735}  # sequence numbers: a used wrapping token, a revoked token; nobody is known any more
KV2 = ("data", "metadata", "delete", "undelete", "destroy")


def _events(name: str) -> list[dict[str, Any]]:
    decoded = create(Config()).decode(batch_of((LIVE / name).read_bytes()))
    assert decoded.rejected.is_empty()
    return rows(enricher().resolve(decoded.events))


def _operation(halves: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Request and response as one: a log-in is by whom it made, a refusal of either half is the outcome."""
    request, response = halves["request"], halves.get("response")
    made = dict(request)
    if response is not None:
        made["outcome"] = "denied" if request["outcome"] == "denied" else response["outcome"]
        if "/login" in request["path"] and response["outcome"] == "success":
            made["principal"] = response["login_principal"]
    return made


@pytest.fixture(scope="module")
def operations() -> dict[str, dict[str, Any]]:
    if not LIVE.exists():
        pytest.skip(f"no recordings at {SHARED} (set KEYTRAIL_SHARED)")
    pairs: dict[str, dict[str, dict[str, Any]]] = {}
    for event in [*_events("main.log.1"), *_events("main.log")]:
        if not event["probe"]:
            pairs.setdefault(event["correlation_uid"], {})[event["phase"]] = event
    return {
        uid: _operation(halves) for uid, halves in sorted(pairs.items(), key=lambda pair: pair[1]["request"]["time"])
    }


def _secret(path: str) -> str:
    """The name by the client's own path, worked out apart from the decoder."""
    mount, *rest = path.strip("/").split("/")
    if mount == "kv":
        rest = rest[1:]
    elif mount == "transit":
        rest = rest[1:2]
    elif mount == "pki":
        rest = ["root"] if rest[0] == "root" else rest[1:]
    return "" if mount in {"sys", "auth", "identity"} else "/".join([mount, *rest])


def _outcome(status: int) -> str:
    return "success" if status < 300 else "not_found" if status == 404 else "denied"


def _principal(told: dict[str, Any]) -> str:
    if told["seq"] in GONE:
        return "anonymous"
    return WHO.get(told["who"], f"approle/{told['who']}")


def test_every_request_agrees_with_its_client(operations: dict[str, dict[str, Any]]) -> None:
    """Principal, secret, outcome, address and namespace of each request are what its client knows them to be."""
    left = dict(operations)
    wrong = []
    for line in (LIVE / "truth.jsonl").read_text().splitlines():
        told = json.loads(line)
        path = urllib.parse.unquote(told["path"].partition("?")[0])
        uid = _found(left, told, path)
        got = left.pop(uid)
        want = (_principal(told), _secret(path), _outcome(told["status"]), told["ip"], told["ns"])
        have = tuple(got[name] for name in ("principal", "secret", "outcome", "client_ip", "namespace"))
        if have != want:
            wrong.append((told["seq"], have, want))
    assert wrong == []
    assert {operation["path"] for operation in left.values()} <= {"sys/audit/test"}


def _found(left: dict[str, dict[str, Any]], told: dict[str, Any], path: str) -> str:
    """The request's id: as the client saw it, else the first of its path, address and moment."""
    if told["request_id"] in left and left[told["request_id"]]["path"] == path:
        return str(told["request_id"])
    return next(
        uid
        for uid, got in left.items()
        if (got["path"], got["client_ip"], got["namespace"]) == (path, told["ip"], told["ns"])
        and told["t0"] * 1e6 - 1000 <= got["time"] <= told["t1"] * 1e6 + 1000
    )
