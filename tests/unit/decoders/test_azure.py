"""Azure records: operations, principals, outcomes, names, what is taken out, and one parser in two speeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.decoders import azure
from pipeline.decoders.azure.format import AzureFormat
from pipeline.decoders.azure.vocabulary import gives_value, operation_of
from pipeline.enrich import Config as EnrichConfig
from pipeline.enrich import create as enricher
from tests.decoding import SHARED, NoTable, Speeds, batch_of

CASES = Path(azure.__file__).parent / "cases"
LINES = [
    line
    for name in ("key_vault", "denied", "activity_log", "aks", "bad_input")
    for line in (CASES / f"{name}.in").read_text().splitlines()
]


BOTH = Speeds(lambda: azure.create(azure.Config()))
QUICK, EXACT = BOTH.quick, BOTH.exact
_SLOW = EXACT._formats[0]
assert isinstance(_SLOW, AzureFormat)
_SLOW._events._table = NoTable()  # type: ignore[assignment]

# ---------------------------------------------------------------------------------------------------- operations

OPERATIONS = {
    "read": (
        "SecretGet KeyDecrypt KeyUnwrap KeySign KeyRelease SecretBackup KeyBackup CertificateBackup BackupCreate "
        "Microsoft.KeyVault/vaults/secrets/getSecret/action "
        "MICROSOFT.CONTAINERSERVICE/MANAGEDCLUSTERS/LISTCLUSTERADMINCREDENTIAL/ACTION "
        "Microsoft.Storage/storageAccounts/listKeys/action"
    ),
    "list": (
        "SecretList SecretListVersions SecretGetDeleted SecretListDeleted KeyGet KeyList KeyListVersions KeyGetDeleted "
        "KeyListDeleted KeyRotationPolicyGet CertificateGet CertificateList CertificateListVersions "
        "CertificateGetDeleted CertificateListDeleted CertificatePolicyGet CertificateContactsGet CertificateIssuerGet "
        "CertificateIssuersList CertificatePendingGet VaultGet VaultList VaultGetDeleted VaultListDeleted "
        "RoleAssignmentList Microsoft.KeyVault/vaults/certificates/read MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/READ"
    ),
    "write": (
        "SecretSet SecretUpdate SecretRestore SecretRecover KeyCreate KeyImport KeyUpdate KeyRestore KeyRecover "
        "CertificateCreate CertificateImport CertificateUpdate CertificateMerge CertificateRestore CertificateRecover "
        "CertificatePendingMerge CertificatePendingUpdate VaultRecover RestoreCreate "
        "Microsoft.KeyVault/vaults/secrets/write MICROSOFT.KEYVAULT/VAULTS/CERTIFICATES/WRITE"
    ),
    "delete": (
        "SecretDelete SecretPurge KeyDelete KeyPurge CertificateDelete CertificatePurge CertificatePendingDelete "
        "CertificateContactsDelete CertificateIssuerDelete VaultDelete VaultPurge MICROSOFT.KEYVAULT/VAULTS/DELETE "
        "Microsoft.KeyVault/locations/deletedVaults/purge/action Microsoft.KeyVault/vaults/keys/delete"
    ),
    "rotate": (
        "CertificateRenew CertificateEnroll KeyRotate KeyRotateIfDue Microsoft.KeyVault/vaults/keys/rotate/action "
        "Microsoft.Storage/storageAccounts/regenerateKey/action"
    ),
    "auth": "Authentication",
    "policy": (
        "VaultPut VaultPatch VaultAccessPolicyChangedEventGridNotification KeyRotationPolicySet CertificatePolicySet "
        "CertificatePolicyUpdate CertificateContactsSet CertificateIssuerSet CertificateIssuerUpdate "
        "RoleAssignmentCreate RoleAssignmentDelete RoleDefinitionSet MICROSOFT.KEYVAULT/VAULTS/WRITE "
        "Microsoft.KeyVault/managedHSMs/write Microsoft.KeyVault/vaults/accessPolicies/write "
        "MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/DELETE "
        "Microsoft.Authorization/roleDefinitions/write Microsoft.Authorization/elevateAccess/action"
    ),
    "audit_control": (
        "MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/DELETE microsoft.insights/diagnosticSettings/write "
        "Microsoft.Insights/logProfiles/delete"
    ),
    "seal": "SecurityDomainDownload SecurityDomainUpload",
    "other": (
        "KeyEncrypt KeyWrap KeyVerify SecretNearExpiryEventGridNotification SecretExpiredEventGridNotification "
        "KeyNearExpiryEventGridNotification KeyExpiredEventGridNotification "
        "CertificateNearExpiryEventGridNotification CertificateExpiredEventGridNotification SomethingNew "
        "MICROSOFT.COMPUTE/VIRTUALMACHINES/WRITE Microsoft.ServiceHealth/incident/action"
    ),
}


@pytest.mark.parametrize(
    ("operation", "name"), [(op, name) for op, names in OPERATIONS.items() for name in names.split()]
)
def test_operation_of_each_word(operation: str, name: str) -> None:
    """Every operation that Microsoft lists, and what the Activity Log tells of vaults, has its class."""
    assert operation_of(name) == operation
    assert operation_of(name.upper()) == operation


def test_what_leaves_in_clear() -> None:
    """Plain values are few: backups and signatures are none."""
    given_ = {name for names in OPERATIONS.values() for name in names.split() if gives_value(name)}
    assert given_ == {
        "SecretGet", "KeyDecrypt", "KeyUnwrap", "Microsoft.KeyVault/vaults/secrets/getSecret/action",
        "MICROSOFT.CONTAINERSERVICE/MANAGEDCLUSTERS/LISTCLUSTERADMINCREDENTIAL/ACTION",
        "Microsoft.Storage/storageAccounts/listKeys/action",
    }  # fmt: skip


def believed(data: bytes) -> tuple[int, int]:
    batch = batch_of(data)
    return BOTH.believed(batch), len(batch)


def alike(data: bytes) -> None:
    BOTH.alike(batch_of(data))


# ------------------------------------------------------------------------------------------------------- records

VAULT = "/SUBSCRIPTIONS/S1/RESOURCEGROUPS/R/PROVIDERS/MICROSOFT.KEYVAULT/VAULTS/PAYMENTS"
URI = "https://payments.vault.azure.net"


def record(claim: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A read of a secret, as it is logged, with other fields in place of its own; None takes one away."""
    properties = {"id": f"{URI}/secrets/db", "httpStatusCode": 200, "requestUri": f"{URI}/secrets/db?api-version=7.4"}
    made = {
        "time": "2026-03-01T08:00:00.1234567Z", "category": "AuditEvent", "operationName": "SecretGet",
        "resultType": "Success", "correlationId": "c", "callerIpAddress": "203.0.113.7",
        "identity": {"claim": claim if claim is not None else {"appid": "a1"}},
        "properties": properties | more.pop("properties", {}), "resourceId": VAULT, "resultSignature": "OK",
        "durationMs": "12",
    }  # fmt: skip
    return {name: value for name, value in (made | more).items() if value is not None}


