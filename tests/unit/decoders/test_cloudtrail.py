"""CloudTrail records: what calls mean, who made them, what they were about, and what of them is not kept."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from pipeline.core.schema import DECODED, OPERATIONS_VOCABULARY
from pipeline.decoders.cloudtrail import Config, create
from pipeline.decoders.cloudtrail.entry import SUSPECTS, clean, found
from pipeline.enrich import create as enricher
from tests.decoding import batch_of

A, B, REGION = "111122223333", "123456789012", "eu-west-1"
ROLE = {
    "type": "AssumedRole", "principalId": "AROAEXAMPLE:job-7", "accountId": A, "accessKeyId": "ASIAEXAMPLE",
    "arn": f"arn:aws:sts::{A}:assumed-role/app/job-7",
}  # fmt: skip
DECODER = create(Config())


def record(service: str, name: str, **more: Any) -> dict[str, Any]:
    """A record of the usual shape; `more` replaces and adds."""
    return {
        "eventVersion": "1.11", "userIdentity": ROLE, "eventTime": "2026-03-02T08:00:00Z",
        "eventSource": f"{service}.amazonaws.com", "eventName": name, "awsRegion": REGION,
        "sourceIPAddress": "192.0.2.1", "userAgent": "sdk", "requestParameters": None, "responseElements": None,
        "eventID": "e-1", "eventType": "AwsApiCall", "recipientAccountId": A, **more,
    }  # fmt: skip


def rows(*records: dict[str, Any]) -> list[dict[str, Any]]:
    """DECODED rows of records, each on a line of its own."""
    return DECODER.decode(batch_of("\n".join(map(json.dumps, records)).encode())).events.to_dicts()


def row(service: str, name: str, **more: Any) -> dict[str, Any]:
    """The DECODED row of one record."""
    (one,) = rows(record(service, name, **more))
    return one


MEANT = {
    "secretsmanager": {
        "read": "GetSecretValue BatchGetSecretValue",
        "list": "ListSecrets DescribeSecret ListSecretVersionIds GetResourcePolicy",
        "write": (
            "CreateSecret PutSecretValue UpdateSecret UpdateSecretVersionStage RestoreSecret ReplicateSecretToRegions"
        ),
        "delete": "DeleteSecret StartSecretVersionDelete CancelSecretVersionDelete EndSecretVersionDelete",
        "rotate": (
            "RotateSecret CancelRotateSecret RotationStarted RotationSucceeded RotationFailed RotationAbandoned"
            " TestRotationStarted TestRotationSucceeded TestRotationFailed"
        ),
        "policy": "PutResourcePolicy DeleteResourcePolicy",
    },
    "kms": {
        "read": (
            "Decrypt GenerateDataKey GenerateDataKeyPair GenerateDataKeyWithoutPlaintext"
            " GenerateDataKeyPairWithoutPlaintext ReEncrypt Sign GenerateMac Encrypt"
        ),
        "list": "ListKeys ListAliases ListGrants DescribeKey GetKeyPolicy",
        "write": "CreateKey ImportKeyMaterial EnableKey CreateAlias UpdateAlias DeleteAlias",
        "delete": "DisableKey ScheduleKeyDeletion CancelKeyDeletion DeleteImportedKeyMaterial",
        "rotate": "EnableKeyRotation DisableKeyRotation RotateKeyOnDemand RotateKey",
        "policy": "PutKeyPolicy CreateGrant RevokeGrant RetireGrant",
        "other": "Verify VerifyMac GenerateRandom",
    },
    "ssm": {
        "read": "GetParameter GetParameters GetParametersByPath GetParameterHistory",
        "list": "DescribeParameters ListTagsForResource",
        "write": "PutParameter LabelParameterVersion",
        "delete": "DeleteParameter DeleteParameters",
        "other": "SendCommand UpdateInstanceInformation",
    },
    "sts": {
        "auth": "AssumeRole AssumeRoleWithSAML AssumeRoleWithWebIdentity AssumeRoot GetSessionToken",
        "list": "GetCallerIdentity",
    },
    "iam": {
        "auth": "CreateAccessKey",
        "revoke": "DeleteAccessKey",
        "policy": "AttachRolePolicy PutUserPolicy CreatePolicyVersion UpdateAssumeRolePolicy AddUserToGroup CreateUser",
        "list": "GetRole ListUsers",
    },
    "cloudtrail": {
        "audit_control": (
            "StopLogging StartLogging DeleteTrail UpdateTrail CreateTrail PutEventSelectors PutInsightSelectors"
            " DeleteEventDataStore UpdateEventDataStore StopEventDataStoreIngestion"
        ),
        "list": "DescribeTrails GetTrailStatus LookupEvents StartQuery",
    },
    "signin": {"auth": "ConsoleLogin"},
    "s3": {
        "list": "GetObject ListBuckets",
        "policy": "PutBucketPolicy PutBucketAcl",
        "other": "PutObject DeleteObject",
    },
}
TABLE = [
    (service, call, operation)
    for service, operations in MEANT.items()
    for operation, calls in operations.items()
    for call in calls.split()
]


@pytest.mark.parametrize(("service", "call", "operation"), TABLE)
def test_each_call_has_its_class(service: str, call: str, operation: str) -> None:
    """Every call that matters to secrets means what the vocabulary says, by its name alone."""
    got = row(service, call)
    assert (got["operation"], got["mount"], got["api_operation"]) == (operation, f"{service}/", call)
    assert operation in OPERATIONS_VOCABULARY


@pytest.mark.parametrize(("read_only", "operation"), [(True, "list"), (False, "other"), (None, "other")])
def test_calls_of_unknown_services_go_by_read_only(read_only: bool | None, operation: str) -> None:
    """What is not known by name is a question where AWS says that it changed nothing."""
    more = {} if read_only is None else {"readOnly": read_only}
    assert row("newthing", "FrobnicateWidget", **more)["operation"] == operation


VALUES = [
    ("secretsmanager", "GetSecretValue", True), ("secretsmanager", "BatchGetSecretValue", True),
    ("kms", "Decrypt", True),
    ("kms", "GenerateDataKey", True), ("kms", "GenerateDataKeyPair", True), ("ssm", "GetParameter", True),
    ("kms", "GenerateDataKeyWithoutPlaintext", False), ("kms", "Encrypt", False), ("kms", "ReEncrypt", False),
    ("kms", "Sign", False), ("secretsmanager", "DescribeSecret", False), ("sts", "AssumeRole", False),
]  # fmt: skip


@pytest.mark.parametrize(("service", "call", "discloses"), VALUES)
def test_only_what_gives_a_value_discloses_one(service: str, call: str, discloses: bool) -> None:
    """A read that gave a value says so, one that was refused or gives none does not."""
    asked = {"withDecryption": True} if service == "ssm" else None
    assert row(service, call, requestParameters=asked)["discloses_value"] is discloses
    assert row(service, call, requestParameters=asked, errorCode="AccessDenied")["discloses_value"] is False


def test_a_parameter_that_stays_encrypted_is_no_read() -> None:
    """Without decryption nothing secret comes out; where the request is not told, the worse is taken."""
    sealed = row("ssm", "GetParameter", requestParameters={"name": "a", "withDecryption": False})
    bare = row("ssm", "GetParametersByPath", requestParameters={"path": "/a"})
    untold = row("ssm", "GetParameter", errorCode="AccessDeniedException")
    assert [one["operation"] for one in (sealed, bare, untold)] == ["list", "list", "read"]
    assert not sealed["discloses_value"]


SECRET = f"arn:aws:secretsmanager:{REGION}:{A}:secret:"
NAMES = [
    ("secretsmanager", "GetSecretValue", {"secretId": "app/db"}, "app/db"),
    ("secretsmanager", "GetSecretValue", {"secretId": SECRET + "app/db-a1B2c3"}, "app/db"),
    ("secretsmanager", "GetSecretValue", {"secretId": SECRET + "app/db"}, "app/db"),
    ("secretsmanager", "GetSecretValue", {"secretId": "app/db-a1B2c3"}, "app/db-a1B2c3"),
    ("secretsmanager", "CreateSecret", {"name": "app/db"}, "app/db"),
    ("secretsmanager", "DescribeSecret", {"secretId": "arn:aws-cn:secretsmanager:x:1:secret:rds!d-a1b2c3"}, "rds!d"),
    ("secretsmanager", "BatchGetSecretValue", {"secretIdList": ["app/db"]}, "app/db"),
    ("secretsmanager", "BatchGetSecretValue", {"secretIdList": ["app/db", "app/x"]}, ""),
    ("secretsmanager", "ListSecrets", {"filters": [{"key": "name", "values": ["app"]}]}, ""),
    ("kms", "Decrypt", {"keyId": "1234abcd-12ab"}, "1234abcd-12ab"),
    ("kms", "Decrypt", {"keyId": f"arn:aws:kms:{REGION}:{A}:key/1234abcd-12ab"}, "1234abcd-12ab"),
    ("kms", "Decrypt", {"keyId": "alias/app"}, "alias/app"),
    ("kms", "Decrypt", {"keyId": f"arn:aws:kms:{REGION}:{A}:alias/app"}, "alias/app"),
    ("kms", "Decrypt", {"encryptionContext": {"keyId": "decoy", "a": "{"}, "keyId": "mrk-1"}, "mrk-1"),
    ("kms", "DeleteAlias", {"aliasName": "alias/app"}, "alias/app"),
    ("kms", "ReEncrypt", {"destinationKeyId": "to", "sourceKeyId": "from"}, "from"),
    ("kms", "ListKeys", {"limit": 5}, ""),
    ("ssm", "GetParameter", {"name": "/app/pw"}, "app/pw"),
    ("ssm", "GetParameter", {"name": "pw"}, "pw"),
    ("ssm", "GetParameter", {"name": f"arn:aws:ssm:{REGION}:{A}:parameter/app/pw"}, "app/pw"),
    ("ssm", "GetParameter", {"name": "/app/pw:12"}, "app/pw"),
    ("ssm", "GetParameter", {"name": "/app/pw:live"}, "app/pw"),
    ("ssm", "GetParameters", {"names": ["/app/pw"]}, "app/pw"),
    ("ssm", "GetParameters", {"names": ["/app/pw", "/app/x"]}, ""),
    ("ssm", "GetParametersByPath", {"path": "/app"}, ""),
    ("ssm", "AddTagsToResource", {"resourceType": "Parameter", "resourceId": "/app/pw"}, "app/pw"),
    ("ssm", "SendCommand", {"documentName": "d", "name": "n"}, ""),
    ("sts", "AssumeRole", {"roleArn": f"arn:aws:iam::{A}:role/x"}, ""),
    ("iam", "AttachRolePolicy", {"roleName": "x"}, ""),
    ("cloudtrail", "StopLogging", {"name": "main"}, ""),
    ("s3", "GetObject", {"bucketName": "b", "name": "x"}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("service", "call", "asked", "name"), NAMES)
def test_each_secret_has_one_name(service: str, call: str, asked: dict[str, Any], name: str) -> None:
    """However a secret is referred to, it has one name; what is about no single secret has none."""
    assert row(service, call, requestParameters=asked)["secret"] == (f"{service}/{name}" if name else "")


def test_a_key_is_known_from_resources() -> None:
    """A request that names no key is about the key among the resources, wherever it stands, however it is spelt."""
    key = {"type": "AWS::KMS::Key", "accountId": A}
    alias = key | {"ARN": f"arn:aws:kms:{REGION}:{A}:alias/app"}
    for spelt in ("ARN", "arn"):
        named = [alias, key | {spelt: f"arn:aws:kms:{REGION}:{A}:key/k-1"}]
        assert row("kms", "Decrypt", resources=named)["secret"] == "kms/k-1"


def test_a_service_event_names_its_secret_beside_the_request() -> None:
    """Secrets Manager tells of its own doing in additionalEventData, and of no caller."""
    got = row(
        "secretsmanager", "RotationSucceeded", eventType="AwsServiceEvent",
        additionalEventData={"SecretId": SECRET + "a-b1c2d3"},
        userIdentity={"accountId": A, "invokedBy": "secretsmanager.amazonaws.com"},
        sourceIPAddress="secretsmanager.amazonaws.com",
    )  # fmt: skip
    assert (got["secret"], got["operation"], got["outcome"]) == ("secretsmanager/a", "rotate", "success")
    assert (got["auth_display_name"], got["auth_token_type"]) == ("secretsmanager.amazonaws.com", "service")
    assert got["client_ip"] is None


WHO = [
    (ROLE, f"arn:aws:iam::{A}:role/app", "service"),
    ({"type": "AssumedRole", "arn": f"arn:aws:sts::{A}:assumed-role/app"}, f"arn:aws:iam::{A}:role/app", "service"),
    ({"type": "AssumedRole", "sessionContext": {"sessionIssuer": {"arn": f"arn:aws:iam::{A}:role/x/y/app"}}},
     f"arn:aws:iam::{A}:role/app", "service"),
    ({"type": "AssumedRole", "arn": f"arn:aws:sts::{A}:assumed-role/AWSReservedSSO_Ops_0a/jo@example.com"},
     "jo@example.com", "human"),
    ({"type": "AssumedRole", "arn": f"arn:aws:sts::{A}:assumed-role/AWSReservedSSO_Audit_1b/jo@example.com"},
     "jo@example.com", "human"),
    ({"type": "AssumedRole", "accountId": B,
      "arn": f"arn:aws:sts::{B}:assumed-role/AWSReservedSSO_Ops_0a/jo@example.com"},
     f"arn:aws:iam::{B}:role/AWSReservedSSO_Ops_0a", "human"),
    ({"type": "AssumedRole", "arn": f"arn:aws:sts::{A}:assumed-role/AWSReservedSSO_Mine/jo@example.com",
      "sessionContext": {"sessionIssuer": {"arn": f"arn:aws:iam::{A}:role/AWSReservedSSO_Mine"}}},
     f"arn:aws:iam::{A}:role/AWSReservedSSO_Mine", "human"),
    ({"type": "AssumedRole", "arn": f"arn:aws:sts::{A}:assumed-role/Ops/jo@example.com"},
     f"arn:aws:iam::{A}:role/Ops", "service"),
    ({"type": "AssumedRole", "sessionContext": {"sessionIssuer": {"arn": f"arn:aws:iam::{A}:role/AWSReservedSSO_O_0"}}},
     f"arn:aws:iam::{A}:role/AWSReservedSSO_O_0", "human"),
    (ROLE | {"invokedBy": "s3.amazonaws.com"}, f"arn:aws:iam::{A}:role/app", "service"),
    ({"type": "IAMUser", "arn": f"arn:aws:iam::{A}:user/jo", "userName": "jo"}, f"arn:aws:iam::{A}:user/jo", "human"),
    ({"type": "IAMUser", "accountId": A, "userName": "jo"}, f"arn:aws:iam::{A}:user/jo", "human"),
    ({"type": "Root", "arn": f"arn:aws:iam::{A}:root", "accountId": A}, f"arn:aws:iam::{A}:root", "root"),
    ({"type": "FederatedUser", "arn": f"arn:aws:sts::{A}:federated-user/jo", "principalId": f"{A}:jo"},
     f"arn:aws:sts::{A}:federated-user/jo", "unknown"),
    ({"type": "AWSService", "invokedBy": "backup.amazonaws.com"}, "backup.amazonaws.com", "service"),
    ({"type": "AWSService"}, "kms.amazonaws.com", "service"),
    ({"accountId": A, "invokedBy": "AWS Internal"}, "kms.amazonaws.com", "service"),
    ({"type": "AWSAccount", "principalId": "AROAOTHER:s", "accountId": B}, "AROAOTHER", "service"),
    ({"type": "AWSAccount", "principalId": "AIDAOTHER", "accountId": B}, "AIDAOTHER", "human"),
    ({"type": "AWSAccount", "principalId": "", "accountId": "ANONYMOUS_PRINCIPAL"}, "anonymous", "anonymous"),
    ({"type": "WebIdentityUser", "userName": "system:serviceaccount:shop:cart", "identityProvider": "x"},
     "system:serviceaccount:shop:cart", "pod"),
    ({"type": "WebIdentityUser", "userName": "repo:o/r",
      "identityProvider": f"arn:aws:iam::{A}:oidc-provider/ci.example.com"},
     "ci.example.com/repo:o/r", "service"),
    ({"type": "SAMLUser", "userName": "jo@example.com", "principalId": "q=:jo@example.com"}, "jo@example.com", "human"),
    ({"type": "IdentityCenterUser", "accountId": A, "onBehalfOf": {"userId": "9067-x"}}, "9067-x", "human"),
    ({"type": "IAMUser", "accountId": A, "userName": "HIDDEN_DUE_TO_SECURITY_REASONS"}, A, "unknown"),
    ({}, "anonymous", "anonymous"),
]  # fmt: skip


@pytest.mark.parametrize(("who", "principal", "kind"), WHO)
def test_each_caller_has_one_stable_name(who: dict[str, Any], principal: str, kind: str) -> None:
    """Sessions, services in between and forms of log-in change nothing of who somebody is."""
    events = DECODER.decode(batch_of(json.dumps(record("kms", "ListKeys", userIdentity=who)).encode())).events
    (named,) = enricher().resolve(events).select("principal", "principal_type").rows()
    assert named == (principal, kind)


def test_people_of_one_role_are_told_apart() -> None:
    """Identity Center names a session after the person: name and id are that one's, also where the session is made."""
    arn = f"arn:aws:sts::{A}:assumed-role/AWSReservedSSO_Ops_0a/jo@example.com"
    got = row(
        "kms", "ListKeys", userIdentity={"type": "AssumedRole", "arn": arn, "principalId": "AROAOPS:jo@example.com"}
    )
    assert (got["auth_display_name"], got["auth_entity"]) == ("jo@example.com", "AROAOPS:jo@example.com")
    answer = {"assumedRoleUser": {"arn": arn, "assumedRoleId": "AROAOPS:jo@example.com"}}
    got = row("sts", "AssumeRoleWithSAML", responseElements=answer)
    assert (got["login_display_name"], got["login_entity"]) == ("jo@example.com", "AROAOPS:jo@example.com")


