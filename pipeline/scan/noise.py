"""What looks like a credential and is none: placeholders, references, names of things, words."""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise
from typing import Final

_STAND_INS: Final = re.compile(
    rb"(?i)example|redact|masked|hidden|placeholder|change[_-]?me|dummy|sample|foobar|xxxx|\*\*\*|\.\.\.\.|your[_-]|omitted"
    rb"|removed|filtered|sanitized|censored|obfuscated|not[_-]?set|undefined|abcdefgh|1234567890|0123456789|deadbeef"
)
_LOOKED_AT: Final = 128  # first bytes of a value in which such words are looked for
_WORDS: Final = frozenset(
    b"password passwd passphrase passw0rd pass pwd secret token test testing none null nil true false unknown empty"
    b" username user admin string required invalid value default".split()
)
# A value that is computed, looked up or kept elsewhere, or that is the hash of one.
_ELSEWHERE: Final = re.compile(
    rb"(?i)[$%#@]?[{(<\[]|\$|%|#|@|(?:env|vault|file|kms|ssm|ref\+\w+|op|https?|s3|gs|arn|secretref|keyvault|sops):"
    rb"|[a-z][a-z0-9+.-]{1,20}://|projects/|enc\[|(?:hmac-)?(?:sha\d|md5|bcrypt|scrypt|pbkdf2|argon2)|\{?ssha|v\d:|redis:|/|\./|\.\./|~/|[a-z]:\\"
)
_PART: Final = re.compile(rb"[A-Za-z]*\d{0,4}")
_NUMBERED: Final = re.compile(rb"[A-Za-z]*\d{0,4}|\d+")
_APART: Final = re.compile(rb"[-_./:+]")
_PATH: Final = re.compile(rb"[a-z][a-z0-9_.-]*(?:/[a-z0-9_.@:-]+)+")  # base64 has capitals
_UUID: Final = re.compile(rb"(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HEX: Final = re.compile(rb"(?i)[0-9a-f]+")
_KINDS: Final = (
    frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"), frozenset(b"abcdefghijklmnopqrstuvwxyz"), frozenset(b"0123456789"),
)  # fmt: skip
_TURNS: Final = 9  # from one kind of letter to another: 24 random letters have 14 on average, names of classes fewer


def placeholder(value: bytes) -> bool:
    """What stands in for a credential in examples, templates and masked logs."""
    most = max(Counter(value).values(), default=0)
    return 2 * most >= len(value) or value.lower() in _WORDS or bool(_STAND_INS.search(value, 0, _LOOKED_AT))


def elsewhere(value: bytes) -> bool:
    """A reference to a value, or the hash of one."""
    return bool(_ELSEWHERE.match(value) or _PATH.fullmatch(value))


def name(value: bytes) -> bool:
    """An identifier or a path: words, with a few digits behind them, set apart by signs."""
    return _made_of(value, _PART)


def _made_of(value: bytes, part: re.Pattern[bytes]) -> bool:
    parts = _APART.split(value)
    return len(parts) > 1 and all(map(part.fullmatch, parts))


def entropy(value: bytes) -> float:
    """Shannon's, in bits a byte."""
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values()) if total else 0.0


def random(value: bytes) -> bool:
    """Letters as a generator of tokens gives them, and no word or name; for a form that is nothing but letters."""
    if placeholder(value):
        return False
    if all(any(byte in kind for byte in value) for kind in _KINDS):
        return True
    return _turns(value) >= _TURNS


def _turns(value: bytes) -> int:
    kinds = [next((n for n, kind in enumerate(_KINDS) if byte in kind), 3) for byte in value]
    return sum(a != b for a, b in pairwise(kinds))


def password(value: bytes) -> bool:
    """What somebody may have chosen as a password: neither a word nor a reference, and not all of one kind."""
    if elsewhere(value) or name(value) or placeholder(value) or _UUID.fullmatch(value):
        return False
    letters = any(byte in _KINDS[0] or byte in _KINDS[1] for byte in value)
    other = any(byte not in _KINDS[0] and byte not in _KINDS[1] for byte in value.rstrip(b".:!?"))
    return letters and other and entropy(value) * len(value) >= 19


def key(value: bytes) -> bool:
    """What a machine may have made as a key or token, told by its entropy."""
    if len(value) < 16 or elsewhere(value) or _made_of(value, _NUMBERED):
        return False
    if placeholder(value) or _UUID.fullmatch(value):
        return False
    digits = any(byte in _KINDS[2] for byte in value)
    letters = any(byte in _KINDS[0] or byte in _KINDS[1] for byte in value)
    least = 3.0 if _HEX.fullmatch(value) else 3.4
    return digits and letters and entropy(value) >= least
