"""Taking out of an entry what a device should have hashed, so that the rest can be kept.

Vault and OpenBao hash tokens, accessors and every string in `data`. A device with `log_raw`, a mount with
`audit_non_hmac_*_keys`, or a torn line can show them all the same.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from typing import TYPE_CHECKING, Any, Final

from pipeline.decoders.vault.entry import dumps
from pipeline.decoders.vault.fields import FIELDS, TOKENS
from pipeline.decoders.vault.pieces import benign_prefix
from pipeline.decoders.vault.tokens import REDACTED, VALUE, is_hash, is_hidden, mask, mask_path

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOKEN_KEYS: Final = frozenset({"client_token", "accessor", "client_token_accessor", "token", "wrapped_accessor"})
# Parts of certificates by engine, which are public. Vault's documentation has PKI mounts tuned to show them ("PKI
# secrets engine considerations", auditing), or nobody could see for whom they are issued; SSH mounts are too.
_CERTIFICATE: Final = {
    "pki": frozenset({
        "common_name", "alt_names", "ip_sans", "uri_sans", "other_sans", "email_sans", "csr", "certificate",
        "issuing_ca", "ca_chain", "serial_number", "not_before", "not_after", "ttl", "issuer_ref", "issuer_id",
        "issuer_name", "key_type", "ou", "organization", "country", "locality", "province", "street_address",
        "postal_code", "permitted_dns_domains", "ext_key_usage", "ext_key_usage_oids", "policy_identifiers",
        "private_key_type", "private_key_format", "format",
    }),
    "ssh": frozenset({
        "public_key", "valid_principals", "cert_type", "key_id", "ttl", "signed_key", "serial_number", "extensions",
        "critical_options", "username", "ip", "permit-pty",
    }),
}  # fmt: skip
_NOTHING: Final = frozenset[str]()
_PRIVATE: Final = "PRIVATE KEY"
_PATH_KEYS: Final = frozenset({"path", "request_uri", "creation_path"})
_FREE: Final = tuple(
    name for name, field in FIELDS.items() if field.kind in {"text", "texts"} and name not in {*TOKENS, "time"}
)


def redacted(body: Mapping[str, Any], plain_headers: frozenset[str]) -> dict[str, Any]:
    """The entry with everything in clear replaced; equal to `body` when there was nothing."""
    request = body.get("request")
    engine = request.get("mount_type") if isinstance(request, dict) else None
    shown = _CERTIFICATE.get(engine, _NOTHING) if isinstance(engine, str) else _NOTHING
    return {name: _part(name, value, plain_headers, shown) for name, value in body.items()}


def _part(name: str, value: Any, plain: frozenset[str], shown: frozenset[str]) -> Any:
    """A value outside `data`: strings are kept, less tokens and what stands under a token's name."""
    if name == "data":
        return _data(value, shown)
    if name == "headers" and isinstance(value, dict):
        return {key: _header(item, key.lower() in plain) for key, item in value.items()}
    if isinstance(value, dict):
        return {_key(key): _part(key, item, plain, shown) for key, item in value.items()}
    if isinstance(value, list):
        return [_part(name, item, plain, shown) for item in value]
    return _string(name, value) if isinstance(value, str) else value


def _string(name: str, text: str) -> str:
    if name in _TOKEN_KEYS:
        return text if is_hash(text) else REDACTED
    return mask_path(text) if name in _PATH_KEYS else mask(text)


def _key(key: str) -> str:
    return mask(key)


def _header(value: Any, plain: bool) -> Any:
    if isinstance(value, list):
        return [_header(item, plain) for item in value]
    if isinstance(value, str) and not is_hidden(value):
        return mask(value) if plain else REDACTED
    return value


