"""Signed tokens: JWTs of anybody, and those of Kubernetes service accounts."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from pipeline.scan.rule import Match, Place, Rule

_JWT: Final = re.compile(
    rb"(?<![\w.-])(?P<head>eyJ[\w-]{10,2048})\.(?P<body>eyJ[\w-]{2,10240})\.[\w-]{16,2048}(?![\w-])"
)
_GATE: Final = rb"(?<![\w.-])eyJ"


def _part(text: bytes) -> dict[str, Any]:
    """The object that a part encodes, or none."""
    try:
        found = json.loads(base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _tokens(place: Place) -> Iterator[tuple[Match, dict[str, Any]]]:
    found = place.match(_JWT)
    if found and isinstance(_part(found["head"]).get("alg"), str):
        yield Match(found.start(), found.end(), found[0]), _part(found["body"])


def _jwt(place: Place) -> Iterator[Match]:
    for match, _ in _tokens(place):
        yield match


def _service_account(place: Place) -> Iterator[Match]:
    for match, claims in _tokens(place):
        named = str(claims.get("sub", "")).startswith("system:serviceaccount:")
        if named or "kubernetes.io" in claims or claims.get("iss") == "kubernetes/serviceaccount":
            yield match


RULES: Final = (
    Rule(
        "kubernetes_service_account_token", "critical", "the token of a Kubernetes service account",
        "a signed token (below) whose claims name one",
        ("eyJ",), _service_account, gate=_GATE, public=3,
    ),
    Rule(
        "jwt", "high", "a signed token (JWT)",
        "three parts, the first of which decodes to JSON that names an algorithm",
        ("eyJ",), _jwt, gate=_GATE, public=3,
    ),
)  # fmt: skip
