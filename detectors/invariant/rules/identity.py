"""Vault's identity store: who is whom."""

from __future__ import annotations

from typing import Final

from detectors.invariant.rule import RARE, Rule, asks, at, changes, flag, is_vault, under, writes

GATE: Final = under("identity/", "sys/mfa/") & ~asks()
_GIVEN: Final = at(r"^identity/(entity|group)(/|$)") & ~at(r"/merge$") & writes() & flag("policies")

RULES: Final = (
    Rule(
        "entity_merged",
        "Entities merged",
        "high",
        is_vault() & at(r"^identity/entity/merge$") & writes(),
        "{who} merged identity entities; one of them gains the rights of the other",
        "Check which entities were merged and by whose request; entities cannot be parted again.",
        ("T1098",),
    ),
    Rule(
        "alias_changed",
        "Identity alias created or changed",
        "medium",
        is_vault() & at(r"^identity/(entity-alias|group-alias|persona)(/|$)") & changes(),
        "{who} tied a log-in to an identity: {path}",
        "Check that the alias belongs to the entity's owner: whoever logs in through it has the entity's policies.",
        ("T1098",),
        RARE,
    ),
    Rule(
        "identity_policies",
        "Policies given to an identity or a group",
        "medium",
        is_vault() & _GIVEN,
        "{who} set the policies of an identity entity or group: {path}",
        "All members have these rights from their next request on. Compare policies and membership with the"
        " configuration as code, and look at what members did since (view operations).",
        ("T1098",),
        RARE,
    ),
    Rule(
        "entity_changed",
        "Identity entity or group changed",
        "low",
        is_vault() & at(r"^identity/(entity|group)(/|$)") & ~at(r"/merge$") & changes() & ~_GIVEN,
        "{who} changed an identity entity or group: {path}",
        "Check policies and membership in the change.",
        ("T1098",),
        RARE,
    ),
    Rule(
        "oidc_provider",
        "Identity token issuing changed",
        "medium",
        is_vault() & at(r"^identity/oidc/(config|key|role|provider|client|assignment|scope)(/|$)") & changes(),
        "{who} changed how the store issues identity tokens: {path}",
        "Systems that trust these tokens are affected: compare keys, clients and templates with code.",
        ("T1556", "T1606"),
    ),
    Rule(
        "mfa_changed",
        "Second factor changed",
        "medium",
        is_vault() & at(r"^identity/mfa/|^sys/mfa/") & ~at(r"/(validate|generate)$") & changes(),
        "{who} changed the second factor of log-ins: {path}",
        "Check that enforcement still covers the auth methods of people.",
        ("T1556.006",),
    ),
)
