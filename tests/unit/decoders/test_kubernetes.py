"""What a Kubernetes audit event says in columns, and what of it is not kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import enrich
from pipeline.core.schema import OPERATIONS_VOCABULARY
from pipeline.decoders import kubernetes
from pipeline.decoders.kubernetes import Config, create
from pipeline.decoders.kubernetes.entry import clean
from tests.decoding import SHARED, batch_of, rows

CASES = sorted((Path(kubernetes.__file__).parent / "cases").glob("*.in"))
LOGS = ["k8s-audit2rbac/demo.log", "k8s-falco", "k8s-stratus-docs/events.jsonl"]
DECODER = create(Config())
SHOWN = "hunter2"
JWT = "eyJhbGciOiJSUzI1NiJ9AA.eyJpc3MiOiJleGFtcGxlIn0.c2lnbmF0dXJl"


def event(verb: str, resource: str = "", name: str = "", **parts: Any) -> dict[str, Any]:
    """A usual event in namespace `shop`; `resource` may be `group/resource:subresource`. None leaves a part out."""
    kind, _, part = resource.partition(":")
    group, _, kind = kind.rpartition("/")
    ref = {"resource": kind, "namespace": "shop", "name": name, "apiGroup": group, "subresource": part}
    body: dict[str, Any] = {
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "a-1",
        "stage": "ResponseComplete", "requestURI": f"/api/v1/namespaces/shop/{kind}/{name}", "verb": verb,
        "user": {
            "username": "system:serviceaccount:shop:checkout",
            "extra": {"authentication.kubernetes.io/credential-id": ["JTI=1"]},
        },
        "sourceIPs": ["192.0.2.10"], "userAgent": "checkout/2.1",
        "objectRef": {key: value for key, value in ref.items() if value} if kind else None,
        "responseStatus": {"metadata": {}, "code": 200},
        "requestReceivedTimestamp": "2026-03-01T08:00:00.000250Z", "stageTimestamp": "2026-03-01T08:00:00.004000Z",
        "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
    }  # fmt: skip
    body.update(parts)
    return {key: value for key, value in body.items() if value is not None}


def told(line: str) -> dict[str, Any] | str:
    """The columns of a line, or the reason why there are none."""
    decoded = DECODER.decode(batch_of(line.encode()))
    if len(decoded.rejected):
        return str(decoded.rejected["reason"][0])
    return rows(decoded.events)[0]


def columns(verb: str, resource: str = "", name: str = "", **parts: Any) -> dict[str, Any]:
    """The columns of one event."""
    row = told(json.dumps(event(verb, resource, name, **parts)))
    assert isinstance(row, dict)
    return row


RBAC = "rbac.authorization.k8s.io"
# verb, resource, name -> operation, secret
TABLE = f"""
get secrets db -> read secrets/db
list secrets - -> list -
watch secrets - -> list -
list secrets db -> read secrets/db
watch secrets db -> read secrets/db
create secrets db -> write secrets/db
update secrets db -> write secrets/db
patch secrets db -> write secrets/db
delete secrets db -> delete secrets/db
deletecollection secrets - -> delete -
get vault.example.com/secrets db -> other -
create serviceaccounts:token deployer -> auth -
create authentication.k8s.io/tokenreviews - -> auth -
create certificates.k8s.io/certificatesigningrequests ana -> auth -
update certificates.k8s.io/certificatesigningrequests:approval ana -> auth -
get certificates.k8s.io/certificatesigningrequests ana -> list -
create {RBAC}/roles r -> policy -
update {RBAC}/clusterroles r -> policy -
patch {RBAC}/rolebindings r -> policy -
delete {RBAC}/clusterrolebindings r -> policy -
deletecollection {RBAC}/rolebindings - -> policy -
get {RBAC}/clusterroles r -> list -
list {RBAC}/rolebindings - -> list -
create serviceaccounts deployer -> policy -
get serviceaccounts deployer -> list -
patch admissionregistration.k8s.io/mutatingwebhookconfigurations w -> policy -
create auditregistration.k8s.io/auditsinks s -> audit_control -
delete auditregistration.k8s.io/auditsinks s -> audit_control -
create authorization.k8s.io/selfsubjectaccessreviews - -> list -
create pods:exec p -> other -
create pods:portforward p -> other -
get pods p -> other -
list pods - -> other -
update configmaps c -> other -
delete namespaces n -> other -
impersonate users ana -> other -
"""


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_verbs_and_resources_have_an_operation(line: str) -> None:
    """What a request does to secrets is told by its resource and its verb."""
    (verb, resource, name), (operation, secret) = (part.split() for part in line.split(" -> "))
    row = columns(verb, resource, name.replace("-", ""))
    assert operation in OPERATIONS_VOCABULARY
    assert (row["operation"], row["secret"], row["api_operation"]) == (operation, secret.replace("-", ""), verb)
    kind = resource.partition(":")[0].rpartition("/")[2]
    assert (row["mount"], row["mount_type"], row["namespace"]) == (kind + "/", kind, "shop")


VALUE_GIVEN = {
    "get": (event("get", "secrets", "db"), True),
    "list": (event("list", "secrets"), True),
    "watch": (event("watch", "secrets"), True),
    "a watch that began": (event("watch", "secrets", stage="ResponseStarted"), False),
    "refused": (event("get", "secrets", "db", responseStatus={"code": 403}), False),
    "write": (event("update", "secrets", "db"), False),
    "a token": (event("create", "serviceaccounts:token", "deployer"), False),
    "config": (event("get", "configmaps", "c"), False),
    "a table": (event("list", "secrets", responseObject={"kind": "Table", "rows": []}), False),
    "names alone": (event("get", "secrets", "db", responseObject={"kind": "PartialObjectMetadata"}), False),
    "secrets": (event("list", "secrets", responseObject={"kind": "SecretList", "items": []}), True),
}


@pytest.mark.parametrize("name", VALUE_GIVEN)
def test_a_value_is_given_by_reads_lists_and_watches(name: str) -> None:
    """They return whole secrets when they succeed, unless the answer is seen to hold names alone."""
    body, given = VALUE_GIVEN[name]
    row = told(json.dumps(body))
    assert isinstance(row, dict)
    assert row["discloses_value"] is given


OUTCOMES: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "allowed": ({}, "success", None),
    "switched protocols": ({"responseStatus": {"code": 101}}, "success", None),
    "forbidden": ({"responseStatus": {"code": 403, "reason": "Forbidden", "message": "no"}}, "denied", "Forbidden: no"),
    "forbidden by note alone": (
        {"responseStatus": None, "annotations": {"authorization.k8s.io/decision": "forbid"}}, "denied", None,
    ),
    "not logged in": ({"responseStatus": {"code": 401}}, "denied", "401"),
    "not found": ({"responseStatus": {"code": 404, "reason": "NotFound"}}, "not_found", "NotFound"),
    "conflict": ({"responseStatus": {"code": 409, "reason": "Conflict"}}, "failure", "Conflict"),
    "gone": ({"responseStatus": {"code": 410, "reason": "Expired"}}, "failure", "Expired"),
    "throttled": ({"responseStatus": {"code": 429}}, "failure", "429"),
    "broken": ({"responseStatus": {"code": 503}}, "failure", "503"),
    "panic": ({"responseStatus": None, "stage": "Panic"}, "failure", None),
    "no code": ({"responseStatus": {"status": "Failure", "reason": "NotFound"}}, "not_found", "NotFound"),
    "no code, no reason": ({"responseStatus": {"status": "Failure"}}, "failure", None),
    "received": ({"responseStatus": None, "stage": "RequestReceived", "annotations": None}, "success", None),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTCOMES)
def test_outcome_comes_from_code_and_decision(name: str) -> None:
    """By the code where there is one; a refusal may stand in the authorizer's note alone."""
    parts, outcome, error = OUTCOMES[name]
    row = columns("get", "secrets", "db", **parts)
    assert (row["outcome"], row["error"]) == (outcome, error)