def test_an_identity_is_its_id_without_the_session() -> None:
    """The id that stays is kept, and the access key is the session."""
    got = row("kms", "ListKeys")
    assert (got["auth_entity"], got["session"]) == ("AROAEXAMPLE", "ASIAEXAMPLE")


OUTCOMES = {
    "denied": (
        "AccessDenied AccessDeniedException UnauthorizedOperation Client.UnauthorizedOperation VpceAccessDenied"
        " KMS.AccessDeniedException NotAuthorizedException ExpiredToken InvalidClientTokenId SignatureDoesNotMatch"
    ),
    "not_found": (
        "ResourceNotFoundException NotFoundException ParameterNotFound NoSuchEntity TrailNotFoundException"
        " Client.InvalidVolume.NotFound"
    ),
    "failure": (
        "ThrottlingException Client.RequestLimitExceeded InvalidRequestException KMSInternalException"
        " DryRunOperationException InvalidNextTokenException InvalidGrantTokenException"
    ),
}


@pytest.mark.parametrize(
    ("code", "outcome"), [(code, word) for word, codes in OUTCOMES.items() for code in codes.split()]
)
def test_error_codes_tell_the_outcome(code: str, outcome: str) -> None:
    """Being refused, asking for what is not there, and everything that went wrong otherwise are kept apart."""
    got = row("secretsmanager", "GetSecretValue", errorCode=code, errorMessage="why")
    assert (got["outcome"], got["error"]) == (outcome, f"{code}: why")


