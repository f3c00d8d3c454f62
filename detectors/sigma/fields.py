"""Which words a rule may use for which stream, and what each means over OPERATION rows.

A field is an expression over a few base columns; rules are evaluated on the distinct combinations of those. Lists are
carried as text with `BETWEEN` between the items.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.core.schema import OPERATION, OPERATIONS_VOCABULARY, OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Mapping

BETWEEN: Final = "\x1f"
PARTS: Final = ("minute", "hour", "day", "week", "month", "year")

_VERBS: Final = (
    "create", "read", "update", "patch", "delete", "list", "scan", "help", "alias-lookahead", "resolve-role", "header",
    "revoke", "renew", "rollback", "recover",
)  # fmt: skip
_KINDS: Final = ("service", "human", "pod", "token", "root", "anonymous", "unknown")
# What `flags` may hold: the options of a request that a decoder tells of. "x=?" is one whose value was hashed,
# "bound=none" any bound that was set to nothing.
FLAGS: Final = (
    "exportable", "allow_plaintext_backup", "deletion_allowed", "no_parent", "no_default_policy", "renewable=false",
    "period", "log_raw", "log_raw=?", "hmac_accessor=false", "hmac_accessor=?", "allow_any_name", "audit_non_hmac",
    "force", "min_decryption_version", "bound=none", "complete", "policies", "max_versions=1", "cas_required=false",
    "delete_version_after", "version",
)  # fmt: skip
_OPTIONS: Final = tuple(name for name in FLAGS if "=" not in name)


@dataclass(frozen=True, slots=True)
class Field:
    """What a rule's word means. `kind`: text, texts, number, flag or time.

    `values` is everything that can stand there, in lower case, where that is known. `never` maps a regular expression
    that no value of the field matches to the reason.
    """

    columns: tuple[str, ...]
    expr: pl.Expr
    kind: str = "text"
    values: tuple[str, ...] = ()
    never: tuple[tuple[str, str], ...] = ()


def base(name: str) -> pl.Expr:
    """A base column as it is taken from OPERATION rows."""
    if name in PARTS:
        return getattr(pl.col("time").dt, name)().cast(pl.Int64).alias(name)  # type: ignore[no-any-return]
    if OPERATION[name] == pl.List(pl.String):
        return pl.col(name).list.join(BETWEEN)
    if OPERATION[name] == pl.Boolean():
        return pl.col(name).cast(pl.Int64)
    return pl.col(name)


def _text(column: str, *values: str, never: tuple[tuple[str, str], ...] = ()) -> Field:
    return Field((column,), pl.col(column), "text", values, never)


def _as(column: str, kind: str) -> Field:
    return Field((column,), pl.col(column), kind)


def _holds(name: str) -> pl.Expr:
    around = pl.concat_str(pl.lit(BETWEEN), pl.col("flags"), pl.lit(BETWEEN))
    return around.str.contains(f"{BETWEEN}{name}{BETWEEN}", literal=True).fill_null(value=False).cast(pl.Int64)


def _issued() -> pl.Expr:
    """A revocation's is that of the token it ends, and not in its response."""
    return pl.when(pl.col("operation") != "revoke").then("login_session")


def _local() -> pl.Expr:
    path = pl.col("path").fill_null("")
    inside = (pl.col("namespace") != "") & path.str.starts_with(pl.concat_str("namespace", pl.lit("/")))
    cut = pl.when(inside).then(path.str.slice(pl.col("namespace").str.len_chars() + 1)).otherwise(path)
    return cut.str.strip_suffix("/")


def _rest() -> pl.Expr:
    mount, at = pl.col("mount").fill_null(""), _local()
    known = (mount != "") & at.str.starts_with(mount)
    # Without a known mount, what follows the first name.
    return pl.when(known).then(at.str.slice(mount.str.len_chars())).otherwise(at.str.replace(r"^[^/]*/?", ""))


def _engine() -> pl.Expr:
    kind = pl.col("mount_type").fill_null("")
    return pl.when(kind == "").then(pl.col("mount").fill_null("").str.strip_chars("/")).otherwise(kind)


_SLASHES: Final = (
    (r"^/", "a path never begins with a slash"),
    (r"^v1/", "a path is told without the API's v1/"),
    (r"/$", "the slash at the end of a path is left out"),
)
_END: Final = ((r"/$", "it is told without a slash at its end"),)
_METHOD: Final = Field(("api_operation",), pl.col("api_operation").str.to_lowercase().str.extract(r"([^./]+)$", 1))

