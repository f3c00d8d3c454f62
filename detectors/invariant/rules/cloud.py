"""The same promises in AWS, Google Cloud, Azure and Kubernetes."""

from __future__ import annotations

from typing import Final

from detectors.invariant.rule import NEVER, RARE, Rule, calls, flag, is_one, matches, true, verb

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
)
_CLUSTER_SECRETS: Final = is_one("store", "kubernetes") & is_one("engine", "secrets")
_OF_CLUSTER: Final = matches("principal", r"^system:(?:kube-|apiserver|node:|serviceaccount:kube-system:)")
_ALL_OF_NAMESPACE: Final = _CLUSTER_SECRETS & verb("deletecollection") & ~_OF_CLUSTER
_GIVING: Final = (
    "PutResourcePolicy", "PutKeyPolicy", "CreateGrant", "CreateKey", "UpdateAssumeRolePolicy", "CreateRole",
)  # fmt: skip
_OPENED: Final = (calls("aws", *_GIVING) & flag("opened_outside", "public")) | (
    calls("gcp", "SetIamPolicy") & flag("public")
)
_ACCESS: Final = (
    calls("aws", "PutResourcePolicy", "DeleteResourcePolicy", "PutKeyPolicy")
    | calls("gcp", "SetIamPolicy")
    | calls("azure", "VaultPut", "VaultPatch", "VaultAccessPolicyChangedEventGridNotification")
) & ~_OPENED
_CLUSTER_WIDE: Final = (
    is_one("store", "kubernetes")
    & verb("list", "watch")
    & matches("path", r"^/api/v1/(watch/)?secrets(\?|$)")
    & ~_OF_CLUSTER
)
_BINDINGS: Final = is_one("store", "kubernetes") & is_one("engine", "clusterrolebindings")
_BOUND: Final = _BINDINGS & verb("create", "update", "patch") & ~flag("dry_run") & ~_OF_CLUSTER
_ADMIN: Final = _BOUND & flag("cluster_admin")
_USER_RIGHTS: Final = calls("aws", "AttachUserPolicy", "PutUserPolicy") | (
    calls("aws", "UpdateAssumeRolePolicy") & ~flag("opened_outside", "public")
)
_NAMELESS: Final = is_one("store", "kubernetes", "gcp") & is_one("principal", "anonymous") & true("discloses_value")

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
        "cloud_opened_outside",
        "Opened to another account",
        "high",
        _OPENED,
        "{who} let another account, or everybody, use {path} ({verb})",
        "See which account the new policy or grant names. If it is none of yours: take it back now, and rotate what it"
        " could be read with.",
        ("T1098", "T1537"),
        RARE,
        once="principal",
    ),
    Rule(
        "encrypted_for_others",
        "Encrypted anew under another account's key",
        "high",
        calls("aws", "ReEncrypt") & flag("foreign_key"),
        "{who} had what {secret} encrypts encrypted anew under the key of another account",
        "Who holds that key holds the data. Stop the caller's credentials, and keep the old ciphertexts and their key.",
        ("T1486", "T1537"),
        once="principal",
    ),
    Rule(
        "credentials_for_another",
        "Lasting credentials made for another",
        "medium",
        is_one("store", "aws") & flag("for_another"),
        "{who} made an access key or password for the user {path} ({verb})",
        "Ask what the user is for. If nobody knows: delete key and user, and look at what it did since (view"
        " operations, by principal).",
        ("T1098.001", "T1136.003"),
        RARE,
        once="actor",
    ),
    Rule(
        "federation_token",
        "Federation token issued",
        "medium",
        calls("aws", "GetFederationToken"),
        "{who} had credentials made that outlive its own key's deletion (GetFederationToken)",
        "Hardly any program needs these. Ask the owner; else delete the user's key, and deny by policy whatever was"
        " issued before now.",
        ("T1550.001", "T1098.001"),
        RARE,
        once="actor",
    ),
    Rule(
        "user_rights",
        "Rights given to a user or trust of a role changed",
        "medium",
        _USER_RIGHTS,
        "{who} gave rights to a user directly, or changed who may take a role: {path} ({verb})",
        "Compare with code. Look for log-ins and reads by that user or role since (view operations, by principal).",
        ("T1098.003", "T1548"),
        RARE,
        once="actor",
    ),
    Rule(
        "secret_replicated",
        "Secret copied to another region",
        "medium",
        calls("aws", "ReplicateSecretToRegions"),
        "{who} had {secret} copied to another region",
        "Check that its owner wanted the copy. Else remove it there, and look for reads in that region.",
        ("T1074.002", "T1530"),
        RARE,
    ),
    Rule(
        "rotation_function",
        "Rotation of a secret given to a function",
        "medium",
        calls("aws", "RotateSecret") & flag("rotation_function"),
        "{who} named the function that rotates {secret}, which reads and writes its value",
        "Check that function and its role. If it is not the one in code: cancel the rotation, and rotate by hand.",
        ("T1098", "T1556"),
        RARE,
    ),
    Rule(
        "anonymous_read",
        "Secrets given to nobody in particular",
        "critical",
        _NAMELESS,
        "somebody without any identity was given {path}",
        "Close it now: take the right from anonymous callers or from everybody, then rotate what was read.",
        ("T1552.007", "T1190"),
        NEVER,
        outcomes=("success",),
        once="actor",
    ),
    Rule(
        "secrets_as_another",
        "Secrets asked for in another's name",
        "medium",
        _CLUSTER_SECRETS & flag("impersonated") & ~_OF_CLUSTER,
        "{who} asked for {path} in the name of another (impersonation)",
        "Ask the caller. Proxies that log people in do this all day; a person or pod that does it goes round its own"
        " rights.",
        ("T1134", "T1552.007"),
        RARE,
        once="actor",
    ),
    Rule(
        "namespace_secrets_deleted",
        "All secrets of a namespace deleted",
        "high",
        _ALL_OF_NAMESPACE,
        "{who} deleted secrets of a whole namespace at once ({path})",
        "Restore them from a backup if this was not the end of the namespace, and ask whoever did it.",
        ("T1485",),
        RARE,
    ),
    Rule(
        "cluster_admin_given",
        "Rights over the whole cluster given",
        "high",
        _ADMIN,
        "{who} bound somebody to cluster-admin ({path})",
        "See who was bound. If there is no change for it: delete the binding, and look at what they did since.",
        ("T1098.006",),
        RARE,
        once="principal",
    ),
    Rule(
        "cluster_binding",
        "Cluster-wide rights changed by hand",
        "medium",
        _BOUND & ~flag("cluster_admin") & is_one("principal_type", "human"),
        "{who} changed who has rights in the whole cluster ({path})",
        "Compare with code; look at what the bound subject did since.",
        ("T1098.006",),
        RARE,
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