def test_a_key_used_by_the_store_itself_is_an_echo() -> None:
    """One read of a secret is one read; a user agent alone, which any caller can write, hides nothing."""
    own = "secretsmanager.amazonaws.com"
    inside = {"encryptionContext": {"PARAMETER_ARN": f"arn:aws:ssm:{REGION}:{A}:parameter/a"}}
    echoes = [
        record("kms", "Decrypt", userIdentity=ROLE | {"invokedBy": own}),
        record("kms", "Decrypt", sourceIPAddress=own, userAgent=own),
        record("kms", "GenerateDataKey", sourceIPAddress="ssm.amazonaws.com"),
        record("kms", "Decrypt", sourceIPAddress="AWS Internal", requestParameters=inside),
    ]
    reads = [
        record("kms", "Decrypt", userAgent=own),
        record("kms", "Decrypt", requestParameters=inside),
        record("kms", "Decrypt", sourceIPAddress="s3.amazonaws.com"),
        record("kms", "Decrypt", sourceIPAddress="AWS Internal"),
    ]
    assert [(one["operation"], one["discloses_value"]) for one in rows(*echoes)] == [("other", False)] * 4
    assert [(one["operation"], one["discloses_value"]) for one in rows(*reads)] == [("read", True)] * 4


@pytest.mark.parametrize(
    ("source", "address"),
    [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1"), ("s3.amazonaws.com", None), ("AWS Internal", None),
     ("192.0.2.001", None), ("", None)],
)  # fmt: skip
def test_only_addresses_are_addresses(source: str, address: str | None) -> None:
    """AWS writes the names of services where a client's address stands."""
    assert row("kms", "ListKeys", sourceIPAddress=source)["client_ip"] == address


