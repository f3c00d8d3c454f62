"""Amazon Web Services: access keys and session tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pipeline.scan import noise
from pipeline.scan.rule import Match, Place, Rule, shaped

_ID: Final = re.compile(rb"(?<!\w)A(?:KI|SI)A[A-Z2-7]{16}(?!\w)")
_SECRET: Final = rb"(?P<v>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"
_NAMED: Final = re.compile(
    rb"(?i:secret[_ -]?(?:access[_ -]?)?key)\\{0,3}[\"']?\s{0,4}(?:=>|[:=])\s{0,4}\\{0,3}[\"']?" + _SECRET
)
_BESIDE: Final = re.compile(rb"(?<![A-Za-z0-9/+=])" + _SECRET)
_NEAR: Final = 200  # bytes behind a key's id in which its secret is looked for
_HEX: Final = re.compile(rb"[0-9a-fA-F]+")


def _id(place: Place) -> Iterator[Match]:
    """CloudTrail names the key of every request, as it should."""
    found = place.match(_ID)
    if found and not noise.placeholder(found[0]) and b'"useridentity"' not in place.around(2048):
        yield Match(found.start(), found.end(), found[0])


def _secret(value: bytes) -> bool:
    return noise.random(value) and noise.entropy(value) > 4.0 and not _HEX.fullmatch(value)


def _secret_beside(place: Place) -> Iterator[Match]:
    """By its name, or near the id of a key."""
    named = place.match(_NAMED)
    if named and _secret(named["v"]):
        yield Match(*named.span("v"), named["v"])
        return
    known = place.match(_ID)
    for found in _BESIDE.finditer(place.data, known.end(), min(known.end() + _NEAR, place.high)) if known else ():
        if _secret(found["v"]):
            yield Match(*found.span("v"), found["v"])
            return


RULES: Final = (
    Rule(
        "aws_access_key_id", "medium", "the id of an access key (`AKIA`, `ASIA`): whose it is, no secret by itself",
        "prefix, 16 letters of base32; not in a CloudTrail record, where it belongs",
        ("AKIA", "ASIA"), _id, gate=_ID.pattern, public=4,
    ),
    Rule(
        "aws_secret_access_key", "critical", "the secret half of an access key",
        "40 letters of base64 with high entropy, named so or within 200 bytes of a key's id",
        ("AKIA", "ASIA", "secret"), _secret_beside, gate=_ID.pattern + rb"|(?i:secret[_ -]?(?:access[_ -]?)?key)",
    ),
    Rule(
        "aws_session_token", "high", "a session token of STS",
        "begins as the encoded header of every such token does, at least 100 letters",
        ("IQoJb3JpZ2lu", "FwoGZXIvYXdz", "FQoGZXIvYXdz"),
        shaped(rb"(?<![A-Za-z0-9/+])(?:IQoJb3JpZ2lu|F[wQ]oGZXIvYXdz)[A-Za-z0-9/+%]{90,4096}={0,2}"), public=4,
    ),
)  # fmt: skip
