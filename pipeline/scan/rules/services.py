"""Forges, registries and services whose tokens say what they are."""

from __future__ import annotations

import zlib
from typing import Final

from pipeline.scan import noise
from pipeline.scan.rule import Rule, shaped

_BASE62: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ALONE: Final = rb"(?<![\w-])"
_NO_MORE: Final = rb"(?![\w-])"


def checksum(text: bytes) -> bytes:
    """The last six letters of a GitHub token: the CRC-32 of its random part in base 62."""
    number, letters = zlib.crc32(text), bytearray()
    for _ in range(6):
        number, digit = divmod(number, 62)
        letters.append(_BASE62[digit])
    return bytes(reversed(letters))


def _github(value: bytes) -> bool:
    """`ghp_`, 30 random letters, 6 of checksum; refresh tokens are longer."""
    return checksum(value[4:-6]) == value[-6:]


RULES: Final = (
    Rule(
        "github_token", "critical", "a token of GitHub (`ghp_`, `gho_`, `ghu_`, `ghs_`, `ghr_`)",
        "its last six letters are the CRC-32 of the others",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
        shaped(_ALONE + rb"gh(?:[opsu]_[A-Za-z0-9]{36}|r_[A-Za-z0-9]{36}(?:[A-Za-z0-9]{40})?)(?!\w)", _github),
        public=4,
    ),
    Rule(
        "github_fine_grained_token", "critical", "a fine-grained token of GitHub",
        "prefix `github_pat_`, 22 and 59 random letters",
        ("github_pat_",), shaped(_ALONE + rb"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}(?!\w)", noise.random), public=4,
    ),
    Rule(
        "gitlab_token", "critical", "a token of GitLab (personal, runner, deploy, trigger, job, agent …)",
        "one of its prefixes (`glpat-` …), at least 20 random letters",
        ("glpat-", "glrt-", "gldt-", "glptt-", "glcbt-", "glsoat-", "glft-", "glimt-", "glagent-"),
        shaped(_ALONE + rb"gl(?:pat|rt|dt|ptt|cbt|soat|ft|imt|agent)-[\w-]{20,300}(?:\.[a-z0-9]{2}\.[a-z0-9]{9})?",
               noise.random),
        public=4,
    ),
    Rule(
        "slack_token", "high", "a token of Slack",
        "`xox`, a kind, then numbers and random letters",
        ("xox", "xapp-"),
        shaped(_ALONE + rb"(?:xoxe\.)?(?:xox[abeoprs]-(?=[A-Za-z-]{0,8}\d)|xapp-\d-)[A-Za-z0-9-]{20,300}(?<=\w)",
               lambda value: not noise.placeholder(value) and noise.entropy(value) > 3.0),
        public=4,
    ),
    Rule(
        "slack_webhook", "medium", "the address of an incoming webhook of Slack",
        "`hooks.slack.com/services/` with the ids of team and channel and 20 random letters or more",
        ("hooks.slack.com",),
        shaped(rb"(?i:hooks\.slack\.com/services/)(?P<v>T[A-Z0-9]{7,12}/B[A-Z0-9]{7,12}/[A-Za-z0-9]{20,32})(?!\w)",
               noise.random),
    ),
    Rule(
        "stripe_key", "critical", "a live key of Stripe",
        "prefix `sk_live_` or `rk_live_`, at least 20 random letters",
        ("sk_live_", "rk_live_"), shaped(_ALONE + rb"[sr]k_live_[A-Za-z0-9]{20,247}(?!\w)", noise.random), public=4,
    ),
    Rule(
        "stripe_test_key", "low", "a key of Stripe's test mode",
        "prefix `sk_test_` or `rk_test_`, at least 20 random letters",
        ("sk_test_", "rk_test_"), shaped(_ALONE + rb"[sr]k_test_[A-Za-z0-9]{20,247}(?!\w)", noise.random), public=4,
    ),
    Rule(
        "npm_token", "critical", "a token of the npm registry",
        "prefix `npm_`, exactly 36 random letters",
        ("npm_",), shaped(_ALONE + rb"npm_[A-Za-z0-9]{36}" + _NO_MORE, noise.random), public=4,
    ),
    Rule(
        "pypi_token", "critical", "an upload token of PyPI",
        "a macaroon that begins with the registry's own name",
        ("pypi-AgE",),
        shaped(_ALONE + rb"pypi-AgE(?:IcHlwaS5vcmc|NdGVzdC5weXBpLm9yZw)[\w-]{50,1024}"), public=4,
    ),
)  # fmt: skip