def _policy(principal: Any) -> dict[str, Any]:
    return {"keyId": "k", "policy": json.dumps({"Statement": [{"Principal": principal}]}, indent=1)}


FLAGS = [
    ("kms", "PutKeyPolicy", _policy("*"), ["public"]),
    ("kms", "PutKeyPolicy", _policy({"AWS": ["*"]}), ["public"]),
    ("kms", "PutKeyPolicy", _policy({"AWS": f"arn:aws:iam::{A}:root"}), []),
    ("kms", "PutKeyPolicy", _policy({"AWS": [f"arn:aws:iam::{A}:root", f"arn:aws:iam::{B}:root"]}),
     ["external", "opened_outside"]),
    ("kms", "PutKeyPolicy", _policy({"AWS": B}), ["external", "opened_outside"]),
    ("kms", "CreateGrant", {"keyId": "k", "granteePrincipal": f"arn:aws:iam::{B}:role/x"},
     ["external", "opened_outside"]),
    ("kms", "CreateGrant", {"keyId": "k", "granteePrincipal": f"arn:aws:iam::{A}:role/x"}, []),
    ("kms", "ReEncrypt", {"sourceKeyId": "k", "destinationKeyId": f"arn:aws:kms:eu-west-1:{B}:key/x"}, ["foreign_key"]),
    ("kms", "ReEncrypt", {"sourceKeyId": "k", "destinationKeyId": f"arn:aws:kms:eu-west-1:{A}:key/x"}, []),
    ("secretsmanager", "RotateSecret", {"secretId": "a", "rotationLambdaARN": "arn:x"}, ["rotation_function"]),
    ("secretsmanager", "RotateSecret", {"secretId": "a"}, []),
    ("iam", "CreateAccessKey", {"userName": "jo"}, ["for_another"]),
    ("iam", "CreateLoginProfile", {"userName": "jo"}, ["for_another"]),
    ("iam", "CreateAccessKey", {}, []),
    ("iam", "AttachUserPolicy", {"userName": "jo"}, []),
    ("secretsmanager", "GetSecretValue", {"secretId": "a", "versionStage": "AWSCURRENT"}, []),
    ("secretsmanager", "GetSecretValue", {"secretId": "a", "versionStage": "AWSPREVIOUS"}, ["version"]),
    ("secretsmanager", "GetSecretValue", {"secretId": "a", "versionId": "v"}, ["version"]),
    ("secretsmanager", "DeleteSecret", {"secretId": "a", "forceDeleteWithoutRecovery": True}, ["force"]),
    ("secretsmanager", "DeleteSecret", {"secretId": "a", "recoveryWindowInDays": 7}, []),
    ("secretsmanager", "BatchGetSecretValue", {"filters": [{"key": "name", "values": ["app"]}]}, []),
    ("secretsmanager", "BatchGetSecretValue", {"maxResults": 20}, ["catch_all"]),
    ("ssm", "GetParametersByPath", {"path": "/", "recursive": True, "withDecryption": True}, ["decrypt", "recursive"]),
]  # fmt: skip


