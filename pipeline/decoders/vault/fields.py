"""What is read from a Vault or OpenBao audit entry."""

from __future__ import annotations

from typing import Final

from pipeline.decoders._fields import Field, guarded, raw_schema

_METADATA = ("role_name", "role", "username", "service_account_name", "service_account_namespace")
_ISSUED = ("client_token", "accessor", "display_name", "entity_id", "token_type")
_REQUEST = (
    "id", "operation", "mount_point", "mount_type", "client_token", "client_token_accessor", "path", "remote_address",
)  # fmt: skip


def _auth(prefix: str, base: tuple[str, ...]) -> dict[str, Field]:
    return {
        prefix: Field(base, "object"),
        **{f"{prefix}_{name}": Field((*base, name), "text") for name in _ISSUED},
        f"{prefix}_policies": Field((*base, "policies"), "texts"),
        f"{prefix}_token_ttl": Field((*base, "token_ttl"), "int"),
        f"{prefix}_metadata": Field((*base, "metadata"), "object"),
        **{f"{prefix}_{name}": Field((*base, "metadata", name), "text") for name in _METADATA},
    }


FIELDS: Final[dict[str, Field]] = {
    **{name: Field((name,), "text") for name in ("time", "type", "error", "forwarded_from")},
    "forwarded": Field(("forwarded",), "bool"),
    **_auth("auth", ("auth",)),
    "auth_results": Field(("auth", "policy_results"), "object"),
    "auth_allowed": Field(("auth", "policy_results", "allowed"), "bool"),
    "auth_granting": Field(("auth", "policy_results", "granting_policies"), "rows"),
    "request": Field(("request",), "object"),
    **{f"request_{name}": Field(("request", name), "text") for name in _REQUEST},
    "request_namespace": Field(("request", "namespace"), "object"),
    "request_namespace_id": Field(("request", "namespace", "id"), "text"),
    "request_namespace_path": Field(("request", "namespace", "path"), "text"),
    "request_wrap_ttl": Field(("request", "wrap_ttl"), "int"),
    "request_data": Field(("request", "data"), "json"),
    "request_headers": Field(("request", "headers"), "json"),
    "response": Field(("response",), "object"),
    "response_mount_point": Field(("response", "mount_point"), "text"),
    "response_mount_type": Field(("response", "mount_type"), "text"),
    "response_data": Field(("response", "data"), "json"),
    "response_wrap": Field(("response", "wrap_info"), "object"),
    "response_wrap_ttl": Field(("response", "wrap_info", "ttl"), "int"),
    "response_wrap_token": Field(("response", "wrap_info", "token"), "text"),
    "response_wrap_accessor": Field(("response", "wrap_info", "accessor"), "text"),
    "response_wrapped_accessor": Field(("response", "wrap_info", "wrapped_accessor"), "text"),
    **_auth("issued", ("response", "auth")),
}

RAW: Final = raw_schema(FIELDS)

# Values that a device hashes; in clear they must not stay.
TOKENS: Final = (
    "auth_client_token", "auth_accessor", "request_client_token", "request_client_token_accessor",
    "issued_client_token", "issued_accessor", "response_wrap_token", "response_wrap_accessor",
    "response_wrapped_accessor",
)  # fmt: skip

GUARDED: Final = tuple(name for name in guarded(FIELDS) if name != "granting_policies")