PHASES = {"RequestReceived": "request", "ResponseStarted": "request", "ResponseComplete": "single", "Panic": "single"}


@pytest.mark.parametrize("stage", PHASES)
def test_phase_comes_from_the_stage(stage: str) -> None:
    """One request may have several events; the last stands for itself where it is alone."""
    assert columns("get", "secrets", "db", stage=stage)["phase"] == PHASES[stage]


PEOPLE: dict[str, tuple[dict[str, Any], str, str]] = {
    "a pod": ({"username": "system:serviceaccount:shop:checkout"}, "system:serviceaccount:shop:checkout", "pod"),
    "a node": ({"username": "system:node:node-1"}, "system:node:node-1", "service"),
    "a person": ({"username": "ana@example.com"}, "ana@example.com", "human"),
    "somebody": ({"username": "admin"}, "admin", "unknown"),
    "nobody": ({"username": "system:anonymous", "groups": ["system:unauthenticated"]}, "anonymous", "anonymous"),
    "nobody known": ({}, "anonymous", "anonymous"),
    "a role's session on EKS": (
        {"username": "arn:aws:sts::111122223333:assumed-role/ops/ana"}, "arn:aws:iam::111122223333:role/ops", "service",
    ),
    "a person of Identity Center on EKS": (
        {"username": "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Ops_0a/ana@example.com"},
        "ana@example.com", "human",
    ),
    "who only looks like one": (
        {"username": "oidc:x:assumed-role/AWSReservedSSO_Ops_0a/ana@example.com"},
        "oidc:x:assumed-role/AWSReservedSSO_Ops_0a/ana@example.com", "service",
    ),
    "a user on EKS": (
        {"username": "arn:aws:iam::111122223333:user/ana"}, "arn:aws:iam::111122223333:user/ana", "human",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PEOPLE)
def test_principals(name: str) -> None:
    """Accounts, people and nobody are named the same whatever their token, pod or session."""
    user, principal, kind = PEOPLE[name]
    decoded = DECODER.decode(batch_of(json.dumps(event("get", "secrets", "db", user=user)).encode()))
    row = enrich.create().resolve(decoded.events).row(0, named=True)
    assert (row["principal"], row["principal_type"]) == (principal, kind)


def test_who_acts_in_anothers_name_stays_the_actor() -> None:
    """The mask is told in the flags."""
    mask = {"username": "system:admin", "uid": "7", "groups": ["system:masters"], "extra": {"scopes": ["x"]}}
    row = columns("get", "secrets", "db", user={"username": "bob"}, impersonatedUser=mask)
    assert (row["auth_display_name"], row["flags"]) == ("bob", ["as=system:admin", "impersonated"])


def test_revisions_of_a_release_are_versions_of_one_secret() -> None:
    """Helm numbers the secrets it keeps releases in; a name that only looks like one is left alone."""
    row = columns("get", "secrets", "sh.helm.release.v1.shop-api.v12")
    assert (row["secret"], row["secret_version"]) == ("secrets/sh.helm.release.v1.shop-api", 12)
    row = columns("get", "secrets", "api.v12")
    assert (row["secret"], row["secret_version"]) == ("secrets/api.v12", None)


@pytest.mark.parametrize(("role", "flags"), [("cluster-admin", ["cluster_admin"]), ("view", [])])
def test_who_is_made_master_of_the_cluster_is_a_flag(role: str, flags: list[str]) -> None:
    """By the role that the binding refers to."""
    asked = {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}}
    assert columns("create", "clusterrolebindings", "mine", requestObject=asked)["flags"] == flags