@pytest.mark.parametrize(("service", "call", "asked", "flags"), FLAGS)
def test_options_that_matter_are_flags(service: str, call: str, asked: dict[str, Any], flags: list[str]) -> None:
    """Options that a rule may ask for, and nothing else."""
    assert row(service, call, requestParameters=asked)["flags"] == flags


def test_a_key_that_a_user_makes_for_itself_is_for_nobody_else() -> None:
    """By name, whether the request names it or not."""
    me = {"type": "IAMUser", "arn": f"arn:aws:iam::{A}:user/jo", "userName": "jo"}
    asked = {"requestParameters": {"userName": "jo"}, "userIdentity": me}
    assert row("iam", "CreateAccessKey", **asked)["flags"] == []
    asked["requestParameters"] = {"userName": "ann"}
    assert row("iam", "CreateAccessKey", **asked)["flags"] == ["for_another"]


def test_a_caller_of_another_account_is_external() -> None:
    """The record of a key's owner tells of callers from outside."""
    other = {"type": "AWSAccount", "principalId": "AROAOTHER:s", "accountId": B}
    assert row("kms", "Decrypt", userIdentity=other)["flags"] == ["external"]
    asked = {"keyId": "k", "granteePrincipal": f"arn:aws:iam::{B}:role/x"}
    assert row("kms", "CreateGrant", userIdentity=other, requestParameters=asked)["flags"] == ["external"]
    asked = {"sourceKeyId": "k", "destinationKeyId": f"arn:aws:kms:eu-west-1:{B}:key/x"}
    assert row("kms", "ReEncrypt", userIdentity=other, requestParameters=asked)["flags"] == ["external", "foreign_key"]


