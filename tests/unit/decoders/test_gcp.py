"""What the columns of a Google Cloud audit entry say: operation, names, identity, outcome, what is taken out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.decoders.gcp import Config, create
from tests.decoding import batch_of, rows

DECODER = create(Config(project_ids={"210987654321": "shop-test"}))
TIME = "2026-03-01T08:00:00.123456789Z"
SECRET = "projects/shop-prod/secrets/db"
KEY = "projects/shop-prod/locations/eu/keyRings/r/cryptoKeys/k"
ACCOUNT = "deploy@shop-prod.iam.gserviceaccount.com"
SM = "google.cloud.secretmanager.v1.SecretManagerService."
LOGGING = "google.logging.v2.ConfigServiceV2."
IAM = "google.iam.admin.v1."


def made(
    method: str = SM + "AccessSecretVersion",
    resource: str | None = SECRET,
    service: str = "secretmanager",
    *,
    top: dict[str, Any] | None = None,
    labels: dict[str, str] | None = None,
    **payload: Any,
) -> dict[str, Any]:
    """A usual entry with other parts in its payload, at its top and among its resource's labels."""
    parts = {
        "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
        "authenticationInfo": {"principalEmail": "alice@example.com"},
        "serviceName": service if "." in service else f"{service}.googleapis.com",
        "methodName": method,
        "resourceName": resource,
        **payload,
    }
    return {
        "protoPayload": {name: value for name, value in parts.items() if value is not None},
        "insertId": "i1",
        "resource": {"type": "audited_resource", "labels": {"project_id": "shop-prod"} if labels is None else labels},
        "timestamp": TIME,
        "logName": "projects/shop-prod/logs/cloudaudit.googleapis.com%2Fdata_access",
        **(top or {}),
    }


def read(entry: dict[str, Any]) -> dict[str, Any]:
    """The columns of one entry."""
    decoded = DECODER.decode(batch_of(json.dumps(entry).encode()))
    assert decoded.rejected.is_empty()
    return rows(decoded.events)[0]


