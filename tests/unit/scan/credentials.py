"""Credentials that nobody has, made when tests run: what has their form in a file would alarm those who look for it."""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from pipeline.scan.rules.services import checksum

LETTERS = string.ascii_letters + string.digits
WEB = LETTERS + "_-"
BASE64 = LETTERS + "+/"
_random = random.Random(20_260_304)


def letters(count: int, alphabet: str = LETTERS) -> str:
    """So many letters, at least one of each kind that the alphabet has, as nearly all tokens have."""
    kinds = [
        kind for kind in (string.ascii_uppercase, string.ascii_lowercase, string.digits) if set(kind) <= set(alphabet)
    ]
    while True:
        made = "".join(_random.choices(alphabet, k=count))
        if all(set(kind) & set(made) for kind in kinds):
            return made


def encoded(count: int) -> str:
    """So many random bytes in base64."""
    return base64.b64encode(_random.randbytes(count)).decode()


def github(prefix: str = "ghp_") -> str:
    """A token with its checksum."""
    made = letters(30)
    return prefix + made + checksum(made.encode()).decode()


def jwt(claims: Mapping[str, Any], **header: Any) -> str:
    """A signed token, the signature being nobody's."""

    def part(item: Mapping[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(item).encode()).decode().rstrip("=")

    return f"{part({'alg': 'RS256', **header})}.{part(claims)}.{letters(342, WEB)}"


def pem(kind: str = "rsa", form: str = "pkcs8", password: str = "") -> str:
    """A private key of our own."""
    made: Any = {
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
    }[kind]()
    forms = serialization.PrivateFormat
    chosen = {"pkcs8": forms.PKCS8, "pkcs1": forms.TraditionalOpenSSL, "openssh": forms.OpenSSH}[form]
    locked: Any = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    return made.private_bytes(serialization.Encoding.PEM, chosen, locked).decode()