# The lake's own names, for every stream.
OWN: Final[Mapping[str, Field]] = {
    **{
        name: _text(name)
        for name in (
            "store", "cluster", "api_operation", "principal", "session", "client_ip", "user_agent", "mount", "error",
            "correlation_uid", "path", "mount_type", "zone", "entity", "token_type", "login_principal", "login_session",
            "canary",
        )
    },
    "store": _text("store", "vault", "aws", "gcp", "azure", "kubernetes"),
    "operation": _text("operation", *OPERATIONS_VOCABULARY),
    "outcome": _text("outcome", *OUTCOMES),
    "principal_type": _text("principal_type", *_KINDS),
    "namespace": _text("namespace", never=_END),
    "secret": _text("secret", never=_END),
    **{name: _as(name, "texts") for name in ("policies", "login_policies", "flags", "devices")},
    **{name: _as(name, "number") for name in ("secret_version", "latency_ms", "token_ttl", "wrap_ttl")},
    **{name: _as(name, "flag") for name in ("discloses_value", "paired", "clear")},
    "time": Field(("time",), pl.col("time"), "time"),
    "engine": Field(("mount_type", "mount"), _engine()),
    "path_in_mount": Field(("namespace", "path", "mount"), _rest(), never=_SLASHES[:1]),
    "method": _METHOD,
}  # fmt: skip

_VAULT: Final[Mapping[str, Field]] = {
    "request.id": OWN["correlation_uid"],
    "request.path": Field(("namespace", "path"), _local(), never=_SLASHES),
    "request.operation": Field(("api_operation",), pl.col("api_operation").str.to_lowercase(), "text", _VERBS),
    "request.remote_address": OWN["client_ip"],
    "request.namespace.path": OWN["namespace"],
    "request.mount_type": OWN["mount_type"],
    "request.mount_point": OWN["mount"],
    "request.headers.user-agent": OWN["user_agent"],
    "request.client_token_accessor": OWN["session"],
    "auth.accessor": OWN["session"],
    "auth.entity_id": OWN["entity"],
    "auth.policies": OWN["policies"],
    "auth.token_type": replace(OWN["token_type"], values=("service", "batch", "default")),
    "response.auth.policies": OWN["login_policies"],
    "response.auth.accessor": Field(("login_session", "operation"), _issued()),
    "response.auth.token_ttl": OWN["token_ttl"],
    "response.wrap_info.ttl": OWN["wrap_ttl"],
    **{f"request.data.{name}": Field(("flags",), _holds(name), "flag") for name in _OPTIONS if name != "complete"},
    "response.data.complete": Field(("flags",), _holds("complete"), "flag"),
}
_AWS: Final[Mapping[str, Field]] = {
    "eventName": _METHOD,
    "userIdentity.arn": OWN["principal"],
    "sourceIPAddress": OWN["client_ip"],
    "userAgent": OWN["user_agent"],
    "errorCode": OWN["error"],
    "requestParameters.secretId": OWN["secret"],
}
_GCP: Final[Mapping[str, Field]] = {
    "gcp.audit.method_name": OWN["api_operation"],
    "data.protoPayload.methodName": OWN["api_operation"],
    "data.protoPayload.authenticationInfo.principalEmail": OWN["principal"],
    "data.protoPayload.requestMetadata.callerIp": OWN["client_ip"],
}
_AZURE: Final[Mapping[str, Field]] = {
    "operationName": OWN["api_operation"],
    "callerIpAddress": OWN["client_ip"],
    "correlationId": OWN["correlation_uid"],
}
_KUBERNETES: Final[Mapping[str, Field]] = {
    "verb": OWN["api_operation"],
    "user.username": OWN["principal"],
    "sourceIPs": OWN["client_ip"],
    "userAgent": OWN["user_agent"],
    "requestURI": OWN["path"],
    "objectRef.namespace": OWN["namespace"],
}


@dataclass(frozen=True, slots=True)
class Stream:
    """What a logsource stands for: the stores it tells of ("" for all), the services it may name, and its words."""

    store: str
    services: tuple[str, ...]
    fields: Mapping[str, Field]


# By product. Without a service, all of a product is meant.
STREAMS: Final[Mapping[str, Stream]] = {
    "vault": Stream("vault", ("audit",), {**OWN, **_VAULT}),
    "openbao": Stream("vault", ("audit",), {**OWN, **_VAULT}),
    "aws": Stream("aws", ("cloudtrail",), {**OWN, **_AWS}),
    "gcp": Stream("gcp", ("gcp.audit",), {**OWN, **_GCP}),
    "azure": Stream("azure", ("keyvault",), {**OWN, **_AZURE}),
    "kubernetes": Stream("kubernetes", ("audit",), {**OWN, **_KUBERNETES}),
    "keytrail": Stream("", ("operations",), OWN),
}