def event(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """The columns of an entry made by `made`."""
    return read(made(*args, **kwargs))


_DISABLE = {"cryptoKeyVersion": {"name": KEY + "/cryptoKeyVersions/1", "state": "DISABLED"}}
_END = {"cryptoKeyVersion": {"state": "DESTROY_SCHEDULED"}}
_ENABLE = {"cryptoKeyVersion": {"state": "ENABLED"}}
OPERATIONS = {
    "secretmanager": {
        "read": ["AccessSecretVersion"],
        "list": ["GetSecret", "GetSecretVersion", "ListSecrets", "ListSecretVersions", "GetIamPolicy"],
        "write": ["CreateSecret", "AddSecretVersion", "UpdateSecret", "EnableSecretVersion"],
        "delete": ["DisableSecretVersion", "DestroySecretVersion", "DeleteSecret"],
        "policy": ["SetIamPolicy"],
    },
    "cloudkms": {
        "read": ["Decrypt", "AsymmetricDecrypt", "AsymmetricSign", "MacSign", "MacVerify", "Encrypt", "RawDecrypt"],
        "list": ["GetCryptoKey", "GetCryptoKeyVersion", "GetPublicKey", "ListKeyRings", "ListCryptoKeys"],
        "write": [
            "CreateKeyRing", "CreateCryptoKey", "CreateCryptoKeyVersion", "ImportCryptoKeyVersion",
            "RestoreCryptoKeyVersion", "UpdateCryptoKey",
        ],
        "delete": ["DestroyCryptoKeyVersion"],
        "rotate": ["UpdateCryptoKeyPrimaryVersion"],
        "policy": ["SetIamPolicy"],
    },
    "iamcredentials": {"auth": ["GenerateAccessToken", "GenerateIdToken", "SignJwt", "SignBlob"]},
    "iam": {
        "auth": [IAM + "CreateServiceAccountKey", IAM + "UploadServiceAccountKey"],
        "revoke": [IAM + "DeleteServiceAccountKey", IAM + "DisableServiceAccountKey"],
        "list": [IAM + "ListServiceAccountKeys", IAM + "GetServiceAccount"],
        "policy": [IAM + word for word in ("SetIAMPolicy", "CreateServiceAccount", "CreateRole", "DeleteRole")],
    },
    "logging": {
        "audit_control": [
            LOGGING + word
            for word in (
                "CreateSink", "UpdateSink", "DeleteSink", "CreateExclusion", "UpdateExclusion", "DeleteExclusion",
                "UpdateBucket", "DeleteBucket", "UpdateBucketAsync", "UpdateSettings", "UpdateCmekSettings",
            )
        ] + ["google.logging.v2.LoggingServiceV2.DeleteLog"],
        "list": [LOGGING + "GetSink", LOGGING + "ListExclusions"],
    },
    "sts": {"auth": ["google.identity.sts.v1.SecurityTokenService.ExchangeToken"]},
    "login": {"auth": ["google.login.LoginService.loginSuccess"]},
    "compute": {
        "write": ["v1.compute.instances.insert"], "delete": ["v1.compute.disks.delete"],
        "list": ["v1.compute.instances.aggregatedList"], "policy": ["beta.compute.disks.setIamPolicy"],
    },
    "storage": {"list": ["storage.objects.get"], "policy": ["storage.setIamPermissions"]},
    "cloudresourcemanager": {"policy": ["SetIamPolicy", "SetOrgPolicy", "InsertProjectOwnershipInvite"]},
    "newservice": {"other": ["google.new.v1.Things.Frobnicate"], "rotate": ["RotateThing"], "revoke": ["RevokeThing"]},
}  # fmt: skip


@pytest.mark.parametrize("service", OPERATIONS)
def test_methods_have_their_operation(service: str) -> None:
    """SOURCES section 3, method by method, in full and by its last word alone."""
    want = [(method, operation) for operation, methods in OPERATIONS[service].items() for method in methods]
    full = [(SM + method if service == "secretmanager" else method, operation) for method, operation in want]
    asked = full + [(method.rsplit(".", 1)[-1], operation) for method, operation in full]
    lines = [json.dumps(made(method, f"projects/shop-prod/x/{service}", service)) for method, _ in asked]
    got = DECODER.decode(batch_of("\n".join(lines).encode())).events
    assert list(zip(got["api_operation"], got["operation"], strict=True)) == asked
    assert set(got["mount"]) == {f"{service}/"}


@pytest.mark.parametrize(
    ("request_", "operation"), [(_DISABLE, "delete"), (_END, "delete"), (_ENABLE, "write"), ({}, "write")]
)
def test_a_key_version_that_is_ended_is_deleted(request_: dict[str, Any], operation: str) -> None:
    """What an update does to a key version stands in the state that is asked for."""
    assert event("UpdateCryptoKeyVersion", KEY, "cloudkms", request=request_)["operation"] == operation


@pytest.mark.parametrize(
    ("method", "service", "gives"),
    [
        (SM + "AccessSecretVersion", "secretmanager", True),
        (SM + "GetSecretVersion", "secretmanager", False),
        ("Decrypt", "cloudkms", True),
        ("AsymmetricDecrypt", "cloudkms", True),
        ("Encrypt", "cloudkms", False),
        ("AsymmetricSign", "cloudkms", False),
        ("google.api.apikeys.v2.ApiKeys.GetKeyString", "apikeys", True),
        ("GenerateAccessToken", "iamcredentials", False),
        ("google.new.v1.Things.Decrypt", "newservice", False),
    ],
)
def test_only_what_gives_a_value_discloses_one(method: str, service: str, gives: bool) -> None:
    """A signature and a ciphertext are no secrets, and what was refused gave nothing."""
    assert event(method, KEY, service)["discloses_value"] is gives
    assert event(method, KEY, service, status={"code": 7})["discloses_value"] is False


NAMES: dict[str, tuple[str, str, str | None, int | None]] = {
    SECRET: ("secretmanager", "secretmanager/db", None, None),
    "projects/123456789012/secrets/db": ("secretmanager", "secretmanager/db", None, None),
    "projects/shop-prod/secrets/db/versions/12": ("secretmanager", "secretmanager/db", None, 12),
    "projects/shop-prod/secrets/db/versions/latest": ("secretmanager", "secretmanager/db", None, None),
    "//secretmanager.googleapis.com/projects/shop-prod/secrets/db": ("secretmanager", "secretmanager/db", None, None),
    "projects/shop-prod/locations/eu/secrets/db/versions/1": ("secretmanager", "secretmanager/eu/db", "eu", 1),
    "projects/shop-prod": ("secretmanager", "", None, None),
    KEY: ("cloudkms", "cloudkms/eu/r/k", "eu", None),
    KEY + "/cryptoKeyVersions/3": ("cloudkms", "cloudkms/eu/r/k", "eu", 3),
    "projects/shop-prod/locations/eu/keyRings/r": ("cloudkms", "", "eu", None),
    "projects/shop-prod/locations/eu/keyRings/r/importJobs/j": ("cloudkms", "", "eu", None),
    "projects/shop-prod/locations/global/keys/maps": ("apikeys", "apikeys/maps", "global", None),
    "projects/shop-prod/locations/global/parameters/app/versions/v1": (
        "parametermanager", "parametermanager/app", "global", None,
    ),
    f"projects/-/serviceAccounts/{ACCOUNT}": ("iam", f"iam/{ACCOUNT}", None, None),
    f"projects/-/serviceAccounts/{ACCOUNT}/keys/abc": ("iam", f"iam/{ACCOUNT}", None, None),
    "projects/_/buckets/secrets/objects/secrets/x": ("storage", "", None, None),
}  # fmt: skip


@pytest.mark.parametrize("resource", NAMES)
def test_a_secret_has_one_name(resource: str) -> None:
    """Number or id, version or none: all operations on one secret share its name."""
    service, secret, location, version = NAMES[resource]
    got = event("google.x.v1.X.GetThing", resource, service)
    assert (got["secret"], got["cluster"], got["secret_version"]) == (secret, location, version)
    assert got["path"] == resource


def test_what_is_made_is_named_by_the_request() -> None:
    """A resource that is only to be made is named as it will be, and a new version by the answer."""
    got = event(SM + "CreateSecret", "projects/shop-prod", request={"parent": "projects/shop-prod", "secretId": "db"})
    assert got["secret"] == "secretmanager/db"
    got = event(
        "CreateCryptoKey", "projects/shop-prod/locations/eu/keyRings/r", "cloudkms", request={"cryptoKeyId": "k"}
    )
    assert got["secret"] == "cloudkms/eu/r/k"
    assert event(SM + "AddSecretVersion", response={"name": SECRET + "/versions/5"})["secret_version"] == 5
    assert event("UpdateCryptoKeyPrimaryVersion", KEY, "cloudkms", request={"cryptoKeyVersionId": "9"})[
        "secret_version"
    ] == 9  # fmt: skip


def test_a_nameless_entry_is_named_by_what_it_asked_for() -> None:
    """Without a resource the request and the authorization tell it; without all of them, the method stands as path."""
    assert event(resource=None, request={"name": SECRET + "/versions/1"})["secret"] == "secretmanager/db"
    assert event(resource=None, authorizationInfo=[{"resource": SECRET}])["secret"] == "secretmanager/db"
    got = event(resource=None)
    assert (got["secret"], got["path"]) == ("", f"secretmanager/{SM}AccessSecretVersion")


def test_a_method_may_be_told_by_label_or_request() -> None:
    """Where the payload lacks service or method, its labels or the type of the request say them."""
    labels = {"service": "secretmanager.googleapis.com", "method": SM + "AccessSecretVersion"}
    entry = made(labels=labels)
    del entry["protoPayload"]["serviceName"], entry["protoPayload"]["methodName"]
    got = read(entry)
    assert (got["mount"], got["operation"], got["secret"]) == ("secretmanager/", "read", "secretmanager/db")
    entry = made(labels={}, request={"@type": "type.googleapis.com/google.cloud.kms.v1.DecryptRequest"}, resource=KEY)
    del entry["protoPayload"]["serviceName"], entry["protoPayload"]["methodName"]
    got = read(entry)
    assert (got["mount"], got["operation"], got["secret"]) == ("cloudkms/", "read", "cloudkms/eu/r/k")


PROJECTS: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "by the label": ({"resource": "projects/123456789012/secrets/x"}, "shop-prod", []),
    "by the log": ({"resource": "projects/123456789012/secrets/x", "labels": {}}, "shop-prod", []),
    "by its number": (
        {"resource": "projects/123456789012/secrets/x", "labels": {}, "top": {"logName": None}}, "123456789012", [],
    ),
    "by a number that is known": (
        {"resource": "projects/210987654321/secrets/x", "labels": {}, "top": {"logName": None}}, "shop-test", [],
    ),
    "of another project": ({"resource": "projects/other/secrets/x"}, "other", ["external"]),
    "of any": ({"resource": "projects/-/serviceAccounts/x", "service": "iam"}, "shop-prod", []),
    "of an organization": (
        {"resource": "organizations/77", "labels": {}, "top": {"logName": "organizations/77/logs/a"}},
        "organizations/77", [],
    ),
    "of nobody": ({"resource": "projects/_/buckets/b", "labels": {}, "top": {"logName": None}}, "", []),
}  # fmt: skip