def test_every_column_is_there_and_those_never_null_are_not() -> None:
    """The least that makes a record gives a whole row."""
    bare = {"eventSource": "kms.amazonaws.com", "eventName": "Decrypt", "eventTime": "2026-03-02T08:00:00Z"}
    events = DECODER.decode(batch_of(json.dumps(bare).encode())).events
    assert events.schema == DECODED
    never = ["operation", "discloses_value", "outcome", "namespace", "mount", "secret", "flags", "clear", "path"]
    assert events.select(pl.col(never).null_count()).row(0) == (0,) * len(never)


TOKEN, VALUE = "FwoGZXIvEXAMPLEtoken", "correct horse"
SECRETS = [
    ({"responseElements": {"credentials": {"accessKeyId": "ASIA", "sessionToken": TOKEN}}}, False),
    ({"requestParameters": {"secretString": VALUE}}, True),
    ({"requestParameters": {"SecretBinary": VALUE}}, True),
    ({"requestParameters": {"a": [{"password": [VALUE]}]}}, True),
    ({"responseElements": {"plaintext": {"x": VALUE}}}, True),
    ({"additionalEventData": {"clientSecret": VALUE, "sessionToken": TOKEN}}, True),
    ({"eventName": "PutParameter", "requestParameters": {"name": "a", "value": VALUE}}, True),
]  # fmt: skip