def test_a_token_made_for_an_account_names_it() -> None:
    """Asked for by one, made for another; refused, it made nothing."""
    notes = {"authentication.kubernetes.io/issued-credential-id": "JTI=2"}
    decoded = DECODER.decode(
        batch_of(json.dumps(event("create", "serviceaccounts:token", "deployer", annotations=notes)).encode())
    )
    row = enrich.create().resolve(decoded.events).row(0, named=True)
    assert row["login_principal"] == "system:serviceaccount:shop:deployer"
    assert (row["session"], row["login_session"]) == ("JTI=1", "JTI=2")
    refused = columns("create", "serviceaccounts:token", "deployer", responseStatus={"code": 403})
    assert refused["login_sa_name"] is None
    assert refused["login_display_name"] is None


def test_time_is_the_stage_and_latency_what_lies_before_it() -> None:
    """A watch is open for as long as its client likes: that is no latency."""
    assert columns("get", "secrets", "db")["latency_ms"] == 3.75
    assert columns("watch", "secrets")["latency_ms"] is None
    assert columns("get", "pods:log", "p")["latency_ms"] is None
    assert columns("get", "secrets", "db", stage="RequestReceived")["latency_ms"] is None
    late = columns("get", "secrets", "db", stageTimestamp=None, timestamp="2026-03-01T07:00:00Z")
    assert (late["time"], late["latency_ms"]) == (1772352000000250, None)
    assert told(json.dumps(event("get", "secrets", "db", stageTimestamp=None, requestReceivedTimestamp=None))) == (
        "bad_time"
    )


