"""Credentials made for others: tokens, wrapping tokens, secret-ids, lock-outs."""

from __future__ import annotations

from typing import Final

from detectors.invariant.rule import (
    NEVER,
    RARE,
    Rule,
    at,
    beyond,
    changes,
    flag,
    has,
    is_one,
    is_vault,
    least,
    matches,
    more,
    under,
    verb,
    writes,
)

LONG_TTL: Final = least("token_ttl", "long_ttl")
_LONGER_TTL: Final = more("token_ttl", "long_ttl")  # a log-in under the server's own default is no news
_CREATES: Final = r"^auth/token/create(-orphan)?(/|$)"
_ACCOUNT: Final = ("T1098.001", "T1136")

GATE: Final = (
    at(r"^auth/token/(create|roles|accessors)|/(custom-)?secret-id$|^sys/locked-users/")
    | (under("sys/wrapping/") & ~is_one("outcome", "success"))
    | matches("error", "(?i)lock")
    | LONG_TTL
)

RULES: Final = (
    Rule(
        "token_orphan",
        "Orphan token issued",
        "medium",
        is_vault() & at(_CREATES) & writes() & (at(r"^auth/token/create-orphan") | flag("no_parent")),
        "{who} had a token issued that outlives its parent",
        "Ask for the reason. Revoking the parent does not reach it: revoke it by its accessor when nobody needs it.",
        _ACCOUNT,
        RARE,
    ),
    Rule(
        "token_periodic",
        "Token without an end issued",
        "medium",
        is_vault() & at(_CREATES) & writes() & flag("period"),
        "{who} had a periodic token issued, which can be renewed for ever",
        "Ask for the reason; prefer an auth method whose tokens end.",
        ("T1550.001", "T1098.001"),
        RARE,
    ),
    Rule(
        "token_long_lived",
        "Token with a very long life issued",
        "medium",
        is_vault() & writes() & ((at(_CREATES) & LONG_TTL) | (at(r"^auth/.*login") & _LONGER_TTL)),
        "{who} had a token issued that lives {ttl}",
        "Shorten the role's or the mount's maximum; revoke this token when its reason has gone.",
        ("T1550.001",),
        "less than the long_ttl_days of the configuration",
        outcomes=("success",),
    ),
    Rule(
        "token_beyond",
        "Token issued with policies its maker lacks",
        "medium",
        is_vault() & at(_CREATES) & writes() & beyond("login_policies", "policies") & ~has("policies", "root"),
        "{who} had a token issued with policies that it does not hold itself: {path}",
        "Ask which policies it asked for and why. If nobody knows: revoke the token by its accessor, read what was done"
        " with it (view operations, by session), and narrow the token role or the sudo right that allowed it.",
        ("T1098.001", "T1548"),
        RARE,
        outcomes=("success",),
    ),
    Rule(
        "token_role",
        "Token role changed",
        "medium",
        is_vault() & at(r"^auth/token/roles/.") & changes(),
        "{who} changed the token role {name}",
        "Check allowed policies, period and orphan in the change.",
        ("T1098.001",),
    ),
    Rule(
        "token_accessors_listed",
        "All token accessors listed",
        "medium",
        is_vault() & at(r"^auth/token/accessors$") & verb("list"),
        "{who} listed the accessors of all tokens",
        "Normal for a clean-up by an administrator; otherwise the first step of a mass revocation: ask the caller.",
        ("T1087", "T1531"),
        RARE,
    ),
    Rule(
        "unwrap_refused",
        "Wrapped secret could not be unwrapped",
        "medium",
        is_vault() & at(r"^sys/wrapping/(unwrap|rewrap)$") & writes(),
        "{who} could not unwrap a secret: the wrapping token was used before, ended, or never existed",
        "Ask the intended receiver whether they unwrapped it. If not, someone in between did: revoke what was wrapped"
        " and issue it anew.",
        ("T1528", "T1557"),
        "each wrapping token is unwrapped once, by its receiver",
        0.7,
        outcomes=("denied", "not_found", "failure"),
        lowered=False,
    ),
    Rule(
        "secret_id_issued",
        "AppRole secret-id issued",
        "low",
        is_vault() & at(r"^auth/.+/role/[^/]+/(custom-)?secret-id$") & writes(),
        "{who} had a secret-id issued: {path}",
        "Check that the deployment system did this for a deployment of that role.",
        ("T1098.001",),
        "by the deployment system, at deployments",
        once="principal",
    ),
    Rule(
        "locked_out",
        "Account locked out",
        "low",
        is_vault() & matches("error", r"(?i)\buser (is )?locked|locked out|user lockout"),
        "log-in as {who} is locked after failed attempts",
        "Ask the account's owner. Failed log-ins to many accounts from one address are reported as denials.",
        ("T1110",),
        NEVER,
        lowered=False,
        once="principal",
    ),
    Rule(
        "unlocked",
        "Locked account released",
        "low",
        is_vault() & at(r"^sys/locked-users/.+/unlock/") & writes(),
        "{who} released a locked account: {path}",
        "Check that the account's owner asked for it.",
        ("T1110",),
        RARE,
    ),
)
