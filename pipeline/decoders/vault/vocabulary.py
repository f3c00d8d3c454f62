"""From a store's path and verb to the one vocabulary of operations and the one name of each secret.

Worked out per distinct (path, mount, engine, verb, namespace), of which a log has few, as Polars expressions. The
mapping is that of SOURCES section 3; where an entry has no mount fields (before 2023) the path's form stands in.
"""

from __future__ import annotations

from typing import Final

import polars as pl

KEY: Final = (
    "request_path", "request_mount_point", "response_mount_point", "request_mount_type", "response_mount_type",
    "request_operation", "request_namespace_id", "request_namespace_path",
)  # fmt: skip

_READS: Final = ["read", "list", "scan", "header"]
_WRITES: Final = ["create", "update", "patch"]
_KV2: Final = ["data", "metadata", "delete", "undelete", "destroy", "subkeys"]
_LOGIN: Final = r"(?:^|/)(?:login|callback)(?:/|$)|/oidc/(?:auth_url|callback|poll)$"

# First path segment below the mount that names an engine, for entries without mount_type.
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

# API words in front of a name, by engine; `*` is every other engine with roles and credentials.
_WORDS: Final = {
    "kv": r"^(?:data|metadata|delete|undelete|destroy|subkeys)(?:/|$)",
    "transit": (
        r"^(?:keys|encrypt|decrypt|rewrap|sign|verify|hmac|backup|restore|datakey/[^/]+|export/[^/]+|byok-export/[^/]+)(?:/|$)"
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
# What is no one's secret in these engines: settings and answers that are the same for all.
_NAMELESS: Final = {
    "transit": r"^(?:random|hash|cache-config|wrapping_key|config)(?:/|$)",
    "pki": r"^(?:config|crl|ca|ca_chain|tidy|tidy-status|tidy-cancel|revoke|revoke-with-key|ocsp|acme)(?:/|$)",
    "ssh": r"^(?:config|public_key|verify|lookup|zeroaddress|tidy)(?:/|$)",
    "*": r"^(?:config|rotate-root|tidy)$|^config/(?:root|lease|rotate-root|access|client)$",
}
# What follows a name: an action on it, a version, an algorithm.
_TAILS: Final = {
    "transit": (r"^([^/]+)/.*$"),
    "pki": r"^(root|intermediate)/.*$|^([^/]+)/(?:json|pem|der|crl|revoke|issue|sign.*|resign-crls)(?:/.*)?$",
    "*": r"^([^/]+)/(?:rotate|rotate-key|token|key|status|check-out|check-in|manage(?:/.*)?)$",
}


def _is(*engines: str) -> pl.Expr:
    return pl.col("engine").is_in(list(engines))


def _rest(pattern: str) -> pl.Expr:
    return pl.col("rest").str.contains(pattern)


_verb: Final = pl.col("request_operation")
_path: Final = pl.col("path")


def _placed(keys: pl.DataFrame) -> pl.DataFrame:
    """`keys` with namespace, path, mount, mount_type, engine and rest, the path below the mount."""
    space = pl.col("request_namespace_path").fill_null("").str.strip_chars("/")
    unnamed = pl.col("request_namespace_id").fill_null("root")
    named = pl.when(space != "").then(space).when(unnamed == "root").then(pl.lit("")).otherwise(unnamed)
    logged = pl.coalesce("request_mount_point", "response_mount_point").replace("", None)
    inner = pl.when(pl.col("below") != "").then(logged.str.strip_prefix(pl.col("below")))
    return (
        keys.with_columns(
            path=pl.col("request_path").fill_null(""),
            namespace=named,
            below=pl.when(space != "").then(space + "/").otherwise(pl.lit("")),
            mount_type=pl.coalesce("request_mount_type", "response_mount_type").replace("", None),
        )
        .with_columns(mount=pl.coalesce(inner.replace("", None), logged))
        .with_columns(path=_relative_path())
        .with_columns(mount=pl.coalesce("mount", _guessed_mount()))
        .with_columns(rest=_path.str.strip_prefix(pl.col("mount")))
        .with_columns(mount_type=pl.coalesce("mount_type", _guessed_type()))
        .with_columns(engine=_engine())
    )


def _relative_path() -> pl.Expr:
    """The path without the namespace where it repeats it (Enterprise, by some routes)."""
    bare = _path.str.strip_prefix(pl.col("below"))
    repeated = (pl.col("below") != "") & (bare != _path)
    at_mount = pl.col("mount").is_not_null() & _path.str.starts_with(pl.col("mount"))
    return pl.when(repeated & ~at_mount.fill_null(value=False)).then(bare).otherwise(_path)


def _guessed_mount() -> pl.Expr:
    """The mount of an entry that does not name one: of a log-in all before `login`, else the first segment."""
    return (
        pl.when(_path.str.contains(r"^auth/.+/login(?:/|$)"))
        .then(_path.str.extract(r"^(auth/.+?/)login(?:/|$)"))
        .when(_path.str.starts_with("auth/"))
        .then(_path.str.extract(r"^(auth/[^/]+)") + "/")
        .when(_path == "")
        .then(pl.lit(""))
        .otherwise(_path.str.extract(r"^([^/]*)") + "/")
    )


def _guessed_type() -> pl.Expr:
    """The engine by its mount's usual name or by the API word; null when neither tells."""
    first = pl.col("mount").str.strip_suffix("/")
    guess = pl.when(first == "sys").then(pl.lit("system")).when(first == "auth/token").then(pl.lit("token"))
    guess = guess.when(first.is_in(_USUAL)).then(first)
    for engine, form in _FORMS.items():
        guess = guess.when(_rest(form) & ~_path.str.starts_with("auth/")).then(pl.lit(engine))
    return guess


def _engine() -> pl.Expr:
    kind = pl.col("mount_type").str.strip_prefix("ns_").replace({"generic": "kv", "openldap": "ldap"})
    return (
        pl.when(_path.str.starts_with("auth/"))
        .then(pl.lit("auth"))
        .when(_path.str.starts_with("sys/") | (_path == "sys"))
        .then(pl.lit("system"))
        .otherwise(kind.fill_null("kv"))
    )


def _secret() -> pl.Expr:
    """`<mount>/<name>` without the API's word, without a slash at the end; empty for system and log-in paths."""
    name = pl.col("rest")
    chosen = pl.when(_is("auth", "system", "identity")).then(pl.lit(None, pl.String))
    for engine in ("kv", "transit", "pki", "ssh", "totp"):
        chosen = chosen.when(_is(engine)).then(_named(engine))
    chosen = chosen.when(_is("cubbyhole")).then(name).otherwise(_named("*"))
    whole = (pl.col("mount") + chosen).str.strip_chars_end("/")
    return pl.when(_path == "").then(pl.lit("")).otherwise(whole.fill_null(""))


def _named(engine: str) -> pl.Expr:
    rest = pl.col("rest")
    name = rest.str.replace(_WORDS[engine], "")
    if engine in _TAILS:
        name = name.str.replace(_TAILS[engine], "$1$2" if engine == "pki" else "$1")
    if engine in _NAMELESS:
        name = pl.when(rest.str.contains(_NAMELESS[engine])).then(pl.lit("")).otherwise(name)
    return name


def _by_verb(write: str = "write", delete: str = "delete", read: str = "list") -> pl.Expr:
    """The class that the verb alone gives."""
    return (
        pl.when(_verb.is_in(["list", "scan"]))
        .then(pl.lit("list"))
        .when(_verb.is_in(["read", "header"]))
        .then(pl.lit(read))
        .when(_verb.is_in(_WRITES))
        .then(pl.lit(write))
        .when(_verb == "delete")
        .then(pl.lit(delete))
        .when(_verb == "revoke")
        .then(pl.lit("revoke"))
        .otherwise(pl.lit("other"))
    )


def _kv() -> pl.Expr:
    return (
        pl.when(_rest(r"^(?:delete|destroy)(?:/|$)") & _verb.is_in(_WRITES))
        .then(pl.lit("delete"))
        .when(_rest(r"^(?:metadata|subkeys)(?:/|$)"))
        .then(_by_verb())
        .otherwise(_by_verb(read="read"))
    )


def _transit() -> pl.Expr:
    done = _verb.is_in([*_WRITES, "read"])
    return (
        pl.when(_rest(r"^(?:decrypt|datakey/plaintext|export|backup|byok-export)/") & done)
        .then(pl.lit("read"))
        .when(_rest(r"^keys/[^/]+/rotate$") & done)
        .then(pl.lit("rotate"))
        .when(_rest(r"^keys/[^/]+/trim$") & done)
        .then(pl.lit("delete"))
        .when(_rest(r"^(?:keys|restore|config|cache-config)(?:/|$)"))
        .then(_by_verb())
        .otherwise(pl.when(_verb.is_in(["list", "scan"])).then(pl.lit("list")).otherwise(pl.lit("other")))
    )


def _pki() -> pl.Expr:
    done = _verb.is_in([*_WRITES, "read"])
    return (
        pl.when(
            _rest(r"^(?:issuer/[^/]+/)?(?:issue|sign|sign-verbatim|sign-intermediate|sign-self-issued)(?:/|$)") & done
        )
        .then(pl.lit("read"))
        .when(_rest(r"^(?:revoke|revoke-with-key)$|^issuer/[^/]+/revoke$") & done)
        .then(pl.lit("revoke"))
        .when(_rest(r"^root/(?:rotate|replace)") & done)
        .then(pl.lit("rotate"))
        .when(_rest(r"^(?:roles|config)(?:/|$)"))
        .then(_by_verb(write="policy", delete="policy"))
        .when(_rest(r"^(?:tidy|ocsp)"))
        .then(pl.lit("other"))
        .otherwise(_by_verb())
    )


def _dynamic() -> pl.Expr:
    """Engines that make credentials: database, clouds, directories, ssh, and those not known by name."""
    done = _verb.is_in([*_WRITES, "read"])
    return (
        pl.when(
            _rest(
                r"^(?:creds?|static-creds?|sts|token|key|issue)/|^library/.+/check-out$|^(?:roleset|static-account|impersonated-account)/[^/]+/(?:token|key)$"
            )
            & done
        )
        .then(pl.lit("read"))
        .when(_is("ssh") & _rest(r"^sign/") & done)
        .then(pl.lit("read"))
        .when(_is("ssh") & _rest(r"^(?:verify|lookup|public_key)"))
        .then(pl.lit("other"))
        .when(_rest(r"^(?:rotate-root|rotate-role)(?:/|$)|/rotate(?:-root|-key)?$") & done)
        .then(pl.lit("rotate"))
        .when(
            _rest(
                r"^(?:roles?|static-roles?|rolesets?|static-accounts?|impersonated-accounts?|config|library|reset|reload)(?:/|$)"
            )
        )
        .then(_by_verb(write="policy", delete="policy"))
        .otherwise(_by_verb(read="read"))
    )


def _totp() -> pl.Expr:
    code = pl.when(_verb == "read").then(pl.lit("read")).otherwise(pl.lit("other"))
    return pl.when(_rest(r"^code/")).then(code).otherwise(_by_verb())


def _auth() -> pl.Expr:
    token = pl.col("mount") == "auth/token/"
    done = ~_verb.is_in(["list", "scan", "help"])
    return (
        pl.when(_rest(_LOGIN) & done)
        .then(pl.lit("auth"))
        .when(token & _rest(r"^revoke") & done)
        .then(pl.lit("revoke"))
        .when(token & _rest(r"^(?:create|renew|lookup)") & done)
        .then(pl.lit("auth"))
        .when(token & _rest(r"^tidy"))
        .then(pl.lit("other"))
        .when(_rest(r"/secret-id(?:-accessor)?/destroy$") & done)
        .then(pl.lit("revoke"))
        .when(_rest(r"/secret-id(?:-accessor)?/lookup$") & done)
        .then(pl.lit("list"))
        .when(_rest(r"/(?:custom-)?secret-id$") & _verb.is_in(_WRITES))
        .then(pl.lit("auth"))
        .otherwise(_by_verb(write="policy", delete="policy"))
    )


def _system() -> pl.Expr:
    changed = _verb.is_in([*_WRITES, "delete"])
    done = ~_verb.is_in(["list", "scan", "help"])
    listed = pl.when(_verb.is_in(["list", "scan"])).then(pl.lit("list"))
    for pattern, value in _SYSTEM.items():
        listed = listed.when(_path.str.contains(pattern) & done).then(pl.lit(value))
    return (
        listed.when(_path.str.contains(r"^sys/storage/raft/snapshot$") & (_verb == "read"))
        .then(pl.lit("read"))
        .when(_path.str.contains(r"^sys/storage/raft/snapshot") & changed)
        .then(pl.lit("write"))
        .when(_path.str.contains(r"^sys/raw(?:/|$)"))
        .then(_by_verb(read="read"))
        .when(_path.str.contains(r"^sys/audit(?:/|$)") & changed)
        .then(pl.lit("audit_control"))
        .when(_path.str.contains(_ADMIN) & done)
        .then(_by_verb(write="policy", delete="policy"))
        .otherwise(pl.lit("other"))
    )


_SYSTEM: Final = {
    r"^sys/(?:un)?seal$|^sys/step-down$|^sys/init$|^sys/generate-(?:root|recovery)|^sys/rekey": "seal",
    r"^sys/rotate(?:/(?:keyring|root|recovery)(?:/.*)?)?$": "rotate",
    r"^sys/(?:leases/)?revoke": "revoke",
    r"^sys/leases/(?:lookup|count)|^sys/wrapping/lookup|^sys/internal/ui": "list",
    r"^sys/wrapping/unwrap": "read",
}
_ADMIN: Final = (
    r"^sys/(?:polic(?:y|ies)|mounts|auth|remount|namespaces|config|plugins|quotas|rotate/config|audit|managed-keys"
    r"|storage/raft|replication|license|mfa|identity)(?:/|$)"
)


def _identity() -> pl.Expr:
    return (
        pl.when(_rest(r"^oidc/(?:token|provider/[^/]+/(?:authorize|token))") & (_verb != "list"))
        .then(pl.lit("auth"))
        .when(_rest(r"^lookup/|^oidc/introspect"))
        .then(pl.lit("list"))
        .otherwise(_by_verb(write="policy", delete="policy"))
    )


def _operation() -> pl.Expr:
    return (
        pl.when(_verb.is_in(["help", "alias-lookahead", "resolve-role", "rollback"]))
        .then(pl.lit("other"))
        .when(_is("auth"))
        .then(_auth())
        .when(_is("system"))
        .then(_system())
        .when(_is("identity"))
        .then(_identity())
        .when(_is("kv", "cubbyhole"))
        .then(_kv())
        .when(_is("transit"))
        .then(_transit())
        .when(_is("pki"))
        .then(_pki())
        .when(_is("totp"))
        .then(_totp())
        .otherwise(_dynamic())
    )


def describe(keys: pl.DataFrame) -> pl.DataFrame:
    """What each row of KEY columns means, row by row.

    Columns: namespace, mount, mount_type, engine, secret, operation (schema.OPERATIONS_VOCABULARY), login (a log-in).
    """
    login = _is("auth") & _rest(_LOGIN)
    return _placed(keys).select(
        "namespace", "mount", "mount_type", "engine",
        secret=_secret(), operation=_operation().fill_null("other"), login=login.fill_null(value=False),
    )  # fmt: skip