@pytest.mark.parametrize(
    ("first", "kept"),
    [("192.0.2.1", True), ("2001:db8::1", True), ("::ffff:192.0.2.1", True), ("unix", False), ("", False)],
)
def test_only_an_address_is_a_clients(first: str, kept: bool) -> None:
    """The first of sourceIPs, if it is one."""
    row = columns("get", "secrets", "db", sourceIPs=[first, "198.51.100.1"])
    assert row["client_ip"] == (first if kept else None)


SECRET = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "db"}, "stringData": {"password": SHOWN}}
BARE = {"metadata": {"name": "db"}, "data": {"password": SHOWN}, "type": "Opaque"}
APPLIED = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(SECRET, indent=1)}
UNREADABLE = {"kubectl.kubernetes.io/last-applied-configuration": '{"kind":"Secret","data":{"a":"hunter2"'}
HIDDEN: dict[str, dict[str, Any]] = {
    "sent": event("create", "secrets", "db", requestObject=SECRET),
    "sent without a kind": event("update", "secrets", "db", requestObject=BARE),
    "answered": event("get", "secrets", "db", responseObject=SECRET),
    "a list": event("list", "secrets", responseObject={"kind": "SecretList", "items": [BARE, BARE]}),
    "a deleted collection": event("deletecollection", "secrets", responseObject={"items": [BARE]}),
    "a list of any kind": event("create", "lists.example.com/lists", "l", requestObject={"items": [SECRET]}),
    "without a reference": event("get", requestURI="/api/v1/namespaces/shop/secrets/db", responseObject=BARE),
    "a merge patch": event("patch", "secrets", "db", requestObject={"data": {"password": SHOWN}}),
    "a JSON patch": event(
        "patch", "secrets", "db", requestObject=[{"op": "replace", "path": "/data/password", "value": SHOWN}]
    ),
    "a JSON patch of all data": event(
        "patch", "secrets", "db", requestObject=[{"op": "add", "path": "/data", "value": {"password": SHOWN}}]
    ),
    "a JSON patch of everything": event(
        "patch", "secrets", "db", requestObject=[{"op": "replace", "path": "", "value": BARE}]
    ),
    "a JSON patch of a note": event(
        "patch", "secrets", "db",
        requestObject=[
            {"op": "add", "path": "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration",
             "value": json.dumps(SECRET)}
        ],
    ),
    "a JSON patch without a path": event("patch", "secrets", "db", requestObject=[{"op": "add", "value": SHOWN}]),
    "data beside a step's names": event("patch", "secrets", "db", requestObject={"op": "x", "path": "/type", **BARE}),
    "last applied": event("patch", "secrets", "db", requestObject={"metadata": {"annotations": APPLIED}}),
    "last applied, cut off": event("patch", "secrets", "db", requestObject={"metadata": {"annotations": UNREADABLE}}),
    "last applied, elsewhere": event("patch", "configmaps", "c", requestObject={"metadata": {"annotations": APPLIED}}),
    "cut off, elsewhere": event("patch", "configmaps", "c", requestObject={"metadata": {"annotations": UNREADABLE}}),
    "an object as text": event("create", "secrets", "db", requestObject=json.dumps(BARE)),
    "a text that is none": event("create", "secrets", "db", requestObject=f"password: {SHOWN}"),
    "names in another case": event("create", "secrets", "db", requestObject={"kind": "Secret", "Data": {"a": SHOWN}}),
    "data that is a text": event("create", "secrets", "db", requestObject={"data": SHOWN}),
    "data in lists": event("create", "secrets", "db", requestObject={"data": {"a": [SHOWN, {"b": SHOWN}]}}),
    "a webhook's patch": event(
        "create", "secrets", "db",
        annotations={"patch.webhook.admission.k8s.io/round_0_index_0": f'{{"patch":[{{"value":"{SHOWN}"}}]}}'},
    ),
    "a token": event(
        "create", "serviceaccounts:token", "a", responseObject={"kind": "TokenRequest", "status": {"token": SHOWN}}
    ),
    "a token to look at": event(
        "create", "authentication.k8s.io/tokenreviews", requestObject={"kind": "TokenReview", "spec": {"token": SHOWN}}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HIDDEN)
def test_values_do_not_stay(name: str) -> None:
    """Wherever a value stands, it is not kept, and the event says that it showed."""
    line = json.dumps(HIDDEN[name], separators=(",", ":")).encode()
    assert SHOWN.encode() in line
    decoded = DECODER.decode(batch_of(line))
    assert decoded.events["clear"].to_list() == [True]
    assert SHOWN.encode() not in decoded.replaced[0]
    assert SHOWN not in str(decoded.events.row(0))
    assert b"[redacted]" in decoded.replaced[0]
    again = json.loads(decoded.replaced[0])
    assert clean(again) == (again, False)


def test_a_bearer_token_does_not_stay_wherever_it_stands() -> None:
    """Not in a command that a pod is told to run, either."""
    uri = f"/api/v1/namespaces/shop/pods/p/exec?command=curl&command=Authorization%3A+Bearer+{JWT}"
    decoded = DECODER.decode(batch_of(json.dumps(event("create", "pods:exec", "p", requestURI=uri)).encode()))
    assert JWT.encode() not in decoded.replaced[0]
    assert decoded.events["path"][0].endswith("Bearer+[redacted]")
    assert decoded.events["clear"].to_list() == [True]


KEPT = {
    "no objects": event("get", "secrets", "db"),
    "no values": event("delete", "secrets", "db", responseObject={"kind": "Status", "status": "Success"}),
    "names of fields": event(
        "update", "secrets", "db",
        requestObject={"metadata": {"managedFields": [{"fieldsV1": {"f:data": {".": {}, "f:password": {}}}}]}},
    ),
    "values taken out before": event("get", "secrets", "db", responseObject={"data": {"a": "", "b": "***", "c": None}}),
    "a field taken away": event("patch", "secrets", "db", requestObject={"data": {"old": None}}),
    "a label": event(
        "patch", "secrets", "db", requestObject=[{"op": "add", "path": "/metadata/labels/app", "value": "shop"}]
    ),
    "config": event("update", "configmaps", "c", requestObject={"kind": "ConfigMap", "data": {"color": "blue"}}),
    "a token asked for": event(
        "create", "serviceaccounts:token", "a",
        requestObject={"kind": "TokenRequest", "spec": {"expirationSeconds": 600}, "status": {"token": ""}},
    ),
    "a pod with secrets": event(
        "create", "pods", "p", requestObject={"spec": {"volumes": [{"secret": {"secretName": "db"}}]}}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_what_shows_no_value_stays_as_it_is(name: str) -> None:
    """The same object, and no word of values."""
    assert clean(KEPT[name]) == (KEPT[name], False)
    assert clean(KEPT[name])[0] is KEPT[name]
    row = told(json.dumps(KEPT[name]))
    assert isinstance(row, dict)
    assert row["clear"] is False


def test_names_of_fields_and_labels_stay_beside_hidden_values() -> None:
    """Which field was written is no secret."""
    body = {"kind": "Secret", "metadata": {"labels": {"app": "shop"}}, "data": {"password": SHOWN, "user": ""}}
    kept, shown = clean(event("create", "secrets", "db", requestObject=body))
    assert shown
    assert kept["requestObject"] == {**body, "data": {"password": "[redacted]", "user": ""}}


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "Event", "apiVersion": "v1", "metadata": {}, "reason": "Pulled"},
        {"kind": "Event", "apiVersion": "events.k8s.io/v1", "auditID": "a", "stage": "x", "verb": "get"},
        {"kind": "Policy", "apiVersion": "audit.k8s.io/v1", "rules": []},
        {"kind": 0},
        {"kind": ["Event"], "auditID": "a", "stage": "x", "verb": "get"},
        {"category": "kube-audit", "properties": {"log": ["x"]}},
        {"category": "kube-audit", "properties": "x"},
    ],
)
def test_other_objects_are_no_events(body: dict[str, Any]) -> None:
    """What a cluster tells of itself elsewhere is not its audit log."""
    assert told(json.dumps(body)) == "unknown_format"


