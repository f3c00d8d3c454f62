"""Values that are credentials by what they are called: assignments, addresses, headers."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

from pipeline.scan import noise
from pipeline.scan.rule import Check, Look, Match, Place, Rule

_PASSWORD: Final = rb"(?i:pass(?:word|wd|phrase)|passw|pwd)"
_KEY: Final = (
    rb"(?i:secret(?:[_-]?key)?|token|credentials?|(?:access|api|private|signing|encryption|account|master|shared|auth)key"
    rb"|(?:(?<=access)|(?<=api)|(?<=private)|(?<=signing)|(?<=encryption)|(?<=account)|(?<=master)|(?<=shared)|(?<=auth))"
    rb"[_-]key)"
)
_THEN: Final = rb"\d{0,2}[\\\"' \t:=>](?!:?\s?\\?\"hmac-sha256:)"
# A name's end, what separates it from its value, and the value in quotes, as the text of an XML element, or bare.
_VALUE: Final = (
    rb"\d{0,2}(?:\\{0,3}[\"']?[ \t]{0,4}(?:=>|:=|={1,2}|:)[ \t]{0,4}"
    rb"(?:\\{0,3}[\"'](?P<q>[^\"'\\\s]{6,256})\\{0,3}[\"']|(?P<u>[^\s=\"'`\\,;&<>(){}\[\]|]{6,256}(?:={1,2}(?![^\s\"'`\\,;&<>(){}\[\]|]))?)(?![(\[{]))"
    rb"|>(?P<x>[^<>\s]{6,256})</)"
)
_OPTION: Final = re.compile(rb"(?:^|[\s\"'])--[\w-]{0,30}$")
_ARGUMENT: Final = rb"\d{0,2}[ \t]{1,4}[\"']?(?P<v>[^\s\"'`\\,;&<>(){}\[\]|-][^\s\"'`\\,;&<>(){}\[\]|]{5,255})"
_NOT_KEYS: Final = re.compile(
    rb"(?i)(?:(?:page|next|continuation|continue|sync|cursor|resume|start|csrf|xsrf|idempotency|cancellation|client[_-]?request"
    rb"|device|fcm|push|lexer|stop|pad|eos|bos|public|dedup|etag|rate[_-]?limit)[_-]?|arn:[\w:/.-]*:|(?-i:[cC]lient(?=T)))(?=[a-z]$)"
)
_URL: Final = re.compile(rb"://[^\s:/@\"'`<>\\]{0,128}:(?P<v>[^\s/@\"'`<>\\]{3,256})@[\w\[]")
_BASIC: Final = re.compile(rb"(?i:basic) (?P<v>[A-Za-z0-9+/]{8,900}={0,2})(?![A-Za-z0-9+/=])")
_BEARER: Final = re.compile(rb"(?i:bearer) (?P<v>[A-Za-z0-9._~+/-]{20,900}=*)")


def _called(name: bytes, check: Check) -> Look:
    """A value after a name: `name = value`, `"name": "value"`, `<name>value</name>`, `--name value`."""
    assigned, given = re.compile(name + _VALUE), re.compile(name + _ARGUMENT)

    def look(place: Place) -> Iterator[Match]:
        found = place.match(assigned)
        group = found.lastgroup if found else "v"
        if found is None and _OPTION.search(place.before(34)):
            found = place.match(given)
        if found is None or group is None:
            return
        value = found[group] if group == "q" else found[group].rstrip(b".:")
        start = found.start(group)
        if check(value) and not _NOT_KEYS.search(place.before(120) + place.data[place.at : place.at + 1]):
            yield Match(start, start + len(value), value)

    return look


def _address(place: Place) -> Iterator[Match]:
    found = place.match(_URL)
    if found and re.search(rb"[A-Za-z][A-Za-z0-9+.-]{1,20}$", place.before(22)):
        value = found["v"]
        if not (noise.placeholder(value) or noise.elsewhere(value)):
            yield Match(*found.span("v"), value)


def _basic(place: Place) -> Iterator[Match]:
    found = place.match(_BASIC)
    if found is None:
        return
    try:
        user, colon, password = base64.b64decode(found["v"], validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return
    if colon and user and password and (user + password).isprintable() and not noise.placeholder(password.encode()):
        yield Match(*found.span("v"), password.encode())


def _bearer(place: Place) -> Iterator[Match]:
    found = place.match(_BEARER)
    if found and noise.key(found["v"]):
        yield Match(*found.span("v"), found["v"])


RULES: Final = (
    Rule(
        "password", "high", "a password that is assigned, given as an option or logged by its name",
        "named so; not a word, a name or a reference, letters mixed with others, at least 19 bits by its own entropy",
        ("passw", "passphrase", "pwd"), _called(_PASSWORD, noise.password), gate=_PASSWORD + _THEN, weak=True,
    ),
    Rule(
        "secret_value", "high", "a key, secret or token that is logged by its name",
        "named so; at least 16 letters and digits, 3.4 bits each (3.0 in hexadecimal)",
        ("secret", "token", "credential", "_key", "-key", "accesskey", "apikey", "privatekey", "signingkey",
         "encryptionkey", "accountkey", "masterkey", "sharedkey", "authkey"),
        _called(_KEY, noise.key), gate=_KEY + _THEN, weak=True,
    ),
    Rule(
        "url_password", "high", "a password in an address (`scheme://user:password@host`)",
        "the syntax leaves no other reading",
        ("://",), _address, gate=rb"://[^\s:/@\"'`<>\\]{0,128}:[^\s/@\"'`<>\\]{3}", weak=True,
    ),
    Rule(
        "basic_authorization", "high", "the credentials of HTTP basic authentication",
        "decodes to a name, a colon and a password",
        ("basic ",), _basic, gate=rb"(?i:basic) [A-Za-z0-9+/]{8}", weak=True,
    ),
    Rule(
        "bearer_token", "high", "an opaque bearer token",
        "after the word Bearer, at least 20 letters with the entropy of a key",
        ("bearer ",), _bearer, gate=rb"(?i:bearer) [A-Za-z0-9._~+/-]{20}", weak=True,
    ),
)  # fmt: skip
