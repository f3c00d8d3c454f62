"""Who may do what: policies, auth methods and their roles, mounts."""

from __future__ import annotations

from typing import Final

from detectors.invariant.rule import RARE, Rule, asks, at, changes, flag, is_vault, under, verb, writes

_ACCOUNT: Final = ("T1098",)
_IDENTITIES: Final = r"^auth/.+/(config|tls|identity-accesslist|sts|roles?|users?|groups?|certs|duo|map)(/|$)"
_ROLES: Final = r"^auth/.+/(roles?|users?|groups?|certs|map/[a-z-]+)/."
_ACCOUNT_PATH: Final = r"^auth/.+/users/[^/]+(/policies)?$"
_TUNE: Final = r"/tune$"
_TUNED: Final = r"^sys/(auth|mounts)/."  # also while it is made

GATE: Final = (under("sys/polic", "sys/auth", "sys/mounts", "sys/remount") | at(_IDENTITIES)) & ~asks()

RULES: Final = (
    Rule(
        "policy_written",
        "Policy written",
        "medium",
        is_vault() & at(r"^sys/(policy|policies/(acl|rgp|egp))/.") & writes(),
        "{who} wrote the policy {name}",
        "Compare the policy with its source in version control. Look for wildcards and sudo, and for log-ins or reads"
        " by the same caller right after.",
        ("T1098", "T1484"),
    ),
    Rule(
        "policy_deleted",
        "Policy deleted",
        "medium",
        is_vault() & at(r"^sys/(policy|policies/(acl|rgp|egp))/.") & verb("delete"),
        "{who} deleted the policy {name}",
        "Find the change; check which roles and tokens named this policy and whether they are now refused.",
        ("T1098", "T1531"),
    ),
    Rule(
        "password_policy",
        "Password policy changed",
        "low",
        is_vault() & at(r"^sys/policies/password/[^/]+$") & changes(),
        "{who} changed the password policy {name}",
        "Check that the rules for generated passwords were not weakened.",
        ("T1556",),
    ),
    Rule(
        "auth_enabled",
        "Auth method enabled",
        "medium",
        is_vault() & at(r"^sys/auth/.") & ~at(_TUNE) & writes(),
        "{who} enabled an auth method at {name}",
        "Check with the platform owner. A new way to log in is a way around every other one: review its roles and the"
        " log-ins through it.",
        ("T1556", "T1098"),
    ),
    Rule(
        "auth_disabled",
        "Auth method disabled",
        "high",
        is_vault() & at(r"^sys/auth/.") & verb("delete"),
        "{who} disabled the auth method at {name}; all its tokens are revoked with it",
        "If unplanned: enable it again from code, and expect every workload that used it to be refused until then.",
        ("T1531",),
    ),
    Rule(
        "audit_keys_unhashed",
        "Values of a mount to stand in the trail unhashed",
        "high",
        is_vault() & at(_TUNED) & writes() & flag("audit_non_hmac"),
        "{who} set which keys of {path} the audit trail keeps without hashing",
        "Read audit_non_hmac_request_keys and audit_non_hmac_response_keys of the mount. Keys that hold secrets: take"
        " them out, restrict who reads the trail, and rotate what was read since.",
        ("T1562.008", "T1552.001"),
        confidence=0.8,
    ),
    Rule(
        "auth_tuned",
        "Auth method tuned",
        "low",
        is_vault() & at(r"^sys/(auth/.+|mounts/auth/.+)/tune$") & writes() & ~flag("audit_non_hmac"),
        "{who} changed how the auth method {path} behaves",
        "Look at lifetimes and token type in the change.",
        ("T1556",),
    ),
    Rule(
        "auth_config",
        "Auth method configuration changed",
        "medium",
        is_vault() & at(r"^auth/.+/(config|tls|identity-accesslist|sts)(/|$)") & ~at(r"/(login|role)s?/") & changes(),
        "{who} changed whom an auth method trusts: {path}",
        "Compare issuer, keys, hosts and bound values with the configuration as code.",
        ("T1556", "T1484"),
    ),
    Rule(
        "auth_account",
        "Account made or given rights",
        "medium",
        is_vault() & at(_ACCOUNT_PATH) & writes(),
        "{who} made an account or changed its rights: {path}",
        "Ask whose account it is. If nobody knows: delete it, revoke its tokens, and read what it did (view operations,"
        " by principal).",
        ("T1136", "T1098"),
        RARE,
    ),
    Rule(
        "auth_unbound",
        "Bounds of an auth role taken away",
        "medium",
        is_vault() & at(_ROLES) & verb("update", "patch") & flag("bound=none"),
        "{who} took a bound away from who may log in by {path}",
        "Compare the role with its source in version control: claims, subjects, accounts and networks that it admits."
        " Put the bound back, and look for log-ins by the role since.",
        ("T1556", "T1098"),
        RARE,
    ),
    Rule(
        "auth_role",
        "Auth role, user or group changed",
        "low",
        is_vault()
        & at(r"^auth/.+/(roles?|users?|groups?|certs|duo|map/[a-z-]+)/.")
        & ~at(r"^auth/token/|/(custom-)?secret-id|/login(/|$)|/role-id$")
        & ~(at(_ACCOUNT_PATH) & writes())
        & ~(verb("update", "patch") & flag("bound=none"))
        & changes(),
        "{who} changed an identity of an auth method: {path}",
        "Check policies, bound values and lifetimes against the configuration as code.",
        _ACCOUNT,
        RARE,
    ),
    Rule(
        "mount_enabled",
        "Secrets engine mounted",
        "low",
        is_vault() & at(r"^sys/mounts/.") & ~at(_TUNE) & writes(),
        "{who} mounted a secrets engine at {name}",
        "Check the change; add the mount to the inventory.",
        _ACCOUNT,
    ),
    Rule(
        "mount_tuned",
        "Secrets engine tuned",
        "low",
        is_vault() & at(r"^sys/mounts/.+/tune$") & ~at(r"^sys/mounts/auth/") & writes() & ~flag("audit_non_hmac"),
        "{who} changed how the secrets engine {path} behaves",
        "Look at lifetimes and who is let through in the change.",
        ("T1562.008",),
    ),
    Rule(
        "mount_disabled",
        "Secrets engine disabled",
        "high",
        is_vault() & at(r"^sys/mounts/.") & verb("delete"),
        "{who} disabled the secrets engine at {name}; its data and leases are gone with it",
        "If unplanned: stop further deletions by revoking the caller's token, and restore from the newest snapshot.",
        ("T1485",),
    ),
    Rule(
        "mount_moved",
        "Secrets engine or auth method moved",
        "medium",
        is_vault() & at(r"^sys/remount(/|$)") & writes(),
        "{who} moved a mount to another path",
        "Check the change. Policies written for the old path no longer protect it, and its consumers are refused.",
        ("T1531", "T1484"),
    ),
)
