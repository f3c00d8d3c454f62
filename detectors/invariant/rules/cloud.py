"""The same promises in AWS, Google Cloud, Azure and Kubernetes."""

from __future__ import annotations

from typing import Final

from detectors.invariant.rule import RARE, Rule, calls, flag, is_one, matches, verb

_TRAIL_OFF: Final = (
    calls("aws", "StopLogging", "DeleteTrail", "DeleteEventDataStore", "StopEventDataStoreIngestion")
    | calls("gcp", "DeleteSink", "DeleteLog", "DeleteBucket")
    | (is_one("store", "azure") & matches("verb", r"diagnosticsettings/delete$"))
)
_TRAIL_CHANGED: Final = (
    calls("aws", "UpdateTrail", "PutEventSelectors", "PutInsightSelectors", "UpdateEventDataStore")
    | calls("gcp", "UpdateSink", "UpdateBucket", "UpdateBucketAsync", "CreateExclusion", "UpdateExclusion")
    | calls("gcp", "UpdateSettings")
    | flag("audit_config")  # which reads of a project are logged at all
)
_KEY_GONE: Final = (
    calls("aws", "DisableKey", "ScheduleKeyDeletion", "DeleteImportedKeyMaterial", "DeleteCustomKeyStore")
    | calls("gcp", "DestroyCryptoKeyVersion")
    | calls("azure", "KeyPurge")
)
_VAULT_GONE: Final = calls("azure", "VaultDelete", "VaultPurge")
_SECRET_GONE: Final = (
    calls("aws", "DeleteSecret", "DeleteParameter", "DeleteParameters")
    | calls("gcp", "DeleteSecret", "DestroySecretVersion")
    | calls("azure", "SecretDelete", "SecretPurge", "KeyDelete", "CertificateDelete", "CertificatePurge")
    | (is_one("store", "kubernetes") & is_one("engine", "secrets") & verb("deletecollection"))
)
_ACCESS: Final = (
    calls("aws", "PutResourcePolicy", "DeleteResourcePolicy", "PutKeyPolicy")
    | calls("gcp", "SetIamPolicy")
    | calls("azure", "VaultPut", "VaultPatch", "VaultAccessPolicyChangedEventGridNotification")
)
_CLUSTER_WIDE: Final = (
    is_one("store", "kubernetes")
    & verb("list", "watch")
    & matches("path", r"^/api/v1/(watch/)?secrets(\?|$)")
    & ~matches("principal", r"^system:(?:kube-|apiserver|node:|serviceaccount:kube-system:)")
)

GATE: Final = ~is_one("store", "vault")

RULES: Final = (
    Rule(
        "trail_stopped",
        "Audit trail stopped or deleted",
        "critical",
        _TRAIL_OFF,
        "{who} stopped or deleted an audit trail ({verb})",
        "Turn the trail on again now. Then find the change; without one, disable the caller's credentials.",
        ("T1562.008",),
        "never in normal running",
    ),
    Rule(
        "trail_changed",
        "Audit trail changed",
        "high",
        _TRAIL_CHANGED,
        "{who} changed what an audit trail records ({verb})",
        "Compare with code: a narrower selection hides reads from every later check.",
        ("T1562.008",),
    ),
    Rule(
        "cloud_key_disabled",
        "Encryption key disabled or set to be deleted",
        "high",
        _KEY_GONE,
        "{who} disabled the key {secret} or set it to be deleted ({verb})",
        "Cancel the deletion or enable the key unless its owner planned this; data under it cannot be read meanwhile.",
        ("T1485",),
    ),
    Rule(
        "key_vault_deleted",
        "Key vault deleted",
        "high",
        _VAULT_GONE,
        "{who} deleted a key vault ({verb})",
        "Recover it while soft deletion holds; find the change.",
        ("T1485",),
    ),
    Rule(
        "cloud_secret_deleted",
        "Secret deleted",
        "low",
        _SECRET_GONE,
        "{who} deleted {secret} ({verb})",
        "Restore it within the recovery window if its owner did not ask for this.",
        ("T1485",),
        RARE,
    ),
    Rule(
        "cloud_access_changed",
        "Access to secrets or keys changed",
        "medium",
        _ACCESS,
        "{who} changed who may use {secret} ({verb})",
        "Look in the new policy for outside accounts and wildcards; compare with code.",
        ("T1098", "T1548.005"),
    ),
    Rule(
        "rotation_cancelled",
        "Rotation switched off",
        "medium",
        calls("aws", "CancelRotateSecret", "DisableKeyRotation"),
        "{who} switched off the rotation of {secret}",
        "Ask the owner; switch it on again or write down the exception with an end.",
        ("T1562",),
    ),
    Rule(
        "key_material_backed_up",
        "Key vault object backed up",
        "medium",
        calls("azure", "SecretBackup", "KeyBackup", "CertificateBackup"),
        "{who} took a backup of {secret}",
        "A backup can be restored in another vault of the subscription. Check that the backup job did this.",
        ("T1552.004", "T1530"),
        RARE,
    ),
    Rule(
        "cluster_secrets_listed",
        "Secrets of the whole cluster listed",
        "high",
        _CLUSTER_WIDE,
        "{who} listed the secrets of all namespaces, values included",
        "Ask the caller. If there is no reason: take the right away and rotate what the cluster holds.",
        ("T1552.007", "T1613"),
        RARE,
        once="principal",
    ),
)
