"""What a token or a clear value looks like in text, and how it is taken out.

Forms of tokens: Vault's token prefixes (`hvs.`, `hvb.`, `hvr.`, older `s.`, `b.`, `r.`; developer.hashicorp.com,
"Tokens"), the same in OpenBao. Accessors have no form of their own; in a path they follow a known word.
All patterns are for Polars (linear time) and, possessive where it matters, for `re` on single pieces.
"""

from __future__ import annotations

import re
from typing import Final

REDACTED: Final = "[redacted]"

# `s.` and 24 letters (with a namespace: a dot and 5 or more), batch tokens from 90 up, the newer forms from 20 up.
FORM: Final = r"\b(?:hv[sbr]\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9]{4,})?|[sbr]\.[A-Za-z0-9_-]{24,}(?:\.[A-Za-z0-9]{4,})?)"
_IN_PATH: Final = (
    r"((?:^|/)(?:lookup-accessor|revoke-accessor|renew-accessor)/"
    r"|(?:^|/)auth/token/(?:lookup|renew|revoke|revoke-orphan)/"
    r"|(?:^|/)sys/wrapping/(?:lookup|unwrap|rewrap)/)([^/]+)"
)
HASH: Final = "hmac-sha256:"
TIME: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})"
VALUE: Final = rf"|hmac-sha256:[0-9a-f]{{64}}|{TIME}"  # or nothing: an empty text shows nothing

# Text that has to be looked at closely; finds at least what the patterns above find.
SUSPECT: Final = (
    r"hv[sbr]\.|[sbr]\.[A-Za-z0-9_-]{24}|-accessor/[^\"]"
    r"|auth/token/(?:lookup|renew|revoke|revoke-orphan)/[^\"]|sys/wrapping/(?:lookup|unwrap|rewrap)/[^\"]"
)

_TOKEN: Final = re.compile(FORM)
_PATH: Final = re.compile(_IN_PATH)
_VALUE: Final = re.compile(VALUE)


def is_hash(text: str) -> bool:
    """Whether a token field holds a device's hash. Its length is the device's business."""
    return text.startswith(HASH)


def is_hidden(text: str) -> bool:
    """Whether a value inside `data` is one that shows nothing: a device's hash, a time (RFC 3339), or empty."""
    return _VALUE.fullmatch(text) is not None


def mask(text: str) -> str:
    """`text` without anything that has the form of a token."""
    return _TOKEN.sub(REDACTED, text) if "." in text else text  # every form of token has a dot


def mask_path(path: str) -> str:
    """`path` without tokens and without what follows a word that takes a token or an accessor."""
    return _PATH.sub(_hide, mask(path))


def mask_prefix(before: bytes) -> bytes:
    """What stands before an entry, without tokens; every other byte as it was."""
    return mask_path(before.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _hide(match: re.Match[str]) -> str:
    return match[1] + (match[2] if match[2] == REDACTED or is_hash(match[2]) else REDACTED)
