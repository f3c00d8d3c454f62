"""Google Cloud and Azure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pipeline.scan import noise
from pipeline.scan.rule import Match, Place, Rule, shaped
from pipeline.scan.rules import pem

_SIGNATURE: Final = re.compile(rb"(?<![A-Za-z0-9_])sig=(?P<v>(?:[A-Za-z0-9+/]|%2[bBfF]){43,86}(?:=|%3[dD]))")


def _service_account(place: Place) -> Iterator[Match]:
    for found in pem.keys(place):
        beside = place.data[max(found.start - 4096, place.low) : min(found.end + 2048, place.high)]
        if b"service_account" in beside or b".iam.gserviceaccount.com" in beside:
            yield found


def _sas(place: Place) -> Iterator[Match]:
    found = place.match(_SIGNATURE)
    if found and noise.random(found["v"]):
        beside = place.around(700)
        if re.search(rb"[?&;]se=", beside) and re.search(rb"[?&;]s[vrp]=", beside):
            yield Match(*found.span("v"), found["v"])


RULES: Final = (
    Rule(
        "gcp_service_account_key", "critical", "the private key of a service account, as its JSON file has it",
        "a private key (below) beside the words of such a file",
        ("-----BEGIN",), _service_account, public=4,
    ),
    Rule(
        "gcp_api_key", "high", "an API key of Google Cloud",
        "prefix `AIza`, exactly 35 random letters",
        ("AIza",), shaped(rb"(?<![\w-])AIza[\w-]{35}(?![\w-])", noise.random), public=4,
    ),
    Rule(
        "gcp_access_token", "high", "an OAuth access token of Google",
        "prefix `ya29.`, at least 30 random letters",
        ("ya29.",), shaped(rb"(?<![\w.-])ya29\.[\w.-]{30,2048}", noise.random), public=4,
    ),
    Rule(
        "gcp_client_secret", "high", "an OAuth client secret of Google",
        "prefix `GOCSPX-`, exactly 28 random letters",
        ("GOCSPX-",), shaped(rb"(?<![\w-])GOCSPX-[\w-]{28}(?![\w-])", noise.random), public=4,
    ),
    Rule(
        "azure_client_secret", "critical", "the client secret of an Entra application",
        "`7Q~` or `8Q~` as its fourth to sixth letters, 37 to 40 in all",
        ("7Q~", "8Q~"),
        shaped(rb"(?<![\w~.-])[\w~.-]{3}[78]Q~[\w~.-]{31,34}(?![\w~.-])", noise.random, back=3),
    ),
    Rule(
        "azure_storage_key", "critical", "the key of a storage account, Service Bus, Event Hub or Cosmos DB",
        "in a connection string, 64 or 32 random bytes in base64",
        ("accountkey", "sharedaccesskey"),
        shaped(
            rb"(?i:AccountKey|SharedAccessKey)=(?P<v>[A-Za-z0-9+/]{86}==|[A-Za-z0-9+/]{43}=)(?![A-Za-z0-9+/=])",
            noise.random,
        ),
    ),
    Rule(
        "azure_sas", "high", "a shared access signature",
        "`sig=` with a signature of 32 bytes, and an expiry and a version or resource beside it",
        ("sig=",), _sas, gate=rb"(?<![A-Za-z0-9_])sig=[A-Za-z0-9+/%]{43}",
    ),
)  # fmt: skip