def test_a_torn_line_does_not_show_what_was_in_it() -> None:
    """Nothing of it can be told apart, so nothing is kept."""
    line = json.dumps(HIDDEN["sent"], separators=(",", ":")).encode()
    decoded = DECODER.decode(batch_of(line[: line.index(SHOWN.encode()) + len(SHOWN) + 1]))
    assert decoded.rejected["reason"][0] in {"torn", "malformed"}
    assert SHOWN.encode() not in decoded.replaced[0]


def _recorded(name: str) -> bytes:
    path = SHARED / "real_logs" / name
    if not path.exists():
        pytest.skip(f"no recordings at {SHARED} (set KEYTRAIL_SHARED)")
    return path.read_bytes()


def test_recording_of_2017() -> None:
    """37 requests of an admin in others' names: 13 refused, one of them a list of secrets."""
    decoded = DECODER.decode(batch_of(_recorded("k8s-audit2rbac/demo.log")))
    found = decoded.events.to_dicts()
    assert len(found) == 37
    assert decoded.rejected.is_empty()
    assert {row["auth_display_name"] for row in found} == {"system:admin"}
    assert {flag for row in found for flag in row["flags"]} == {
        "as=alice", "as=bob", "as=system:serviceaccount:ns1:sa1", "impersonated",
    }  # fmt: skip
    assert [row["operation"] for row in found if row["operation"] != "other"] == ["list"]
    assert found[-1]["path"] == "/api/v1/namespaces/ns1/secrets"
    assert found[-1]["outcome"] == "denied"
    assert not found[-1]["discloses_value"]
    assert {row["client_ip"] for row in found} == {"::1"}
    assert {row["latency_ms"] for row in found} == {None}


