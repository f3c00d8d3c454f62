"""From a path as logged to namespace, mount, engine and the one name of each secret.

Worked out per distinct row of KEY columns, of which a log has few. Where an entry has no mount fields (before 2023) the
path's own form stands in.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.decoders._expressions import first

KEY: Final = (
    "request_operation", "mount_point", "mount_type", "request_namespace_id", "request_namespace_path", "request_path",
)  # fmt: skip
# The mount as the request names it, else as the response does.
MOUNT: Final = tuple(
    pl.coalesce(f"request_{name}", f"response_{name}").alias(name) for name in ("mount_point", "mount_type")
)

# An API word below the mount that names an engine, for entries without mount_type.
_FORMS: Final = {
    "kv": r"^(?:data|metadata|delete|undelete|destroy|subkeys)(?:/|$)",
    "transit": r"^(?:encrypt|decrypt|rewrap|datakey|export|backup|restore|keys)/",
    "pki": r"^(?:issue|sign|sign-verbatim|revoke|issuers?|root|intermediate)(?:/|$)",
    "database": r"^(?:creds|static-creds|static-roles|rotate-role|rotate-root)/",
}
_USUAL: Final = [
    "identity", "cubbyhole", "transit", "pki", "ssh", "totp", "database", "aws", "azure", "gcp", "gcpkms", "alicloud",
    "ad", "ldap", "consul", "nomad", "rabbitmq", "kubernetes", "terraform", "mongodbatlas", "kmip", "transform",
]  # fmt: skip

# API words in front of a name, by engine; "*" is every other engine with roles and credentials.
_WORDS: Final = {
    "kv": _FORMS["kv"],
    "transit": (
        r"^(?:keys|encrypt|decrypt|rewrap|sign|verify|hmac|backup|restore|(?:datakey|export|byok-export)/[^/]+)(?:/|$)"
    ),
    "pki": (
        r"^(?:issuer/[^/]+/(?:issue|sign(?:-verbatim)?)|issue|sign|sign-verbatim|roles|certs?|issuers?|keys?|eab)(?:/|$)"
    ),
    "ssh": r"^(?:creds|sign|issue|roles)(?:/|$)",
    "totp": r"^(?:keys|code)(?:/|$)",
    "*": (
        r"^(?:creds?|sts|static-creds?|static-roles?|roles?|rolesets?|rotate-role|rotate-root|reset|reload|config|library"
        r"|static-accounts?|impersonated-accounts?|token|key|secret|encode|decode)(?:/|$)"
    ),
}
# Settings and answers that are the same for all.
_NAMELESS: Final = {
    "transit": r"^(?:random|hash|cache-config|wrapping_key|config)(?:/|$)",
    "pki": r"^(?:config|crl|ca|ca_chain|tidy|tidy-status|tidy-cancel|revoke|revoke-with-key|ocsp|acme)(?:/|$)",
    "ssh": r"^(?:config|public_key|verify|lookup|zeroaddress|tidy)(?:/|$)",
    "*": r"^(?:config|rotate-root|tidy)$|^config/(?:root|lease|rotate-root|access|client)$",
}
# What follows a name: an action on it, a version, an algorithm.
_TAILS: Final = {
    "transit": r"^([^/]+)/.*$",
    "pki": (
        r"^([^/]+)/(?:json|pem|der|crl|revoke|issue|sign.*|resign-crls|generate|rotate|replace|set-signed|cross-sign)"
        r"(?:/.*)?$"
    ),
    "*": r"^([^/]+)/(?:rotate|rotate-key|token|key|status|check-out|check-in|manage(?:/.*)?)$",
}

PATH: Final = pl.col("path")
REST: Final = pl.col("rest")


def engine_is(*engines: str) -> pl.Expr:
    """Whether the row's engine is one of these."""
    return pl.col("engine").is_in(list(engines))


def placed(keys: pl.DataFrame) -> pl.DataFrame:
    """`keys` with namespace, path, mount, mount_type, engine, rest (the path below the mount) and secret."""
    space = pl.col("request_namespace_path").fill_null("").str.strip_chars("/")
    named = pl.col("request_namespace_id").fill_null("root").replace("root", "")
    logged = pl.col("mount_point").replace("", None)
    inner = pl.when(pl.col("below") != "").then(logged.str.strip_prefix(pl.col("below")))
    return (
        keys.with_columns(
            path=pl.col("request_path").fill_null(""),
            namespace=first((space != "", space), otherwise=named),
            below=first((space != "", space + "/"), otherwise=""),
            mount_type=pl.col("mount_type").replace("", None),
        )
        .with_columns(mount=pl.coalesce(inner.replace("", None), logged))
        .with_columns(path=_relative_path())
        .with_columns(mount=pl.coalesce("mount", _guessed_mount()))
        .with_columns(rest=PATH.str.strip_prefix(pl.col("mount")))
        .with_columns(mount_type=pl.coalesce("mount_type", _guessed_type()))
        .with_columns(engine=_engine())
        .with_columns(secret=_secret())
    )


def _relative_path() -> pl.Expr:
    """The path without the namespace where it repeats it (Enterprise, by some routes)."""
    bare = PATH.str.strip_prefix(pl.col("below"))
    repeated = (pl.col("below") != "") & (bare != PATH)
    at_mount = PATH.str.starts_with(pl.col("mount")).fill_null(value=False)
    return first((repeated & ~at_mount, bare), otherwise=PATH)


def _guessed_mount() -> pl.Expr:
    """The mount of an entry that does not name one: of a log-in all before `login`, else the first segment."""
    login = PATH.str.extract(r"^(auth/.+?/)login(?:/|$)")
    auth = PATH.str.extract(r"^(auth/[^/]+)") + "/"
    return first((PATH == "", ""), otherwise=pl.coalesce(login, auth, PATH.str.extract(r"^([^/]*)") + "/"))


def _guessed_type() -> pl.Expr:
    """The engine by its mount's usual name or by the API word; null when neither tells."""
    at = pl.col("mount").str.strip_suffix("/")
    below_auth = PATH.str.starts_with("auth/")
    forms = [(REST.str.contains(form) & ~below_auth, engine) for engine, form in _FORMS.items()]
    return first(
        (at == "sys", "system"),
        (at == "auth/token", "token"),
        (at.is_in(_USUAL), at),
        *forms,
        otherwise=pl.lit(None, dtype=pl.String),
    )


def _engine() -> pl.Expr:
    kind = pl.col("mount_type").str.strip_prefix("ns_").replace({"generic": "kv", "openldap": "ldap"})
    system = PATH.str.starts_with("sys/") | (PATH == "sys")
    return first((PATH.str.starts_with("auth/"), "auth"), (system, "system"), otherwise=kind.fill_null("kv"))


def _secret() -> pl.Expr:
    """`<mount>/<name>` without the API's word, without a slash at the end; empty for system and log-in paths."""
    by_engine = [(engine_is(engine), _named(engine)) for engine in ("kv", "transit", "pki", "ssh", "totp")]
    name = first((engine_is("cubbyhole"), REST), *by_engine, otherwise=_named("*"))
    whole = (pl.col("mount") + name).str.strip_chars_end("/")
    return first(((PATH == "") | engine_is("auth", "system", "identity"), ""), otherwise=whole.fill_null(""))


def _named(engine: str) -> pl.Expr:
    name = REST.str.replace(_WORDS[engine], "")
    if engine in _TAILS:
        name = name.str.replace(_TAILS[engine], "$1")
    if engine in _NAMELESS:
        name = first((REST.str.contains(_NAMELESS[engine]), ""), otherwise=name)
    return name