def event(**more: Any) -> dict[str, Any]:
    """A Kubernetes event: a pod reads a secret."""
    return {
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "a1",
        "stage": "ResponseComplete", "requestURI": "/api/v1/namespaces/shop/secrets/db", "verb": "get",
        "user": {"username": "system:serviceaccount:shop:web", "groups": ["g"]}, "sourceIPs": ["203.0.113.9"],
        "objectRef": {"resource": "secrets", "namespace": "shop", "name": "db"},
        "responseStatus": {"metadata": {}, "code": 200}, "requestReceivedTimestamp": "2026-03-01T11:00:00.000000Z",
        "stageTimestamp": "2026-03-01T11:00:00.002000Z",
    } | more  # fmt: skip


def aks(inner: dict[str, Any], *, text: bool = True) -> dict[str, Any]:
    """The record that Azure makes of an event."""
    return {
        "time": "2026-03-01T11:00:09.5Z", "category": "kube-audit",
        "operationName": "Microsoft.ContainerService/managedClusters/diagnosticLogs/Read",
        "resourceId": "/SUBSCRIPTIONS/S1/RESOURCEGROUPS/R/PROVIDERS/MICROSOFT.CONTAINERSERVICE/MANAGEDCLUSTERS/PROD",
        "properties": {"log": json.dumps(inner) if text else inner, "stream": "stdout"},
    }  # fmt: skip


def rows(*records: dict[str, Any]) -> list[dict[str, Any]]:
    """Their DECODED rows, the same by both parsers."""
    batch = batch_of("\n".join(map(json.dumps, records)).encode())
    quick = BOTH.alike(batch)
    assert quick.rejected.is_empty()
    return quick.events.to_dicts()


SOAP = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
PRINCIPALS: dict[str, tuple[dict[str, Any], str, str, str | None]] = {
    "a user": ({"upn": "Ana@Example.com", "appid": "A1", "oid": "O1"}, "ana@example.com", "human", "o1"),
    "a user by full names": (
        {f"{SOAP}upn": "ana@example.com", "http://schemas.microsoft.com/identity/claims/objectidentifier": "O1"},
        "ana@example.com", "human", "o1",
    ),
    "a guest": ({f"{SOAP}upn": "live.com#ana@example.com"}, "ana@example.com", "human", None),
    "a user of a name with a blank": ({f"{SOAP}name": " ana@example.com"}, "ana@example.com", "human", None),
    "an application": ({"appid": "A1-B2", "oid": "O2", "idtyp": "app"}, "a1-b2", "service", "o2"),
    "a managed identity": ({"appid": "a1", "xms_mirid": "/subscriptions/s"}, "a1", "service", None),
    "an object": ({"oid": "O3"}, "o3", "unknown", "o3"),
    "a user without a name": ({"oid": "O3", "idtyp": "user"}, "o3", "human", "o3"),
    "nobody": ({"aud": "x"}, "anonymous", "anonymous", None),
}  # fmt: skip


