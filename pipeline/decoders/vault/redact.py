"""Taking out of an entry what a device should have hashed, so that the rest can be kept.

Vault and OpenBao hash tokens, accessors and every string in `data`. A device with `log_raw`, a mount with
`audit_non_hmac_*_keys`, or a torn line can show them all the same.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from pipeline.decoders._tokens import REDACTED, is_hash, is_hidden, mask, mask_path
from pipeline.decoders.vault.fields import FIELDS, TOKENS

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOKEN_KEYS: Final = frozenset({"client_token", "accessor", "client_token_accessor", "token", "wrapped_accessor"})
# What is public, by kind of mount: parts of certificates, which Vault's documentation has PKI mounts tuned to show
# ("PKI secrets engine considerations", auditing), or nobody could see for whom they are issued; and the role that a
# log-in asks for, without which a refused one tells nothing.
_ROLE: Final = frozenset({"role"})
_PUBLIC: Final = dict.fromkeys(("alicloud", "aws", "azure", "gcp", "jwt", "kubernetes", "oci", "oidc"), _ROLE) | {
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
    shown = _PUBLIC.get(engine, _NOTHING) if isinstance(engine, str) else _NOTHING
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
