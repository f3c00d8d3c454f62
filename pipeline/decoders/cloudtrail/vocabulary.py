"""From a service and the name of its call to the one vocabulary of operations (SOURCES section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVICE: Final = pl.col("service")
CALL: Final = pl.col("event_name")

# Services whose requests are read for names; of others only what every record tells.
NAMED_IN_REQUEST: Final = ("secretsmanager", "kms", "ssm", "sts", "iam", "cloudtrail")

_CALLS: Final[Mapping[str, Mapping[str, str]]] = {
    "secretsmanager": {
        "read": "GetSecretValue BatchGetSecretValue",
        "list": "ListSecrets DescribeSecret ListSecretVersionIds GetResourcePolicy ValidateResourcePolicy",
        "write": (
            "CreateSecret PutSecretValue UpdateSecret UpdateSecretVersionStage RestoreSecret ReplicateSecretToRegions"
            " StopReplicationToReplica TagResource UntagResource"
        ),
        "delete": (
            "DeleteSecret RemoveRegionsFromReplication"
            " StartSecretVersionDelete CancelSecretVersionDelete EndSecretVersionDelete"
        ),
        "rotate": (
            "RotateSecret CancelRotateSecret RotationStarted RotationSucceeded RotationFailed RotationAbandoned"
            " TestRotationStarted TestRotationSucceeded TestRotationFailed"
        ),
        "policy": "PutResourcePolicy DeleteResourcePolicy",
        "other": "GetRandomPassword",
    },
    "kms": {
        "read": (
            "Decrypt GenerateDataKey GenerateDataKeyWithoutPlaintext GenerateDataKeyPair"
            " GenerateDataKeyPairWithoutPlaintext ReEncrypt ReEncryptFrom ReEncryptTo Sign GenerateMac Encrypt"
            " DeriveSharedSecret"
        ),
        "list": (
            "ListKeys ListAliases ListGrants ListRetirableGrants ListKeyPolicies ListKeyRotations ListResourceTags"
            " DescribeKey DescribeCustomKeyStores GetKeyPolicy GetKeyRotationStatus GetPublicKey GetParametersForImport"
        ),
        "write": (
            "CreateKey ImportKeyMaterial EnableKey CreateAlias UpdateAlias DeleteAlias UpdateKeyDescription TagResource"
            " UntagResource ReplicateKey UpdatePrimaryRegion SynchronizeMultiRegionKey CreateCustomKeyStore"
            " UpdateCustomKeyStore ConnectCustomKeyStore DisconnectCustomKeyStore"
        ),
        "delete": (
            "DisableKey ScheduleKeyDeletion CancelKeyDeletion DeleteImportedKeyMaterial DeleteExpiredKeyMaterial"
            " DeleteKey DeleteCustomKeyStore"
        ),
        "rotate": "EnableKeyRotation DisableKeyRotation RotateKeyOnDemand RotateKey",
        "policy": "PutKeyPolicy CreateGrant RevokeGrant RetireGrant",
        "other": "Verify VerifyMac GenerateRandom",
    },
    "ssm": {
        "read": "GetParameter GetParameters GetParametersByPath GetParameterHistory",
        "list": "DescribeParameters",
        "write": "PutParameter LabelParameterVersion UnlabelParameterVersion",
        "delete": "DeleteParameter DeleteParameters",
        "policy": "PutResourcePolicy DeleteResourcePolicy",
    },
    "sts": {
        "auth": (
            "AssumeRole AssumeRoleWithSAML AssumeRoleWithWebIdentity AssumeRoot GetSessionToken GetFederationToken"
            " GetDelegatedAccessToken GetWebIdentityToken"
        ),
        "list": "GetCallerIdentity GetAccessKeyInfo DecodeAuthorizationMessage",
    },
    "iam": {
        "auth": "CreateAccessKey CreateServiceSpecificCredential ResetServiceSpecificCredential",
        "revoke": "DeleteAccessKey DeleteServiceSpecificCredential DeleteSigningCertificate DeleteSSHPublicKey",
    },
    "signin": {
        "auth": (
            "ConsoleLogin SwitchRole ExitRole RenewRole GetSigninToken CheckMfa CredentialChallenge"
            " CredentialVerification UserAuthentication Federate"
        )
    },
    "sso": {"auth": "Authenticate Federate GetRoleCredentials", "revoke": "Logout"},
    "sso-oauth": {"auth": "CreateToken CreateTokenWithIAM"},
    "rolesanywhere": {"auth": "CreateSession"},
    "eks-auth": {"auth": "AssumeRoleForPodIdentity"},
    "ecr": {"auth": "GetAuthorizationToken"},
    "cognito-identity": {"auth": "GetCredentialsForIdentity GetOpenIdToken"},
    "cloudtrail": {"list": "StartQuery CancelQuery GenerateQuery", "other": "AddTags RemoveTags"},
}
_OPERATIONS: Final = {
    f"{service}:{call}": operation
    for service, operations in _CALLS.items()
    for operation, calls in operations.items()
    for call in calls.split()
}

# Calls that put a value, a plain key or plain text into the caller's hands.
_DISCLOSING: Final = (
    *(f"secretsmanager:{call}" for call in _CALLS["secretsmanager"]["read"].split()),
    *(f"ssm:{call}" for call in _CALLS["ssm"]["read"].split()),
    *(f"kms:{call}" for call in ("Decrypt", "GenerateDataKey", "GenerateDataKeyPair", "DeriveSharedSecret")),
)
# Key uses that Secrets Manager and Parameter Store make of their own for each value they are asked for.
_ECHOED: Final = ("Decrypt", "GenerateDataKey", "Encrypt", "ReEncrypt")

_ASKS: Final = r"^(?:BatchGet|Get|List|Describe|Lookup|Search|Head|Scan|Query|Simulate|Generate.*Report|Validate)"
_ACCESS: Final = r"Policy|Policies|Permission|Grant|Acl$|AccessControl|Membership|AccountAssignment"

_FULL: Final = SERVICE + ":" + CALL
DISCLOSING: Final = _FULL.is_in(_DISCLOSING)
ECHOED: Final = (SERVICE == "kms") & CALL.is_in(_ECHOED)


def operation() -> pl.Expr:
    """The class of a call, over `service`, `event_name`, `read_only` (text), `decrypting` (null where not told)."""
    asked = (pl.col("read_only") == "true") | (pl.col("read_only").is_null() & CALL.str.contains(_ASKS))
    told = _FULL.replace_strict(_OPERATIONS, default=None, return_dtype=pl.String)
    bare = (SERVICE == "ssm") & (told == "read") & ~pl.col("decrypting")
    return (
        pl.when(bare.fill_null(value=False))
        .then(pl.lit("list"))
        .when(told.is_not_null())
        .then(told)
        .when(asked.fill_null(value=False))
        .then(pl.lit("list"))
        .when((SERVICE == "cloudtrail") & ~CALL.str.starts_with("Aws"))  # a type of record stands for its call
        .then(pl.lit("audit_control"))
        .when((SERVICE == "iam") | CALL.str.contains(_ACCESS))
        .then(pl.lit("policy"))
        .otherwise(pl.lit("other"))
    )