@pytest.mark.parametrize("who", PRINCIPALS)
def test_principals(who: str) -> None:
    """A person goes by the user name, a workload by its application, whatever the claims are called."""
    claim, name, kind, entity = PRINCIPALS[who]
    batch = batch_of(json.dumps(record(claim)).encode())
    named = enricher(EnrichConfig()).resolve(QUICK.decode(batch).events).row(0, named=True)
    assert (named["principal"], named["principal_type"], named["entity"]) == (name, kind, entity)
    assert rows(record(claim)) == rows(record(claim))


def test_pods_are_named_in_full() -> None:
    """A service account has the name that Kubernetes knows it by; who is masked stays the actor."""
    masked = event(user={"username": "ops@example.com"}, impersonatedUser={"username": "system:admin"})
    batch = batch_of("\n".join(json.dumps(aks(one)) for one in (event(), masked)).encode())
    pod, person = enricher(EnrichConfig()).resolve(QUICK.decode(batch).events).rows(named=True)
    assert (pod["principal"], pod["principal_type"]) == ("system:serviceaccount:shop:web", "pod")
    assert (person["principal"], person["principal_type"]) == ("ops@example.com", "human")
    assert person["flags"] == ["as=system:admin", "impersonated"]


OUTCOMES: dict[str, tuple[dict[str, Any], str]] = {
    "a number": ({"properties": {"httpStatusCode": 403}}, "denied"),
    "a number as text": ({"properties": {"httpStatusCode": "404"}}, "not_found"),
    "a number at the top": ({"properties": {"httpStatusCode": None}, "httpStatusCode": 500}, "failure"),
    "success is said of a refusal": ({"properties": {"httpStatusCode": 403}, "resultType": "Success"}, "denied"),
    "a word": ({"properties": {"httpStatusCode": None}, "resultSignature": "Forbidden"}, "denied"),
    "two words": ({"properties": {"httpStatusCode": None}, "resultSignature": "Not Found"}, "not_found"),
    "bad request": ({"properties": {"httpStatusCode": 400}}, "failure"),
    "throttled": ({"properties": {"httpStatusCode": 429}}, "failure"),
    "no status, no policy": (
        {"properties": {"httpStatusCode": None, "isAccessPolicyMatch": False}, "resultSignature": None}, "denied",
    ),
    "no status, no role": (
        {"properties": {"httpStatusCode": None, "isRbacAuthorized": False}, "resultSignature": None}, "denied",
    ),
    "no status": ({"properties": {"httpStatusCode": None}, "resultSignature": None}, "success"),
    "failed": (
        {"properties": {"httpStatusCode": None}, "resultSignature": None, "resultType": "Failed"}, "failure",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OUTCOMES)
def test_outcomes(case: str) -> None:
    """The HTTP status decides, wherever it stands and however it is written."""
    more, outcome = OUTCOMES[case]
    (row,) = rows(record(**more))
    assert row["outcome"] == outcome
    assert row["discloses_value"] == (outcome == "success")


def test_first_leg_is_no_denial() -> None:
    """A request without a token is answered 401 by design, as Authentication or by its own name; a bad token is not."""
    asked = {"identity": None, "resultSignature": "Unauthorized", "properties": {"httpStatusCode": 401}}
    first, own, empty, bad = rows(
        record(operationName="Authentication", **asked),
        record(**asked, resultDescription="AKV10000: Request is missing a Bearer or PoP token."),
        record({}, **{**asked, "identity": {"claim": {}}}),
        record(operationName="Authentication", **asked, resultDescription="AKV10022: Invalid audience."),
    )
    for row in (first, own, empty):
        assert (row["operation"], row["outcome"], row["secret"]) == ("auth", "success", "")
        assert row["flags"] == ["challenge"]
        assert not row["discloses_value"]
    assert (bad["operation"], bad["outcome"], bad["flags"]) == ("auth", "denied", [])


@pytest.mark.parametrize(
    ("logged", "address"),
    [
        ("203.0.113.7", "203.0.113.7"), ("203.0.113.7:5123", "203.0.113.7"), ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]:443", "2001:db8::7"), ("", None), ("X.X.X.X", None), ("host.example.com", None),
    ],
)  # fmt: skip
def test_addresses(logged: str, address: str | None) -> None:
    """Only an address is one, without its port."""
    assert rows(record(callerIpAddress=logged))[0]["client_ip"] == address


