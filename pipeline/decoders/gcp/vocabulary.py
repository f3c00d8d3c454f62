"""From a service's methods to the one vocabulary of operations (SOURCES section 3), per distinct row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.decoders._expressions import first
from pipeline.decoders.gcp.kubernetes import IS_CLUSTER, in_cluster
from pipeline.decoders.gcp.places import METHOD, RESOURCE, SERVICE, WORD, called, given, holds, placed

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY: Final = (
    "service_name", "method_name", "resource_name", "log_name", "label_project", "label_location", "label_cluster",
    "label_email", "label_service", "label_method", "request_type", "asked_name", "asked_account", "asked_id",
    "asked_version", "asked_state", "answered_name",
)  # fmt: skip

# Methods by their last word, first match first: what one word alone tells, whatever the service.
_POLICY: Final = r"^set(?:org)?iam(?:policy|permissions)$|^insertprojectownershipinvite$"
_LOGIN: Final = r"^(?:generate(?:access|id)token|exchangetoken|authorizeuser|login(?:success|failure|verification))$"
_WORDS: Final = {
    "list": (
        r"^(?:batch)?(?:get|list|search|query|read|describe|count|test|lookup|fetch|aggregatedlist|check|watch|analyze"
        r"|validate|head|docker-(?:get|head))"
    ),
    "write": (
        r"^(?:batch)?(?:create|insert|add|update|patch|set|put|import|upload|enable|restore|undelete|write|replace"
        r"|modify|attach|detach|move|copy|rename)"
    ),
    "delete": r"^(?:batch)?(?:delete|destroy|remove|purge|disable)",
    "rotate": r"^rotate",
    "revoke": r"^revoke",
}
# Services whose every change is one of rights.
_RIGHTS: Final = ["iam", "cloudresourcemanager", "orgpolicy", "accesscontextmanager", "serviceusage", "cloudidentity"]
_OWN: Final[dict[str, dict[str, str]]] = {
    "secretmanager": {r"^accesssecretversion$": "read"},
    "parametermanager": {r"^(?:render|get)parameterversion$": "read"},
    "cloudkms": {
        r"^(?:raw)?(?:en|de)crypt$|^asymmetric(?:decrypt|sign)$|^mac(?:sign|verify)$|^decapsulate$": "read",
        r"^updatecryptokeyprimaryversion$": "rotate",
    },
    "apikeys": {r"^getkeystring$": "read"},
    "iam": {
        r"^(?:create|upload)serviceaccountkey$": "auth",
        r"^(?:delete|disable)serviceaccountkey$": "revoke",
        r"^enableserviceaccountkey$": "write",
    },
    "iamcredentials": {r"^sign(?:jwt|blob)$": "auth"},
    "logging": {
        r"^(?:create|update|delete|undelete)(?:sink|exclusion|bucket|view|link)(?:async)?$": "audit_control",
        r"^update(?:cmek)?settings$|^deletelog$": "audit_control",
    },
}  # fmt: skip
# Reads that give what the secret is; encrypting and signing give something made with it.
_GIVES: Final = (
    r"^(?:accesssecretversion|(?:raw|asymmetric)?decrypt|decapsulate|getkeystring|(?:render|get)parameterversion)$"
)
_ENDED: Final = ["DISABLED", "DESTROY_SCHEDULED", "DESTROYED"]  # a state that a key version is put into
_KEY_ID: Final = r"/keys/([^/]+)$"


def _operation() -> pl.Expr:
    own = [
        ((service == SERVICE) & holds(WORD, pattern), value)
        for service, patterns in _OWN.items()
        for pattern, value in patterns.items()
    ]
    ended = holds(WORD, "^updatecryptokeyversion$") & pl.col("asked_state").is_in(_ENDED).fill_null(value=False)
    plain = first(*((holds(WORD, pattern), value) for value, pattern in _WORDS.items()), otherwise="other")
    rights = SERVICE.is_in(_RIGHTS) & plain.is_in(["write", "delete"])
    return first(
        (holds(WORD, _POLICY), "policy"),
        (holds(WORD, _LOGIN), "auth"),
        *own,
        (ended, "delete"),
        (rights, "policy"),
        otherwise=plain,
    )


def describe(keys: pl.DataFrame, projects: Mapping[str, str]) -> pl.DataFrame:
    """What each row of KEY means, row by row.

    Columns: store, namespace, cluster, mount, secret, version, path, operation, api_operation, gives (a success gives
    a value), external (see places), login (whom a success makes a credential for), login_key (the credential's id).
    """
    known = placed(called(keys), projects).with_columns(operation=_operation())
    cloud = known.select(
        store=pl.lit("gcp"),
        namespace="project",
        cluster="location",
        mount=_mount(SERVICE),
        secret=_secret(),
        version="version",
        path=first((RESOURCE != "", pl.coalesce(given("resource_name"), "asked_name")), otherwise=_call()),
        operation="operation",
        api_operation="method",
        gives=holds(WORD, _GIVES) & (pl.col("operation") == "read"),
        external="external",
        login=pl.when((pl.col("operation") == "auth") & SERVICE.is_in(["iam", "iamcredentials"])).then("account"),
        login_key=pl.when(holds(WORD, "serviceaccountkey$")).then(
            pl.coalesce(pl.col("answered_name").str.extract(_KEY_ID), RESOURCE.str.extract(_KEY_ID))
        ),
    )
    inside = known.select(IS_CLUSTER).to_series()
    if not inside.any():
        return cloud
    cluster = in_cluster(known).select(cloud.columns)
    return cloud.select(
        pl.when(pl.lit(inside)).then(pl.lit(cluster[name])).otherwise(name).alias(name) for name in cloud.columns
    )


def _mount(word: pl.Expr) -> pl.Expr:
    return first((word == "", ""), otherwise=word + "/")


def _call() -> pl.Expr:
    return pl.concat_str([SERVICE.replace("", None), METHOD], separator="/", ignore_nulls=True)


def _secret() -> pl.Expr:
    """A secret's name; that of a service account whose keys or rights are dealt with, but for log-ins."""
    account = (SERVICE == "iam") & (pl.col("operation") != "auth")
    name = pl.coalesce("name", pl.when(account).then("account"))
    return pl.coalesce(SERVICE + "/" + name, pl.lit(""))