@pytest.mark.parametrize(("more", "shown"), SECRETS)
@pytest.mark.parametrize("wrapped", [False, True])
def test_values_are_taken_out(more: dict[str, Any], shown: bool, wrapped: bool) -> None:
    """No secret stays in what is kept; that a session's token is in a record is nobody's mistake."""
    body = record("ssm", "Any", **more)
    text = json.dumps({"detail": body} if wrapped else body).encode()
    decoded = DECODER.decode(batch_of(text))
    kept = decoded.replaced[0].decode()
    assert TOKEN not in kept
    assert VALUE not in kept
    assert decoded.events["clear"].to_list() == [shown]
    again = DECODER.decode(batch_of(kept.encode()))
    assert not again.replaced


@pytest.mark.parametrize("hidden", ["HIDDEN_DUE_TO_SECURITY_REASONS", "****", "", "[redacted]", None, True, {}, []])
def test_placeholders_stay(hidden: Any) -> None:
    """What AWS hid itself is left as it is: the very same object."""
    body = record("ssm", "PutParameter", requestParameters={"value": hidden, "password": hidden})
    cleaned, shown = clean(body)
    assert cleaned is body
    assert not shown


def test_every_value_taken_out_is_suspected() -> None:
    """What would be taken out of an entry is seen in its text, so that no such line goes by unread."""
    starts = [
        "H", "HI", "HID", "HIDD", "HIDDE", "HIDDEN", "*", "**a", "[", "[r", "[re", "a", "\\", '"', "é", "{", " ", 1, -1,
        ["a"],
    ]  # fmt: skip
    values = [f"{start}{end}" if isinstance(start, str) else start for start in starts for end in ("", "x", '"', "\\")]
    bodies = [record("ssm", "PutParameter", requestParameters={"value": value}) for value in values]
    bodies += [record("ssm", "X", responseElements={"sessionToken": value}) for value in values]
    changed = [body for body in bodies if clean(body)[0] is not body]
    texts = pl.Series([json.dumps(body, separators=sep) for body in changed for sep in ((",", ":"), (", ", ": "))])
    assert len(changed) > 100
    assert texts.str.contains(SUSPECTS).all()


def test_records_are_known_bare_and_wrapped() -> None:
    """A record by itself, in an EventBridge event, an Insights record; nothing else."""
    body = record("kms", "Decrypt")
    assert found(body) is body
    assert found({"detail-type": "AWS API Call via CloudTrail", "detail": body}) is body
    assert found({"eventVersion": "1.08", "eventType": "AwsCloudTrailInsight"}) is not None
    for other in ({}, {"detail": "x"}, {"detail": {}}, {"eventSource": 1, "eventName": "x"}, {"eventVersion": "1"}):
        assert found(other) is None
