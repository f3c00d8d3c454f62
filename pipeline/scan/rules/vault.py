"""Vault and OpenBao: tokens of all forms, AppRole secret ids, shares of the unseal key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pipeline.scan import noise
from pipeline.scan.rule import Match, Place, Rule, shaped

_BEFORE: Final = rb"(?<![\w.-])"
_OLD_ANCHORS: Final = tuple(
    f"{sign}{kind}." for kind, signs in (("s", " \t\n\"'`=:/,;([{>\\"), ("r", " \n\"'=:")) for sign in signs
)
_SECRET_ID: Final = re.compile(
    rb"(?i)secret[_-]?id\\{0,3}[\"']?\s{0,4}[:=]\s{0,4}\\{0,3}[\"']?"
    rb"(?P<v>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?![\w-])"
)
_SHARE: Final = rb"(?:[0-9a-fA-F]{64}(?:[0-9a-fA-F]{2})?|[A-Za-z0-9+/]{43}=|[A-Za-z0-9+/]{44})(?![A-Za-z0-9+/=])"
_SHARES: Final = re.compile(
    rb"(?i)(?:unseal|recovery)[ _-]?keys?(?:[ _-]?(?:b64|hex|base64|shares?))?(?: ?\d{1,2})?\\{0,3}[\"']?"
    rb"\s{0,4}[:=]\s{0,4}[\[\s]{0,32}\\{0,3}[\"']?(?P<v>" + _SHARE + rb")"
)
_NEXT_SHARE: Final = re.compile(rb"\\{0,3}[\"']?[,\s]{1,32}\\{0,3}[\"'](?P<v>" + _SHARE + rb")")

_OLD: Final = re.compile(rb"(?:[sr]\.(?P<v>[A-Za-z0-9]{24})(?:\.[A-Za-z0-9]{4,6})?)(?![\w-])(?!\.\w)")


def _secret_id(place: Place) -> Iterator[Match]:
    found = place.match(_SECRET_ID)
    if found and not noise.placeholder(found["v"]) and re.search(rb"role[_-]?id|approle", place.around(1024)):
        yield Match(*found.span("v"), found["v"].lower())


def _shares(place: Place) -> Iterator[Match]:
    found = place.match(_SHARES)
    while found:
        if noise.entropy(found["v"]) > 3.0 and not noise.placeholder(found["v"]):
            yield Match(*found.span("v"), found["v"])
        found = place.match(_NEXT_SHARE, found.end())


def _old(place: Place) -> Iterator[Match]:
    """At the sign in front of it."""
    found = place.match(_OLD, place.at + 1)
    if found and noise.random(found["v"]):
        yield Match(found.start(), found.end(), found[0])


RULES: Final = (
    Rule(
        "vault_service_token", "critical", "a token of Vault 1.10 and later",
        "prefix `hvs.` and at least 24 random letters",
        ("hvs.",), shaped(_BEFORE + rb"hvs\.[\w-]{24,512}", noise.random), public=4,
    ),
    Rule(
        "vault_batch_token", "critical", "a batch token of Vault 1.10 and later",
        "prefix `hvb.` and at least 90 random letters",
        ("hvb.",), shaped(_BEFORE + rb"hvb\.[\w-]{90,4096}", noise.random), public=4,
    ),
    Rule(
        "vault_recovery_token", "critical", "a recovery-mode token",
        "prefix `hvr.` and at least 24 random letters",
        ("hvr.",), shaped(_BEFORE + rb"hvr\.[\w-]{24,512}", noise.random), public=4,
    ),
    Rule(
        "vault_legacy_token", "critical", "a token of OpenBao, or of Vault before 1.10 (`s.`, `r.`)",
        "stands alone, exactly 24 letters and digits mixed as no name mixes them",
        _OLD_ANCHORS, _old, gate=rb"[^\w.-][sr]\.[A-Za-z0-9]{24}", public=2,
    ),
    Rule(
        "vault_legacy_batch_token", "critical", "a batch token of OpenBao, or of Vault before 1.10 (`b.`)",
        "stands alone, begins with the number of its key, at least 90 random letters",
        ("b.AAAA",), shaped(_BEFORE + rb"b\.AAAA[\w-]{86,4096}", noise.random), gate=_BEFORE + rb"b\.AAAA", public=2,
    ),
    Rule(
        "vault_secret_id", "high", "the secret id of an AppRole",
        "a UUID under that very name, near a role id or the word AppRole",
        ("secret",), _secret_id, gate=rb"(?i:secret[_-]?id[^0-9a-f]{1,12}[0-9a-f]{8}-)",
    ),
    Rule(
        "vault_unseal_key", "critical", "a share of the unseal or recovery key",
        "named so, and 32 or 33 random bytes in base64 or hexadecimal",
        ("unseal", "recovery"), _shares, gate=rb"(?i:(?:unseal|recovery)[ _-]?key)",
    ),
)  # fmt: skip
