"""Secrets destroyed, keys taken out, signing authorities changed, planted secrets touched."""

from __future__ import annotations

from typing import Final

from detectors.invariant.rule import (
    NEVER,
    RARE,
    Rule,
    asks,
    at,
    changes,
    engine,
    flag,
    is_vault,
    rest,
    true,
    verb,
    writes,
)

_EXPORTABLE: Final = ("exportable", "allow_plaintext_backup")
_OWN_RULES: Final = ("transit", "kv", "generic", "cubbyhole", "system", "identity", "token")
_ISSUES: Final = is_vault() & ~engine(*_OWN_RULES) & ~at(r"^(auth|sys|identity)/")
_ANY_NAME: Final = engine("pki") & rest(r"^roles/.") & writes() & flag("allow_any_name")
_VERBATIM: Final = r"^(issuer/[^/]+/)?sign-verbatim(/|$)"
_WORDS: Final = (
    r"/(export|byok-export|backup|restore|destroy|metadata|keys?|config|roles?|static-roles|library|root|intermediate"
    r"|issuers?|sign-verbatim)(/|$)"
)

GATE: Final = true("is_canary") | at(r"/(export|byok-export|backup)/") | (~asks() & at(_WORDS))

RULES: Final = (
    Rule(
        "canary_touched",
        "Planted secret touched",
        "critical",
        true("is_canary"),
        "{who} touched the planted secret {secret} ({verb})",
        "Nobody has a reason to go there. Revoke the caller's credentials, then read what else it did (view"
        " operations).",
        ("T1555.006",),
        NEVER,
    ),
    Rule(
        "secret_destroyed",
        "Secret versions destroyed",
        "low",
        engine("kv", "generic") & rest(r"^destroy/") & writes(),
        "{who} destroyed versions of {secret}",
        "Cannot be undone. Check the request; many of these by one caller are reported as rate.",
        ("T1485",),
        RARE,
    ),
    Rule(
        "secret_removed",
        "Secret removed with all its versions",
        "low",
        engine("kv", "generic") & rest(r"^metadata/") & verb("delete"),
        "{who} removed {secret} with all its versions",
        "Cannot be undone. Check the request; many of these by one caller are reported as rate.",
        ("T1485",),
        RARE,
    ),
    Rule(
        "history_cut",
        "Old versions of secrets given up",
        "medium",
        engine("kv") & rest(r"^(config$|metadata/)") & writes() & flag("max_versions=1"),
        "{who} had only one version kept: {path}",
        "The next write leaves nothing to go back to. Set the number of versions again before anything is written, and"
        " look at what the caller wrote since (view operations).",
        ("T1490",),
        RARE,
    ),
    Rule(
        "versions_expire",
        "Secrets to vanish by themselves",
        "low",
        engine("kv") & rest(r"^(config$|metadata/)") & writes() & flag("delete_version_after"),
        "{who} had versions deleted some time after they are written: {path}",
        "What is written from now on is deleted without another request. Compare delete_version_after with the"
        " configuration as code, and set it back before the next write (a rotation, for one).",
        ("T1485",),
        RARE,
    ),
    Rule(
        "write_guard_off",
        "Guard against blind overwriting taken off",
        "medium",
        engine("kv") & rest(r"^config$") & writes() & flag("cas_required=false"),
        "{who} let secrets be overwritten without knowing their version: {path}",
        "Compare cas_required with the configuration as code, and look at what was written since (view operations).",
        ("T1562", "T1565.001"),
        RARE,
    ),
    Rule(
        "key_exported",
        "Transit key exported",
        "high",
        engine("transit") & rest(r"^(export|byok-export)/") & verb("read"),
        "{who} took the key {secret} out of the store",
        "Everything under this key can now be read outside. Ask the key's owner; otherwise rotate and re-encrypt.",
        ("T1552.004",),
        NEVER,
    ),
    Rule(
        "key_backed_up",
        "Transit key backed up in plain",
        "high",
        engine("transit") & rest(r"^backup/"),
        "{who} took a plain backup of the key {secret}",
        "Find the copy. Unless the key's owner made it: rotate and re-encrypt.",
        ("T1552.004",),
        NEVER,
    ),
    Rule(
        "key_restored",
        "Transit key restored from a backup",
        "medium",
        engine("transit") & rest(r"^restore(/|$)") & writes(),
        "{who} put a key back from a backup: {path}",
        "Check that the key is your own and that it did not replace a newer one.",
        ("T1565",),
    ),
    Rule(
        "key_exportable",
        "Transit key made exportable",
        "high",
        engine("transit") & rest(r"^keys/") & writes() & flag(*_EXPORTABLE),
        "{who} made the key {secret} exportable, which cannot be undone",
        "Ask the key's owner. Otherwise make a new key that is not exportable and re-encrypt.",
        ("T1552.004",),
        NEVER,
    ),
    Rule(
        "key_config",
        "Transit key's limits changed",
        "medium",
        engine("transit") & rest(r"^keys/.+/(config|trim)$") & writes() & ~flag(*_EXPORTABLE),
        "{who} changed the version limits or the deletion guard of the key {secret}",
        "A lower minimum brings old versions back into use; a trim makes old data unreadable. Check the request.",
        ("T1600", "T1485"),
        RARE,
    ),
    Rule(
        "key_deleted",
        "Transit key deleted",
        "high",
        engine("transit") & rest(r"^keys/.+") & verb("delete"),
        "{who} deleted the key {secret}; what it encrypted cannot be read any more",
        "If unplanned: revoke the caller's token and restore the key from a snapshot.",
        ("T1485",),
        NEVER,
    ),
    Rule(
        "ca_key_exported",
        "Private key of a certificate authority exported",
        "critical",
        engine("pki") & rest(r"^((root|intermediate)/|issuers/|keys/).*exported(/|$)") & writes(),
        "{who} had an authority's private key handed out: {path}",
        "Whoever holds it can sign any certificate. Check the ceremony; otherwise revoke the authority and replace it.",
        ("T1552.004", "T1649"),
        NEVER,
    ),
    Rule(
        "ca_changed",
        "Certificate authority changed",
        "medium",
        engine("pki", "ssh")
        & (
            rest(r"^(root|intermediate|issuers?|keys?|config/(ca|keys|issuers))(/|$)") & ~rest(r"exported(/|$)")
            | rest(r"^root/sign-(intermediate|self-issued)|^issuer/.+/sign-(intermediate|self-issued)")
        )
        & ~rest(r"^issuer/.+/(issue|sign|sign-verbatim)(/|$)")
        & changes(),
        "{who} changed a certificate authority: {path}",
        "Check the ceremony. A new intermediate or issuer can sign for the names of all others.",
        ("T1649",),
    ),
    Rule(
        "cert_verbatim",
        "Certificate signed as its asker wrote it",
        "medium",
        engine("pki") & rest(_VERBATIM) & writes(),
        "{who} had a certificate signed with whatever names the request held: {path}",
        "A role's limits on names do not hold here. Read the certificate (pki/certs, by the time) and revoke it if its"
        " names are not the asker's; take the path out of policies.",
        ("T1649",),
        RARE,
        once="principal",
    ),
    Rule(
        "cert_any_name",
        "Certificates for any name allowed",
        "high",
        _ANY_NAME,
        "{who} let the role {name} issue certificates for any name",
        "Undo it unless the owner of the authority asked for it; list what the role issued since and revoke the names"
        " that are not its own.",
        ("T1649", "T1098"),
    ),
    Rule(
        "engine_config",
        "Secrets engine's own credentials or limits changed",
        "low",
        _ISSUES & rest(r"^config(/|$)") & ~rest(r"^config/(ca|keys|issuers)(/|$)") & changes(),
        "{who} changed the configuration of a secrets engine: {path}",
        "Check connection, credentials and lifetimes against the configuration as code.",
        ("T1098",),
    ),
    Rule(
        "engine_role",
        "Secrets engine's role changed",
        "low",
        _ISSUES & rest(r"^(roles?|static-roles|library)/") & ~rest(r"/check-(in|out)$") & changes() & ~_ANY_NAME,
        "{who} changed what a secrets engine issues: {path}",
        "Check allowed names, statements and lifetimes against the configuration as code.",
        ("T1098",),
    ),
)