@pytest.mark.parametrize("name", PROJECTS)
def test_the_namespace_is_the_project(name: str) -> None:
    """By id where the entry tells one anywhere, else by number."""
    parts, namespace, flags = PROJECTS[name]
    got = event(**parts)
    assert (got["namespace"], got["flags"]) == (namespace, flags)


OUTCOMES: dict[str, tuple[dict[str, Any] | None, str, str | None]] = {
    "no status": (None, "success", None),
    "empty": ({}, "success", None),
    "zero": ({"code": 0, "message": "OK"}, "success", None),
    "no rights": ({"code": 7, "message": "no"}, "denied", "PERMISSION_DENIED: no"),
    "said twice": ({"code": 7, "message": "PERMISSION_DENIED"}, "denied", "PERMISSION_DENIED"),
    "nobody": ({"code": 16}, "denied", "UNAUTHENTICATED"),
    "missing": ({"code": 5, "message": "gone"}, "not_found", "NOT_FOUND: gone"),
    "exists": ({"code": 6}, "failure", "ALREADY_EXISTS"),
    "too many": ({"code": 8, "message": "quota"}, "failure", "RESOURCE_EXHAUSTED: quota"),
    "disabled": ({"code": 9, "message": "is DISABLED"}, "failure", "FAILED_PRECONDITION: is DISABLED"),
    "internal": ({"code": 13}, "failure", "INTERNAL"),
    "by HTTP": ({"code": 403, "message": "no"}, "denied", "403: no"),
    "gone by HTTP": ({"code": 404}, "not_found", "404"),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_the_status_tells_the_outcome(name: str) -> None:
    """Nothing said is a success; only refusals are denied."""
    status, outcome, error = OUTCOMES[name]
    got = event(status=status)
    assert (got["outcome"], got["error"]) == (outcome, error)


def test_a_failed_login_is_denied() -> None:
    """Sign-ins have no status: the method says how they ended."""
    assert event("google.login.LoginService.loginFailure", None, "login")["outcome"] == "denied"


POOL = "principal://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/"
PRINCIPALS: dict[str, tuple[dict[str, Any], str | None, str | None, list[str]]] = {
    "human": ({"principalEmail": "alice@example.com"}, "alice@example.com", "human", []),
    "service": ({"principalEmail": ACCOUNT, "principalSubject": f"serviceAccount:{ACCOUNT}"}, ACCOUNT, "service", []),
    "subject alone": ({"principalSubject": f"serviceAccount:{ACCOUNT}"}, ACCOUNT, "service", []),
    "user alone": ({"principalEmail": "", "principalSubject": "user:a@example.com"}, "a@example.com", "human", []),
    "federated": ({"principalSubject": POOL + "ci/subject/s"}, POOL + "ci/subject/s", "service", []),
    "workforce": (
        {"principalSubject": "principal://iam.googleapis.com/locations/global/workforcePools/staff/subject/a"},
        "principal://iam.googleapis.com/locations/global/workforcePools/staff/subject/a", "human", [],
    ),
    "pod": (
        {"principalSubject": POOL + "p.svc.id.goog/subject/ns/shop/sa/cart"},
        POOL + "p.svc.id.goog/subject/ns/shop/sa/cart", "pod", [],
    ),
    "claimed": ({"thirdPartyPrincipal": {"thirdPartyClaims": {"sub": "build-7"}}}, "build-7", None, []),
    "nobody": ({}, None, None, []),
    "delegated": (
        {"principalEmail": ACCOUNT, "serviceAccountDelegationInfo": [
            {"firstPartyPrincipal": {"principalEmail": "alice@example.com"}}, {"principalSubject": "b@example.com"},
        ]}, ACCOUNT, "service", ["by=alice@example.com"],
    ),
    "delegated to a subject": (
        {"principalEmail": ACCOUNT, "serviceAccountDelegationInfo": [{"principalSubject": "user:b@example.com"}]},
        ACCOUNT, "service", ["by=b@example.com"],
    ),
    "delegated by nobody told": (
        {"principalEmail": ACCOUNT, "serviceAccountDelegationInfo": [{}]}, ACCOUNT, "service", [],
    ),
    "an authority outside of a cluster": (
        {"principalEmail": ACCOUNT, "authoritySelector": "x"}, ACCOUNT, "service", [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PRINCIPALS)
def test_the_principal_is_the_identity_that_was_used(name: str) -> None:
    """An e-mail address where there is one, else what a federated identity goes by; who lent it is a flag."""
    info, who, kind, flags = PRINCIPALS[name]
    got = event(authenticationInfo=info)
    assert (got["auth_display_name"], got["auth_token_type"], got["flags"]) == (who, kind, flags)


def test_the_key_that_was_used_is_the_session() -> None:
    """A service account key has an id, by which its making, its use and its end belong together."""
    key = f"//iam.googleapis.com/projects/shop-prod/serviceAccounts/{ACCOUNT}/keys/0a1b"
    used = event(authenticationInfo={"principalEmail": ACCOUNT, "serviceAccountKeyName": key})
    born = event(IAM + "CreateServiceAccountKey", "projects/-/serviceAccounts/1", "iam", response={"name": key[21:]})
    gone = event(IAM + "DeleteServiceAccountKey", "projects/-/serviceAccounts/1/keys/0a1b", "iam")
    assert used["session"] == born["login_session"] == gone["login_session"] == "0a1b"


def test_a_token_is_made_for_a_service_account() -> None:
    """By its address, with the lifetime asked for; a refusal made nothing."""
    asked = {"name": f"projects/-/serviceAccounts/{ACCOUNT}", "lifetime": "43200s"}
    call = ("GenerateAccessToken", "projects/-/serviceAccounts/1", "iamcredentials")
    got = event(*call, request=asked)
    assert (got["login_display_name"], got["token_ttl"], got["secret"]) == (ACCOUNT, 43200, "")
    got = event(*call, request=asked, status={"code": 7})
    assert (got["login_display_name"], got["token_ttl"], got["outcome"]) == (None, None, "denied")


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1"), ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ("private", None), ("gce-internal-ip", None), ("", None), ("192.0.2.1:80", None),
    ],
)  # fmt: skip
def test_only_an_address_is_one(address: str, kept: str | None) -> None:
    """Google writes words for callers of its own networks."""
    assert event(requestMetadata={"callerIp": address})["client_ip"] == kept


def _delta(**delta: Any) -> dict[str, Any]:
    return {"serviceData": {"policyDelta": delta}}


@pytest.mark.parametrize(("version", "flags"), [("7", ["version"]), ("latest", [])])
def test_a_version_by_number_need_not_be_the_current_one(version: str, flags: list[str]) -> None:
    """Reading `latest` is no question for an old one."""
    got = event("AccessSecretVersion", f"projects/shop-prod/secrets/db/versions/{version}", "secretmanager")
    assert got["flags"] == flags


def test_policies_say_what_matters_of_them() -> None:
    """What is opened to everybody, and what takes entries out of this very log."""
    member = {"role": "roles/viewer", "member": "allUsers"}
    call = ("SetIamPolicy", "projects/shop-prod", "cloudresourcemanager")
    assert event(*call, **_delta(bindingDeltas=[{"action": "ADD", **member}]))["flags"] == ["public"]
    assert event(*call, **_delta(bindingDeltas=[{**member, "action": "ADD"}]))["flags"] == ["public"]
    assert event(*call, **_delta(bindingDeltas=[{"action": "REMOVE", **member}]))["flags"] == []
    assert event(*call, request={"policy": {"bindings": [{"members": ["allUsers"]}]}})["flags"] == ["public"]
    got = event(*call, **_delta(auditConfigDeltas=[{"action": "REMOVE", "logType": "DATA_READ"}]))
    assert (got["operation"], got["flags"]) == ("audit_control", ["audit_config"])


def test_copies_share_their_id_and_others_do_not() -> None:
    """Cloud Logging's own rule: the same project, time and insertId."""
    one = event()["correlation_uid"]
    assert one == f"shop-prod/{TIME}/i1" == event(top={"receiveTimestamp": "2026-03-01T09:00:00Z"})["correlation_uid"]
    assert event(top={"timestamp": "2026-03-01T08:00:01Z"})["correlation_uid"] != one
    assert event(top={"insertId": None})["correlation_uid"] is None


def cluster(method: str, resource: str | None, user: str = "alice@example.com", **payload: Any) -> dict[str, Any]:
    """The columns of an entry that GKE wrote."""
    top = payload.pop("top", {"operation": {"id": "audit-1", "producer": "k8s.io", "first": True, "last": True}})
    labels = {"project_id": "shop-prod", "cluster_name": "prod-1", "location": "eu"}
    who = payload.pop("authenticationInfo", {"principalEmail": user})
    return event(f"io.k8s.{method}", resource, "k8s.io", top=top, labels=labels, authenticationInfo=who, **payload)


CLUSTER: dict[tuple[str, str], tuple[str, str, str, str, str]] = {
    ("core.v1.secrets.get", "core/v1/namespaces/shop/secrets/db"): (
        "read", "secrets/", "secrets/db", "shop", "/api/v1/namespaces/shop/secrets/db",
    ),
    ("core.v1.secrets.list", "core/v1/secrets"): ("list", "secrets/", "", "", "/api/v1/secrets"),
    ("core.v1.secrets.list", "core/v1/namespaces/shop/secrets"): (
        "list", "secrets/", "", "shop", "/api/v1/namespaces/shop/secrets",
    ),
    ("core.v1.secrets.patch", "core/v1/namespaces/secrets/secrets/db"): (
        "write", "secrets/", "secrets/db", "secrets", "/api/v1/namespaces/secrets/secrets/db",
    ),
    ("core.v1.configmaps.get", "core/v1/namespaces/secrets/configmaps/c"): (
        "other", "configmaps/", "", "secrets", "/api/v1/namespaces/secrets/configmaps/c",
    ),
    ("core.v1.namespaces.status.update", "core/v1/namespaces/shop/status"): (
        "other", "namespaces/", "", "shop", "/api/v1/namespaces/shop/status",
    ),
    ("core.v1.pods.exec.create", "core/v1/namespaces/shop/pods/cart-1/exec"): (
        "other", "pods/", "", "shop", "/api/v1/namespaces/shop/pods/cart-1/exec",
    ),
    ("authorization.rbac.v1.roles.update", "rbac.authorization.k8s.io/v1/namespaces/shop/roles/r"): (
        "policy", "roles/", "", "shop", "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles/r",
    ),
    ("authorization.v1.selfsubjectaccessreviews.create", "authorization.k8s.io/v1/selfsubjectaccessreviews"): (
        "list", "selfsubjectaccessreviews/", "", "", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    ),
    ("get", "version"): ("other", "", "", "", "/version"),
}  # fmt: skip


@pytest.mark.parametrize(("method", "resource"), CLUSTER)
def test_entries_of_gke_are_rows_of_kubernetes(method: str, resource: str) -> None:
    """Resource, namespace and URI as Kubernetes' own audit has them."""
    got = cluster(method, resource)
    assert (got["operation"], got["mount"], got["secret"], got["namespace"], got["path"]) == CLUSTER[method, resource]
    assert (got["store"], got["cluster"], got["correlation_uid"]) == ("kubernetes", "prod-1", "audit-1")
    assert got["api_operation"] == method.rsplit(".", 1)[-1]


def test_a_cluster_knows_its_own_names() -> None:
    """Service accounts, nobody, and those who act as somebody else."""
    got = cluster("core.v1.secrets.get", "core/v1/namespaces/a/secrets/b", "system:serviceaccount:shop:cart")
    assert (got["auth_sa_namespace"], got["auth_sa_name"], got["auth_token_type"]) == ("shop", "cart", "pod")
    got = cluster("core.v1.secrets.get", "core/v1/namespaces/a/secrets/b", "system:anonymous")
    assert (got["auth_display_name"], got["auth_token_type"]) == (None, "anonymous")
    info = {"principalEmail": "alice@example.com", "authoritySelector": "carol@example.com"}
    got = cluster("core.v1.secrets.get", "core/v1/namespaces/a/secrets/b", authenticationInfo=info)
    assert (got["auth_display_name"], got["flags"]) == ("alice@example.com", ["as=carol@example.com", "impersonated"])


def test_a_token_of_a_cluster_is_made_for_its_account() -> None:
    """TokenRequest names whom it makes a token for."""
    got = cluster("core.v1.serviceaccounts.token.create", "core/v1/namespaces/shop/serviceaccounts/cart/token")
    assert (got["operation"], got["login_sa_namespace"], got["login_sa_name"]) == ("auth", "shop", "cart")
    assert got["login_display_name"] == "system:serviceaccount:shop:cart"


def test_what_a_cluster_forbids_is_denied() -> None:
    """By the status, and by the authorizer's decision where there is none."""
    call = ("core.v1.secrets.list", "core/v1/secrets")
    assert cluster(*call, status={"code": 7})["outcome"] == "denied"
    assert cluster(*call, top={"labels": {"authorization.k8s.io/decision": "forbid"}})["outcome"] == "denied"
    assert cluster(*call, top={"labels": {"authorization.k8s.io/decision": "allow"}})["outcome"] == "success"


def test_a_watch_is_told_when_it_begins_and_when_it_ends() -> None:
    """Only the end counts as done, and both are of one request."""
    call = ("core.v1.secrets.watch", "core/v1/namespaces/shop/secrets")
    begun = cluster(*call, top={"operation": {"id": "w", "first": True}})
    ended = cluster(*call, top={"operation": {"id": "w", "last": True}})
    assert (begun["phase"], begun["discloses_value"]) == ("request", False)
    assert (ended["phase"], ended["discloses_value"]) == ("single", True)
    assert begun["correlation_uid"] == ended["correlation_uid"] == "w"


SHOWN = "Y29ycmVjdCBob3JzZQ=="
_BODY = {"kind": "Secret", "data": {"a": SHOWN}, "stringData": {"b": SHOWN}, "metadata": {"annotations": {
    "kubectl.kubernetes.io/last-applied-configuration": f'{{"data":{{"a":"{SHOWN}"}}}}'}}}  # fmt: skip
_MAP = {"kind": "ConfigMap", "data": {"colour": "blue"}}
_KUBERNETES = ("io.k8s.core.v1.secrets.update", "core/v1/namespaces/shop/secrets/db", "k8s.io")
CLEAR = {
    "a secret sent": made(*_KUBERNETES, request=_BODY),
    "a secret told": made(*_KUBERNETES, response=_BODY),
    "a list of secrets": made(*_KUBERNETES, response={"items": [_BODY, _BODY]}),
    "a patch": made(*_KUBERNETES, request=[{"op": "add", "path": "/data/a", "value": SHOWN}]),
    "in a CloudEvent": {"specversion": "1.0", "data": made(*_KUBERNETES, request=_BODY)},
    "a secret's payload": made(SM + "AddSecretVersion", request={"parent": SECRET, "payload": {"data": SHOWN}}),
    "an answer's payload": made(response={"payload": {"data": SHOWN}}),
    "a plaintext": made("Encrypt", KEY, "cloudkms", request={"plaintext": SHOWN}),
    "a private key": made(IAM + "CreateServiceAccountKey", None, "iam", response={"privateKeyData": SHOWN}),
    "a private key, spelled as in files": made(
        IAM + "CreateServiceAccountKey", None, "iam", response={"private_key_data": SHOWN}
    ),
    "a token": made("GenerateAccessToken", None, "iamcredentials", response={"accessToken": SHOWN}),
    "a pod's token": made(
        "io.k8s.core.v1.serviceaccounts.token.create", None, "k8s.io", response={"status": {"token": SHOWN}}
    ),
    "a token by its form": made(status={"code": 3, "message": "bad header ya29.c.aaaaaaaaaaaaaaaaaaaa" + SHOWN[:20]}),
    "a private key by its form": made(
        metadata={"x": "-----BEGIN PRIVATE KEY-----\n" + SHOWN + "\n-----END PRIVATE KEY-----"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CLEAR)
def test_values_are_taken_out(name: str) -> None:
    """What is a secret does not stay, and that it was there is told."""
    decoded = DECODER.decode(batch_of(json.dumps(CLEAR[name]).encode()))
    kept = decoded.replaced[0].decode()
    assert SHOWN[:20] not in kept
    assert "[redacted]" in kept
    assert decoded.events["clear"].to_list() == [True]
    assert SHOWN[:20] not in str(decoded.events.to_dicts())
    # once more: nothing is left to be taken out
    again = DECODER.decode(batch_of(decoded.replaced[0]))
    assert not again.replaced
    assert again.events["clear"].to_list() == [False]


@pytest.mark.parametrize(
    "entry",
    [
        made(),
        made(*_KUBERNETES, request={"data": {"a": ""}, "metadata": {"name": "db"}}),
        made("io.k8s.core.v1.configmaps.update", "core/v1/namespaces/secrets/configmaps/c", "k8s.io", request=_MAP),
        made("x.Y.CreateThing", None, "newservice", request={"payload": {"a": "b"}}, metadata={"token": "t"}),
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(entry: dict[str, Any]) -> None:
    """Entries without a value are kept as they are."""
    decoded = DECODER.decode(batch_of(json.dumps(entry).encode()))
    assert not decoded.replaced
    assert decoded.events["clear"].to_list() == [False]
