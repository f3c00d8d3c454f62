"""The root token: its use, its making, and the ceremony that makes a new one."""

from __future__ import annotations

from typing import Final

from detectors.invariant.rule import NEVER, RARE, Rule, at, flag, has, is_one, is_vault, under, verb, writes

_ROOT_POLICY: Final = has("policies", "root")
_MINTS_ROOT: Final = has("login_policies", "root")
_CEREMONY: Final = r"^sys/generate-(root|recovery-token)/"

GATE: Final = is_one("principal_type", "root") | _ROOT_POLICY | _MINTS_ROOT | under("sys/generate-")

RULES: Final = (
    Rule(
        "root_use",
        "Root token used",
        "medium",
        is_vault() & (is_one("principal_type", "root") | _ROOT_POLICY),
        "{who} used root rights for {verb} on {path}",
        "Ask who holds the root token and for which change. If nobody claims it: revoke it by its accessor, then list"
        " all it did (view operations, principal root).",
        ("T1078",),
        RARE,
        lowered=False,
    ),
    Rule(
        "root_minted",
        "Token with root rights issued",
        "high",
        is_vault() & _MINTS_ROOT & ~at(r"/renew|/lookup"),
        "{who} had a token with the root policy issued through {path}",
        "Find the change that asked for it. Otherwise revoke the new token by its accessor and review the identity that"
        " asked for it.",
        ("T1098", "T1078"),
        NEVER,
    ),
    Rule(
        "generate_root_started",
        "Root token generation started",
        "high",
        is_vault() & at(_CEREMONY + "attempt$") & writes(),
        "{who} started a root token generation",
        "Ask the key holders whether this ceremony is theirs. If not: cancel it (DELETE sys/generate-root/attempt) and"
        " treat the unseal keys as known to others.",
        ("T1098", "T1078"),
        NEVER,
    ),
    Rule(
        "generate_root_progress",
        "Key share given to a root token generation",
        "high",
        is_vault() & at(_CEREMONY + "update$") & writes() & ~flag("complete"),
        "{who} gave a key share to a root token generation",
        "Ask the key holders. If it is not theirs: cancel the ceremony and rekey the store.",
        ("T1098", "T1078"),
        NEVER,
    ),
    Rule(
        "generate_root_complete",
        "Root token generated",
        "critical",
        is_vault() & at(_CEREMONY + "update$") & writes() & flag("complete"),
        "{who} completed a root token generation",
        "If the key holders do not know of it: revoke every token with the root policy, rekey the store, and review"
        " everything since (view operations).",
        ("T1098", "T1078"),
        NEVER,
    ),
    Rule(
        "generate_root_cancelled",
        "Root token generation cancelled",
        "medium",
        is_vault() & at(_CEREMONY + "attempt$") & verb("delete"),
        "{who} cancelled a root token generation",
        "Find out who started it and why it was stopped; a ceremony nobody owns points to stolen key shares.",
        ("T1098",),
        NEVER,
    ),
)
