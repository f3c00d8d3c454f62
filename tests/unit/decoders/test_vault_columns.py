"""What an entry's columns say: phase, outcome, hashes, options, headers."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from pipeline.decoders.vault import Config, create
from tests.decoding import batch_of, rows

DECODER = create(Config(canary_header="X-Canary"))
HASH = "hmac-sha256:" + "0" * 64


def event(**parts: Any) -> dict[str, Any]:
    """The columns of one entry, made from a usual one by `request`, `response`, `auth` and top-level fields."""
    body: dict[str, Any] = {"time": "2026-03-01T08:00:00Z", "type": "request"}
    request = {"id": "i", "operation": "read", "mount_point": "kv/", "mount_type": "kv", "path": "kv/data/a"}
    body["request"] = {**request, **parts.pop("request", {})}
    body.update(parts)
    decoded = DECODER.decode(batch_of(json.dumps(body).encode()))
    assert decoded.rejected.is_empty()
    return rows(decoded.events)[0]


@pytest.mark.parametrize(
    ("kind", "phase"),
    [
        ("request", "request"),
        ("response", "response"),
        ("kmip-request", "request"),
        ("kmip-response", "response"),
        ("note", "single"),
    ],
)
def test_phase_comes_from_the_type(kind: str, phase: str) -> None:
    """Engines' own types pair by their ending; one without is an entry by itself."""
    assert event(type=kind)["phase"] == phase


def test_missing_type_is_told_by_the_parts() -> None:
    """An entry whose type was excluded is a response when it has one."""
    assert event(type=None)["phase"] == "request"
    assert event(type=None, response={"data": {"a": HASH}})["phase"] == "response"