@pytest.mark.parametrize(("logged", "took"), [("12", 12.0), (12, 12.0), (12.5, 12.5), ("x", None), ("-1", None)])
def test_durations(logged: object, took: float | None) -> None:
    """A number is one in quotes, too."""
    assert rows(record(durationMs=logged))[0]["latency_ms"] == took


VERSION = "0123456789abcdef0123456789abcdef"
NAMES = {
    "a secret": ("SecretGet", f"{URI}/secrets/DB?api-version=7.4", "secrets/db", []),
    "a secret, closed by a slash": ("SecretGet", f"{URI}/secrets/db/?api-version=7.4", "secrets/db", []),
    "a version": ("SecretGet", f"{URI}//secrets/db/{VERSION}?api-version=7.4", "secrets/db", ["version"]),
    "versions": ("SecretListVersions", f"{URI}/secrets/db/versions", "secrets/db", []),
    "a deleted secret": ("SecretPurge", f"{URI}/deletedsecrets/db", "secrets/db", []),
    "all secrets": ("SecretList", f"{URI}/secrets?maxresults=25", "", []),
    "a restore": ("SecretRestore", f"{URI}/secrets/restore", "", []),
    "a secret of that name": ("SecretGet", f"{URI}/secrets/restore", "secrets/restore", []),
    "a key": ("KeyDecrypt", f"{URI}/keys/k/{VERSION}/decrypt", "keys/k", []),
    "a key of an HSM": ("KeySign", "https://h.managedhsm.azure.net/keys/k/sign", "keys/k", []),
    "a certificate": ("CertificateGet", f"{URI}/certificates/www/{VERSION}", "certificates/www", []),
    "no certificate": ("CertificateContactsSet", f"{URI}/certificates/contacts", "", []),
    "another cloud": ("SecretGet", "https://v.vault.usgovcloudapi.net/secrets/db", "secrets/db", []),
}


@pytest.mark.parametrize("case", NAMES)
def test_names_of_secrets(case: str) -> None:
    """All that is done to one secret has one name, from the address that was asked for."""
    operation, address, secret, flags = NAMES[case]
    (row,) = rows(record(operationName=operation, properties={"id": None, "requestUri": address}))
    assert (row["secret"], row["flags"], row["namespace"]) == (secret, flags, "payments")
    assert row["path"] == address.split("?")[0].rstrip("/")
    if secret:
        assert row["mount"] == secret.split("/")[0] + "/"


def test_places_without_a_resource() -> None:
    """The vault is known by its host, too; a copy of a record has the same id, another record another."""
    hosted, again, later = rows(
        record(resourceId=None), record(resourceId=None), record(resourceId=None, time="2026-03-01T08:00:00.1234568Z")
    )
    assert (hosted["namespace"], hosted["cluster"]) == ("payments", None)
    assert hosted["correlation_uid"] == "c:SecretGet:2026-03-01T08:00:00.1234567Z" == again["correlation_uid"]
    assert later["correlation_uid"] != hosted["correlation_uid"]
    assert rows(record(correlationId=""))[0]["correlation_uid"] is None


# ------------------------------------------------------------------------------------------------------- real logs


def test_published_samples() -> None:
    """The Activity Log entries of another product's published rule tests: all are read, each as what it is."""
    path = SHARED / "real_logs" / "panther-tests" / "secret-stores.dev.jsonl"
    if not path.exists():
        pytest.skip(f"no recordings at {SHARED} (set KEYTRAIL_SHARED)")
    samples = [json.loads(line)["event"] for line in path.read_text().splitlines()]
    mine = [one for one in samples if "operationName" in one]
    data = "\n".join(map(json.dumps, mine)).encode()
    alike(data)
    assert believed(data) == (10, 10)
    got = QUICK.decode(batch_of(data)).events.select("operation", "outcome", "namespace", "secret", "auth_display_name")
    app = ["12345678-1234-1234-1234-123456789abc", "87654321-4321-4321-4321-123456789abc"]
    assert got.rows() == [
        ("list", "success", "myvault", "certificates/app-service-cert", app[0]),
        ("list", "success", "prodvault", "certificates/service-principal-cert", app[1]),
        ("list", "success", "secvault", "certificates/ssl-cert", None),
        ("write", "success", "myvault", "certificates/cert2", None),
        ("delete", "success", "mykeyvault", "", None),
        ("delete", "success", "prodvault", "", None),
        ("policy", "success", "mykeyvault", "", None),
        ("delete", "success", "mykeyvault", "", None),
        ("delete", "success", "prodvault", "", None),
        ("delete", "success", "mykeyvault", "", None),
    ]