# file -> operation, secret, mount, namespace, principal
RECORDED = {
    "create_secret": ("write", "secrets/example-secret", "secrets/", "default", "minikube-user", 6.941),
    "create_kube_system_secret": ("write", "secrets/bootstrap-token-ne7bxu", "secrets/", "kube-system", "admin", 2.512),
    "create_service_account_token_secret": (
        "write", "secrets/default-token-7v4pb", "secrets/", "test2", "system:kube-controller-manager", 3.269,
    ),
    "delete_secret": ("delete", "secrets/example-secret", "secrets/", "default", "minikube-user", 4.464),
    "attach_cluster_admin_role": ("policy", "", "clusterrolebindings/", "", "minikube-user", 3.524),
    "create_serviceaccount": ("policy", "", "serviceaccounts/", "default", "minikube-user", 8.651),
    "exec_pod": ("other", "", "pods/", "default", "minikube-user", None),
    "create_configmap": ("other", "", "configmaps/", "default", "minikube-user", 5.772),
    "anonymous_creates_namespace_foo": ("other", "", "namespaces/", "", "anonymous", 5.553),
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_requests(name: str) -> None:
    """Events of real clusters from 2018 to 2020."""
    decoded = DECODER.decode(batch_of(_recorded(f"k8s-falco/{name}.json")))
    row = enrich.create().resolve(decoded.events).row(0, named=True)
    names = ("operation", "secret", "mount", "namespace", "principal", "latency_ms")
    assert tuple(row[name] for name in names) == RECORDED[name]
    assert (row["outcome"], row["clear"]) == ("success", False)


def test_a_quoted_event_without_a_time_is_refused() -> None:
    """A page's excerpt of one has no time."""
    (line,) = _recorded("k8s-stratus-docs/events.jsonl").splitlines()
    assert told(json.dumps(json.loads(line)["event"])) == "bad_time"


def test_a_rules_excerpt_of_an_event_is_none() -> None:
    """It says neither what it is nor when it was."""
    lines = [json.loads(line) for line in _recorded("panther-tests/secret-stores.dev.jsonl").splitlines()]
    found = [line["event"] for line in lines if line["event"].get("kind") == "Event"]
    assert len(found) == 1
    assert told(json.dumps(found[0])) == "unknown_format"
