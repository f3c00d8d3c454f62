"""Private keys in PEM, over several lines or in one with `\\n` in it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

from pipeline.scan.rule import Match, Place, Rule

_BEGIN: Final = re.compile(rb"-----BEGIN (?P<kind>[A-Z0-9 ]{0,24})PRIVATE KEY(?: BLOCK)?-----")
_ESCAPED: Final = re.compile(rb"(?:\\{1,4}[nrt]|\\{1,4}u000[aAdD]|&#10;)+")
_HEADER: Final = re.compile(rb"^[ \t]*[A-Za-z]+(?:-[A-Za-z]+)*: [^\n]*$", re.MULTILINE)
_LINE: Final = re.compile(rb"[A-Za-z0-9+/]{16,}={0,2}")
_LEAST: Final = 40  # letters of base64
_FORMS: Final = (b"\x30", b"openssh-key-v1")  # a DER sequence, OpenSSH's own


def keys(place: Place) -> Iterator[Match]:
    """The key that begins here. One key has one value whatever stands before its lines, and wherever it is cut off."""
    begin = place.match(_BEGIN)
    if begin is None:
        return
    end = place.data.find(b"-----", begin.end(), place.high)  # the last line, or the first one of another key
    stop = place.high if end < 0 else end
    text = _ESCAPED.sub(b"\n", place.data[begin.end() : stop])
    body = b"".join(_LINE.findall(_HEADER.sub(b"", text)))
    if end < 0:
        body = body[: 1 << 10]
    locked = b"Proc-Type:" in text or b"PGP" in begin["kind"]
    if len(body) >= _LEAST and (locked or _decodes(body)):
        yield Match(begin.start(), stop, body)


def _decodes(body: bytes) -> bool:
    try:
        return base64.b64decode(body[:24], validate=True).startswith(_FORMS)
    except binascii.Error:
        return False


RULES: Final = (
    Rule(
        "private_key", "critical", "a private key in PEM (RSA, EC, Ed25519, OpenSSH, PGP; encrypted ones too)",
        "what follows the first line decodes to the beginning of a key",
        ("-----BEGIN",), keys, public=4,
    ),
)  # fmt: skip