OUTCOMES: dict[str, tuple[dict[str, Any], str]] = {
    "allowed, answered": ({"type": "response", "response": {"data": {"data": {"a": HASH}}}}, "success"),
    "policy said no": ({"auth": {"policy_results": {"allowed": False}}}, "denied"),
    "no policy_results": ({"auth": {"token_type": "service"}}, "success"),
    "denied by text": ({"type": "response", "error": "1 error occurred:\n\t* permission denied\n\n"}, "denied"),
    "no token": ({"error": "missing client token"}, "denied"),
    "used wrapping token": ({"error": "wrapping token is not valid or does not exist"}, "denied"),
    "no such path": ({"type": "response", "error": "1 error occurred:\n\t* unsupported path\n\n"}, "not_found"),
    "no mount": ({"error": "no handler for route \"x\""}, "not_found"),
    "empty read": ({"type": "response", "response": {"mount_type": "kv"}}, "not_found"),
    "no response part": ({"type": "response"}, "not_found"),
    "wrapped read": ({"type": "response", "response": {"wrap_info": {"ttl": 9, "token": HASH}}}, "success"),
    "empty write": ({"type": "response", "request": {"operation": "update"}, "response": {}}, "success"),
    "deleted version": (
        {"type": "response", "response": {"data": {"http_raw_body": HASH, "http_status_code": 404}}}, "not_found",
    ),
    "deleted version, in clear": (
        {"type": "response", "response": {"data": {
            "http_content_type": "application/json", "http_raw_body": '{"data":{"data":null},"x":"\\\\"}',
            "http_status_code": 404,
        }}}, "not_found",
    ),
    "a secret's own field is no status": (
        {"type": "response", "response": {"data": {"data": {"http_status_code": 404}, "metadata": {}}}}, "success",
    ),
    "internal error": ({"type": "response", "error": "internal error"}, "failure"),
    "bad request": ({"type": "response", "error": "1 error occurred:\n\t* invalid request\n\n"}, "failure"),
    "hashed error alone": (
        {"type": "response", "request": {"mount_type": "pki"}, "response": {"data": {"error": HASH}}}, "failure",
    ),
    "error alone, in clear": (
        {"type": "response", "request": {"mount_type": "pki"}, "response": {"data": {"error": 'unknown role "web"'}}},
        "failure",
    ),
    "a KV field named error": ({"type": "response", "response": {"data": {"error": HASH}}}, "success"),
    "failed log-in": (
        {"type": "response", "request": {"path": "auth/ldap/login/a", "mount_type": "ldap", "operation": "update"},
         "error": "ldap operation failed: failed to bind as user"}, "denied",
    ),
    "log-in while the directory is down": (
        {"type": "response", "request": {"path": "auth/ldap/login/a", "mount_type": "ldap", "operation": "update"},
         "error": "ldap operation failed: connection refused"}, "failure",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTCOMES)
def test_outcome(name: str) -> None:
    """An entry's outcome is what the contract says of its error, its policy result and its answer."""
    parts, outcome = OUTCOMES[name]
    assert event(**parts)["outcome"] == outcome


@pytest.mark.parametrize("done", [True, False])
def test_last_share_of_a_root_token(*, done: bool) -> None:
    """The answer to a key share tells whether it was the last."""
    asked = {"operation": "update", "path": "sys/generate-root/update", "mount_type": "system"}
    answer = {"data": {"complete": done, "encoded_token": HASH, "progress": 3, "required": 3}}
    assert event(type="response", request=asked, response=answer)["flags"] == (["complete"] if done else [])


def test_wrapping_token_is_a_token_issued() -> None:
    """The accessor of a wrapping token ties its making to its opening."""
    wrap = {"wrap_info": {"ttl": 120, "token": HASH, "accessor": HASH}}
    assert event(type="response", response=wrap)["login_session"] == HASH


def test_a_revocation_by_accessor_tells_whose_token_it_ends() -> None:
    """As the device hashed it; in clear, or for any other path, nothing is told."""
    by_accessor = {"path": "auth/token/revoke-accessor", "operation": "update", "data": {"accessor": HASH}}
    assert event(request=by_accessor)["login_session"] == HASH
    assert event(request={**by_accessor, "data": {"accessor": "8609694a"}})["login_session"] is None
    assert event(request={**by_accessor, "path": "auth/token/lookup-accessor"})["login_session"] is None


def test_value_is_disclosed_only_by_an_answer_that_holds_it() -> None:
    """Requests, wrapped answers, refusals and lists disclose nothing; a read that answered does."""
    data = {"data": {"data": {"a": HASH}, "metadata": {"version": 7}}}
    read = event(type="response", response=data)
    assert (read["discloses_value"], read["secret_version"]) == (True, 7)
    assert not event()["discloses_value"]
    assert not event(type="response", response={"wrap_info": {"ttl": 3}})["discloses_value"]
    assert not event(type="response", response=data, error="permission denied")["discloses_value"]
    assert not event(type="response", response=data, request={"operation": "list", "path": "kv/metadata/"})[
        "discloses_value"
    ]


def test_kv1_secret_has_no_version() -> None:
    """A field named version in a KV 1 secret is the user's own."""
    assert (
        event(type="response", request={"path": "kv/app"}, response={"data": {"version": 7}})["secret_version"] is None
    )


FLAGS = {
    "exportable": ({"exportable": True}, "transit", ["exportable"]),
    "backup": ({"allow_plaintext_backup": True}, "transit", ["allow_plaintext_backup"]),
    "deletable": ({"deletion_allowed": True}, "transit", ["deletion_allowed"]),
    "said no": ({"exportable": False}, "transit", []),
    "not renewable": ({"renewable": False, "no_parent": True}, "token", ["no_parent", "renewable=false"]),
    "periodic": ({"period": HASH}, "token", ["period"]),
    "not periodic": ({"period": 0}, "token", []),
    "raw device": ({"options": {"log_raw": True}}, "system", ["log_raw"]),
    "clear accessors": ({"options": {"hmac_accessor": False}}, "system", ["hmac_accessor=false"]),
    "hashed options": ({"options": {"log_raw": HASH}}, "system", ["log_raw=?"]),
    "unhashed keys": ({"audit_non_hmac_response_keys": [HASH]}, "system", ["audit_non_hmac"]),
    "an unhashed key": ({"audit_non_hmac_request_keys": HASH}, "system", ["audit_non_hmac"]),
    "no unhashed keys": ({"audit_non_hmac_request_keys": [], "audit_non_hmac_response_keys": ""}, "system", []),
    "a bound taken away": ({"bound_claims": {}, "bound_audiences": [HASH]}, "jwt", ["bound=none"]),
    "networks no more bound": ({"token_bound_cidrs": []}, "approle", ["bound=none"]),
    "bounds set": ({"bound_claims": {"project": HASH}, "token_bound_cidrs": [HASH]}, "jwt", []),
    "a secret's own field": ({"data": {"exportable": True}}, "kv", []),
    "policies": ({"policies": [HASH], "type": HASH}, "identity", ["policies"]),
    "a token's policies": ({"policies": [HASH]}, "token", []),
    "no policies": ({"policies": [], "type": HASH}, "identity", []),
}  # fmt: skip


@pytest.mark.parametrize("name", FLAGS)
def test_flags(name: str) -> None:
    """Options that rules ask for are named; what users keep in their secrets is not looked at."""
    data, engine, flags = FLAGS[name]
    got = event(
        request={"operation": "update", "mount_type": engine, "data": data, "path": "p/x", "mount_point": "p/"}
    )["flags"]
    assert sorted(got) == flags


@pytest.mark.parametrize(
    ("path", "flags"),
    [
        ("kv/config", ["cas_required=false", "max_versions=1"]),
        ("kv/metadata/app/db", ["cas_required=false", "max_versions=1"]),
        ("kv/app/config", []),
    ],
)
def test_flags_of_kv_settings(path: str, flags: list[str]) -> None:
    """Of a KV mount's and a secret's settings, options are named; of a secret that is called like them, none are."""
    data = {"cas_required": False, "max_versions": 1}
    got = event(request={"operation": "update", "mount_type": "kv", "data": data, "path": path, "mount_point": "kv/"})
    assert sorted(got["flags"]) == flags


@pytest.mark.parametrize(
    ("operation", "path", "engine", "data", "flags"),
    [
        ("read", "kv/data/app/db", "kv", {"version": HASH}, ["version"]),
        ("read", "kv/data/app/db", "kv", {"version": 3}, ["version"]),
        ("read", "kv/data/app/db", "kv", {"list": HASH}, []),
        ("update", "kv/data/app/db", "kv", {"version": HASH}, []),
        ("read", "db/creds/app", "database", {"version": HASH}, []),
        ("update", "kv/metadata/app/db", "kv", {"delete_version_after": HASH}, ["delete_version_after"]),
        ("update", "kv/metadata/app/db", "kv", {"delete_version_after": 0}, []),
        ("update", "kv/data/app/db", "kv", {"data": {"delete_version_after": HASH}}, []),
    ],
)
def test_versions_asked_for_or_to_expire(
    operation: str, path: str, engine: str, data: dict[str, Any], flags: list[str]
) -> None:
    """A read of KV 2 that names a version, and settings by which versions vanish; never a secret's own fields."""
    request = {"operation": operation, "mount_type": engine, "data": data, "path": path, "mount_point": "kv/"}
    assert event(request=request)["flags"] == flags


def test_many_versions_are_no_flag() -> None:
    """A limit above one is not named."""
    data = {"max_versions": 10, "cas_required": True}
    got = event(
        request={"operation": "update", "mount_type": "kv", "data": data, "path": "kv/config", "mount_point": "kv/"}
    )
    assert got["flags"] == []


def test_orphan_by_path() -> None:
    """A token made by create-orphan has no parent, whatever its options."""
    made = event(request={"operation": "update", "path": "auth/token/create-orphan", "mount_type": "token"})
    assert made["flags"] == ["no_parent"]


def test_headers() -> None:
    """The user agent and the configured canary header are read, escapes and all."""
    got = event(request={"headers": {"user-agent": ['curl/8 "x" \\'], "x-canary": ["5.abc"]}})
    assert (got["user_agent"], got["canary"], got["clear"]) == ('curl/8 "x" \\', "5.abc", False)


def test_clear_tokens_become_digests() -> None:
    """A raw device's accessor and token are kept as SHA-256, so that they still compare, and the entry is marked."""
    got = event(request={"client_token": "hvs.abc", "client_token_accessor": "acc"})
    assert got["session"] == "sha256:" + hashlib.sha256(b"acc").hexdigest()
    assert got["token_hash"] == "sha256:" + hashlib.sha256(b"hvs.abc").hexdigest()
    assert got["clear"]


@pytest.mark.parametrize(("text", "clear"), [("", False), ("2026-10-12T04:14:39.1Z", False), (" ", True), ("x", True)])
def test_an_empty_text_or_a_time_is_no_value_in_clear(text: str, clear: bool) -> None:
    """A version that was not deleted may have an empty time of deletion, hashed or not."""
    told = {"data": {"data": {"a": HASH}, "metadata": {"deletion_time": text, "version": 3}}}
    assert event(type="response", request={"path": "kv/data/a", "operation": "read"}, response=told)["clear"] is clear


@pytest.mark.parametrize(
    ("engine", "name", "clear"),
    [("kubernetes", "role", False), ("oidc", "role", False), ("kubernetes", "jwt", True), ("kv", "role", True)],
)
def test_the_role_of_a_log_in_may_stand_in_clear(engine: str, name: str, clear: bool) -> None:
    """Mounts are tuned to show it; nothing else of the log-in, and no secret that happens to be called so."""
    asked = {"path": f"auth/{engine}/login", "operation": "update", "mount_type": engine, "data": {name: "shop"}}
    assert event(request=asked)["clear"] is clear


def test_renewal_makes_no_new_identity() -> None:
    """The answer to a renewal shows the asking token again; nobody logged in."""
    auth = {"display_name": "approle", "accessor": HASH, "token_ttl": 60}
    renewed = event(
        type="response", request={"path": "auth/token/renew-self", "operation": "update"}, response={"auth": auth}
    )
    made = event(type="response", request={"path": "auth/token/create", "operation": "update"}, response={"auth": auth})
    assert (renewed["login_display_name"], renewed["login_session"], renewed["token_ttl"]) == (None, None, 60)
    assert (made["login_display_name"], made["login_session"]) == ("approle", HASH)


def test_probe() -> None:
    """The line a device starts with is a probe; a request about a device called test is not."""
    assert event(request={"path": "sys/audit/test", "operation": "update"})["probe"]
    assert not event(request={"path": "sys/audit/test", "operation": "update", "client_token": HASH})["probe"]


def test_forwarded() -> None:
    """Both halves of a forwarded request say so, each in its own way."""
    assert event(forwarded_from="10.0.0.9:8200")["forwarded"]
    assert event(type="response", forwarded=True)["forwarded"]
    assert not event()["forwarded"]


def test_times_keep_their_moment() -> None:
    """Nanoseconds are cut, offsets are turned into UTC."""
    at = 1_772_352_000_000_000
    assert event(time="2026-03-01T08:00:00.000001999Z")["time"] == at + 1
    assert event(time="2026-03-01T16:00:00+08:00")["time"] == at


NAMED = [
    # engine, path, data, fields that are named
    ("pki", "pki/issue/web", {"common_name": HASH, "ttl": HASH}, ["common_name"]),
    ("pki", "pki/issue/web", {"alt_names": HASH, "common_name": HASH}, ["alt_names", "common_name"]),
    ("pki", "pki/sign-verbatim/web", {"csr": HASH}, ["none"]),
    ("pki", "pki/issuer/default/issue/web", {"common_name": "web.example.com"}, ["common_name"]),
    ("pki", "pki/roles/web", {"common_name": HASH}, None),
    ("ssh", "ssh/sign/ops", {"public_key": HASH, "valid_principals": HASH}, ["valid_principals"]),
    ("ssh", "ssh/sign/ops", {"valid_principals": [HASH, HASH]}, ["valid_principals"]),
    ("ssh", "ssh/creds/otp", {"ip": HASH, "username": HASH}, ["ip", "username"]),
    ("kubernetes", "auth/kubernetes/login", {"jwt": HASH, "role": HASH}, ["role"]),
    ("approle", "auth/approle/login", {"role_id": HASH, "secret_id": HASH}, ["role_id"]),
    ("userpass", "auth/userpass/login/u", {"password": HASH}, []),
    ("kubernetes", "auth/kubernetes/login", {"jwt": HASH, "role": "in-clear"}, []),
    ("approle", "auth/approle/login", {"x": [{"role_id": HASH}, {"role_id": HASH}]}, ["role_id"]),
    ("approle", "auth/approle/login", None, []),
    ("kv", "kv/data/a", {"data": {"common_name": HASH}}, None),
]


@pytest.mark.parametrize(("engine", "path", "data", "fields"), NAMED)
def test_names_that_are_asked_for(engine: str, path: str, data: dict[str, Any], fields: list[str] | None) -> None:
    """Of certificates, one-time passwords and log-ins, one a field; a certificate without a name is for nobody."""
    got = event(request={"operation": "update", "path": path, "mount_type": engine, "mount_point": None, "data": data})
    assert (got["asked_for"] and [name.partition(":")[0] for name in got["asked_for"]]) == fields


def test_a_password_that_was_refused_compares() -> None:
    """A log-in that was refused tells a digest of the hashed password; one in clear, or that let in, tells none."""

    def of(password: str, **answer: Any) -> list[str]:
        asked = {"operation": "update", "path": "auth/ldap/login/u", "mount_type": "ldap"}
        request = {**asked, "data": {"password": password}}
        fields: list[str] = event(type="response", request=request, **answer)["asked_for"]
        return fields

    refused = {"error": "ldap operation failed: failed to bind as user"}
    assert of(HASH, **refused) == of(HASH, **refused) != of(HASH[:-1] + "1", **refused)
    assert of(HASH, **refused)[0].startswith("password:")
    assert of("in-clear", **refused) == []
    assert of(HASH, auth={"client_token": HASH, "accessor": HASH}) == []


def test_an_unwrapping_names_its_token() -> None:
    """The wrapping token is the one in the data, else the one that asks: both have the same digest."""

    def of(token: str, data: dict[str, str] | None) -> list[str]:
        asked = {"operation": "update", "path": "sys/wrapping/unwrap", "client_token": token, "data": data}
        fields: list[str] = event(request={**asked, "mount_type": "system"})["asked_for"]
        return fields

    other = HASH[:-1] + "1"
    assert of(HASH, None) == of(other, {"token": HASH}) != of(other, None)
    assert of(HASH, None)[0].startswith("token:")


def test_a_name_compares_and_does_not_show() -> None:
    """Equal names have equal digests, others others; one in clear is not kept."""

    def of(name: str) -> str:
        request = {"operation": "update", "path": "pki/issue/a", "mount_type": "pki", "data": {"common_name": name}}
        return str(event(request={**request, "mount_point": "pki/"})["asked_for"])

    assert of(HASH) == of(HASH) != of(HASH[:-1] + "1")
    assert "example" not in of("web.example.com")


BATCHES: list[tuple[str, dict[str, Any], int | None]] = [
    ("transit", {"batch_input": [{"ciphertext": HASH, "reference": HASH}] * 3}, 3),
    ("transit", {"batch_input": [{"input": HASH}] * 200, "hash_algorithm": HASH}, 200),
    ("transit", {"batch_input": []}, 0),
    ("transit", {"a": {"batch_input": []}, "batch_input": [{"ciphertext": HASH}] * 4, "zz": {"b": {}}}, 4),
    ("transit", {"a": {"batch_input": [{"ciphertext": HASH}]}}, None),
    ("transit", {"ciphertext": HASH}, None),
    ("kv", {"data": {"batch_input": [{"a": HASH}]}}, None),
]


@pytest.mark.parametrize(("engine", "data", "items"), BATCHES)
def test_values_of_one_request(engine: str, data: dict[str, Any], items: int | None) -> None:
    """A batch's values are counted, also of one that the exact parser reads; a secret's own field is none."""
    request = {"operation": "update", "path": f"{engine}/decrypt/a", "mount_type": engine, "mount_point": f"{engine}/"}
    assert event(request={**request, "data": data})["items"] == items
