"""From a store's path and verb to the one vocabulary of operations (SOURCES section 3), per distinct row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.decoders._expressions import first
from pipeline.decoders.vault.places import PATH, REST, engine_is, placed

if TYPE_CHECKING:
    from collections.abc import Mapping

_VERB: Final = pl.col("request_operation")
_LISTED: Final = _VERB.is_in(["list", "scan"])
_WRITTEN: Final = _VERB.is_in(["create", "update", "patch"])
_DONE: Final = _WRITTEN | (_VERB == "read")  # the engine's own calls come as either
_ASKED: Final = ~_VERB.is_in(["list", "scan", "help"])
_LOGIN: Final = r"(?:^|/)(?:login|callback)(?:/|$)|/oidc/(?:auth_url|callback|poll)$"

# Below the mount, first match first: what a call does whose path says more than its verb.
_TRANSIT: Final = {
    r"^(?:decrypt|datakey/plaintext|export|backup|byok-export)/": "read",
    r"^keys/[^/]+/rotate$": "rotate",
    r"^keys/[^/]+/trim$": "delete",
}
_PKI: Final = {
    r"^(?:issuer/[^/]+/)?(?:issue|sign(?:-verbatim|-intermediate|-self-issued)?)(?:/|$)": "read",
    r"^(?:revoke|revoke-with-key)$|^issuer/[^/]+/revoke$": "revoke",
    r"^root/(?:rotate|replace)": "rotate",
    r"^(?:tidy|ocsp)": "other",
}
# Engines that make credentials: databases, clouds, directories, ssh, and those not known by name.
_DYNAMIC: Final = {
    r"^(?:creds?|static-creds?|sts|token|key|issue)/|^library/.+/check-out$": "read",
    r"^(?:roleset|static-account|impersonated-account)/[^/]+/(?:token|key)$": "read",
    r"^(?:rotate-root|rotate-role)(?:/|$)|/rotate(?:-root|-key)?$": "rotate",
}
_SSH: Final = {r"^sign/": "read", r"^(?:verify|lookup|public_key)": "other"}
_ROLES: Final = (
    r"^(?:roles?|static-roles?|rolesets?|static-accounts?|impersonated-accounts?|config|library|reset|reload)(?:/|$)"
)
_TOKEN: Final = {r"^revoke": "revoke", r"^(?:create|renew|lookup)": "auth", r"^tidy": "other"}
_APPROLE: Final = {r"/secret-id(?:-accessor)?/destroy$": "revoke", r"/secret-id(?:-accessor)?/lookup$": "list"}
_SYSTEM: Final = {
    r"^sys/(?:un)?seal$|^sys/step-down$|^sys/init$|^sys/generate-(?:root|recovery)|^sys/rekey": "seal",
    r"^sys/rotate(?:/(?:keyring|root|recovery)(?:/.*)?)?$": "rotate",
    r"^sys/(?:leases/)?revoke": "revoke",
    r"^sys/leases/(?:lookup|count)|^sys/wrapping/lookup|^sys/internal/ui": "list",
    r"^sys/wrapping/unwrap": "read",
}
_ADMIN: Final = (
    r"^sys/(?:polic(?:y|ies)|mounts|auth|remount|namespaces|config|plugins|quotas|rotate/config|audit|managed-keys"
    r"|storage/raft|replication|license|mfa)(?:/|$)"
)


def _cases(patterns: Mapping[str, str], *, of: pl.Expr = REST, when: pl.Expr = _DONE) -> list[tuple[pl.Expr, str]]:
    return [(of.str.contains(pattern) & when, value) for pattern, value in patterns.items()]


def _by_verb(*, read: str = "list", write: str = "write", delete: str = "delete") -> pl.Expr:
    """The class that the verb alone gives. Asking for settings is to browse."""
    return first(
        (_LISTED, "list"),
        (_VERB.is_in(["read", "header"]), read),
        (_WRITTEN, write),
        (_VERB == "delete", delete),
        (_VERB == "revoke", "revoke"),
        otherwise="other",
    )


_SETTINGS: Final = _by_verb(write="policy", delete="policy")
_VALUES: Final = _by_verb(read="read")
_KV_OPTIONS: Final = r"^(?:config$|metadata/)"  # of a KV mount, or of one secret in it


def _kv() -> pl.Expr:
    return first(
        (REST.str.contains(r"^(?:delete|destroy)(?:/|$)") & _WRITTEN, "delete"),
        (REST.str.contains(r"^(?:metadata|subkeys)(?:/|$)"), _by_verb()),
        otherwise=_VALUES,
    )


def _transit() -> pl.Expr:
    managed = REST.str.contains(r"^(?:keys|restore|config|cache-config)(?:/|$)")
    return first(*_cases(_TRANSIT), (managed, _by_verb()), (_LISTED, "list"), otherwise="other")


def _pki() -> pl.Expr:
    return first(*_cases(_PKI), (REST.str.contains(r"^(?:roles|config)(?:/|$)"), _SETTINGS), otherwise=_by_verb())


def _dynamic() -> pl.Expr:
    ssh = _cases(_SSH, when=_DONE & engine_is("ssh"))
    return first(*_cases(_DYNAMIC), *ssh, (REST.str.contains(_ROLES), _SETTINGS), otherwise=_VALUES)


def _totp() -> pl.Expr:
    code = REST.str.contains(r"^code/")
    return first((code & (_VERB == "read"), "read"), (code, "other"), otherwise=_by_verb())


def _auth() -> pl.Expr:
    return first(
        *_cases({_LOGIN: "auth"}, when=_ASKED),
        *_cases(_TOKEN, when=_ASKED & (pl.col("mount") == "auth/token/")),
        *_cases(_APPROLE, when=_ASKED),
        *_cases({r"/(?:custom-)?secret-id$": "auth"}, when=_WRITTEN),
        otherwise=_SETTINGS,
    )


def _system() -> pl.Expr:
    changed = _WRITTEN | (_VERB == "delete")
    snapshot = PATH.str.contains(r"^sys/storage/raft/snapshot(?:-force)?$")
    return first(
        (_LISTED, "list"),
        *_cases(_SYSTEM, of=PATH, when=_ASKED),
        (snapshot & (_VERB == "read"), "read"),
        (snapshot & changed, "write"),
        (PATH.str.contains(r"^sys/raw(?:/|$)"), _VALUES),
        (PATH.str.contains(r"^sys/audit(?:/|$)") & changed, "audit_control"),
        (PATH.str.contains(_ADMIN), _SETTINGS),
        otherwise="other",
    )


def _identity() -> pl.Expr:
    issued = REST.str.contains(r"^oidc/(?:token|provider/[^/]+/(?:authorize|token))")
    return first(
        (issued & ~_LISTED, "auth"),
        (REST.str.contains(r"^lookup/|^oidc/introspect"), "list"),
        otherwise=_SETTINGS,
    )


def _operation() -> pl.Expr:
    return first(
        (_VERB.is_in(["help", "alias-lookahead", "resolve-role", "rollback"]), "other"),
        (engine_is("auth"), _auth()),
        (engine_is("system"), _system()),
        (engine_is("identity"), _identity()),
        (engine_is("kv", "cubbyhole"), _kv()),
        (engine_is("transit"), _transit()),
        (engine_is("pki"), _pki()),
        (engine_is("totp"), _totp()),
        otherwise=_dynamic(),
    )


def describe(keys: pl.DataFrame) -> pl.DataFrame:
    """What each row of places.KEY means, row by row.

    Columns: namespace, mount, mount_type, engine, secret, operation (schema.OPERATIONS_VOCABULARY), login (a log-in),
    options (what is sent there are options of the store, and nobody's secret).
    """
    options = ~engine_is("kv", "cubbyhole") | (engine_is("kv") & REST.str.contains(_KV_OPTIONS))
    login = engine_is("auth") & REST.str.contains(_LOGIN)
    return placed(keys).select(
        "namespace", "mount", "mount_type", "engine", "secret",
        operation=_operation().fill_null("other"), login=login.fill_null(value=False),
        options=options.fill_null(value=False),
    )  # fmt: skip