def _data(value: Any, shown: frozenset[str], name: str = "") -> Any:
    """A value inside `data`: only hashes, times and what stands under a name that is `shown` may be text there."""
    if isinstance(value, dict):
        return {_key(key): _data(item, shown, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_data(item, shown, name) for item in value]
    if isinstance(value, str) and not is_hidden(value):
        return mask(value) if name in shown and _PRIVATE not in value else REDACTED
    return value


def clean_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The RAW row with clear tokens as `sha256:` of them and without tokens in its texts."""
    clean = dict(row)
    for name in TOKENS:
        clean[name] = _digest(row[name])
    for name in _FREE:
        clean[name] = _masked(row[name], mask_path if name == "request_path" else mask)
    return clean


def _masked(value: Any, by: Any) -> Any:
    if isinstance(value, list):
        return [_masked(item, by) for item in value]
    return by(value) if isinstance(value, str) else value


def _digest(token: str | None) -> str | None:
    if token is None or is_hash(token):
        return token
    return "sha256:" + hashlib.sha256(token.encode("utf-8", "replace")).hexdigest() if token else None


def line(body: Mapping[str, Any]) -> bytes:
    """One line of text for an entry."""
    return dumps(body).encode("utf-8", "replace")


# What lies between two quotes that are not escaped: a string, or what stands between two strings.
_SEGMENT: Final = re.compile(rb'((?:[^"\\]++|\\.)*+)("?)', re.DOTALL)
_BETWEEN: Final = re.compile(
    rb"[\s,:{}\[\]]*+|[\s,:{}\[\]]++(?:(?:true|false|null|-?[0-9][0-9.eE+-]*+)[\s,:{}\[\]]*+)*+"
)
_HIDDEN: Final = re.compile(VALUE.encode())
_NAME: Final = re.compile(rb"[A-Za-z_][A-Za-z0-9_.-]{0,60}")
_FORM: Final = re.compile(rb"(?:hv[sbr]|\b[sbr])\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9]+)?")
_SHOWN: Final = re.compile(rb'"(?:client_token|accessor|client_token_accessor|token|data|secret_id|wrap_info)"\s*:')
_ELEMENT: Final = re.compile(rb">([^<]++)")


def remains(piece: bytes, reason: str) -> bytes:
    """What may be kept of a piece that could not be read: nothing in it can be trusted to be hashed.

    Text of another format stays, unless it speaks of tokens or may be the remains of an entry: whatever has a quote
    in it and is no object.
    """
    if reason == "jsonx":
        piece = _ELEMENT.sub(_element, piece)
    elif reason != "unknown_format" or _SHOWN.search(piece) or (b'"' in piece and not _is_object(piece)):
        piece = _unquoted(piece)
    return _FORM.sub(REDACTED.encode(), piece)


def _is_object(piece: bytes) -> bool:
    """Whether all of the piece, behind a prefix, is one JSON object."""
    try:
        return isinstance(json.loads(piece[piece.find(b"{") :]), dict)
    except (ValueError, RecursionError):
        return False


def _unquoted(piece: bytes) -> bytes:
    """The piece with only keys, hashes, times and literals left.

    It may begin or end inside a string, so it is not known which side of a quote is a string: what is kept may be
    kept on either.
    """
    kept = bytearray()
    segments = (match.groups() for match in _SEGMENT.finditer(piece))  # one by one: it may be nothing but quotes
    for place, ((text, quote), (behind, _)) in enumerate(itertools.pairwise(itertools.chain(segments, [(b"", b"")]))):
        kept += _segment(text, behind, first=place == 0) + quote
    return bytes(kept)


def _segment(text: bytes, behind: bytes, *, first: bool) -> bytes:
    key = behind.lstrip()[:1] == b":" and _NAME.fullmatch(text)
    opening = first and text.rstrip()[-1:] == b"{" and benign_prefix(text.rstrip()[:-1])
    if key or opening or _BETWEEN.fullmatch(text) or _HIDDEN.fullmatch(text):
        return text
    return REDACTED.encode()


def _element(match: re.Match[bytes]) -> bytes:
    text = match[1].strip()
    return match[0] if not text or _HIDDEN.fullmatch(text) else b">" + REDACTED.encode()
