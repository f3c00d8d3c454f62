"""Where a record happened: subscription, vault, and the object in it, per distinct place."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.core.distinct import PerDistinct

KEY: Final = ("operationName", "collection", "resourceId", "object_id", "request", "notice_name", "notice_vault")
_VAULT: Final = (
    r"(?i)/microsoft\.keyvault/(?:[^/]+/[^/]+/)?(?:vaults|managedhsms|hsms?|deletedvaults|deletedmanagedhsms)/([^/]+)"
)
_HOST: Final = r"(?i)^https?://([a-z0-9-]+)\.(?:vault|managedhsm)\."
_OBJECT: Final = r"(?i)^https?://[^/]+/+(?:deleted)?(secrets|keys|certificates|storage)/+([^/]+)"
_NESTED: Final = r"(?i)/(?:vaults|managedhsms)/[^/]+/(secrets|keys|certificates)/([^/]+)"
_LAST: Final = r"/([^/]+)/*$"
_VERSIONED: Final = r"(?i)^https?://[^/]+/+secrets/+[^/]+/+[0-9a-f]{32}/*$"
# Below /certificates stand two names that are no certificate's.
_NO_NAME: Final = ("contacts", "issuers")


def keyed() -> list[pl.Expr]:
    """The columns of KEY that are not RAW ones: addresses without what follows the path."""
    asked = pl.coalesce("properties_requestUri", "requestUri")
    return [_bare(pl.col("properties_id")).alias("object_id"), _bare(asked).alias("request")]


def _bare(address: pl.Expr) -> pl.Expr:
    bare = address.str.replace(r"(?s)[?#].*$", "").str.strip_chars_end("/")
    return pl.when(bare != "").then(bare)


def _placed(keys: pl.DataFrame) -> pl.DataFrame:
    """Of each row of KEY: cluster, vault, mount_type, secret, pinned (a version was asked for), path."""
    resource, given, request = pl.col("resourceId"), pl.col("object_id"), pl.col("request")
    act = pl.col("operationName").str.to_lowercase()
    # The address of a restore is that of all secrets, and ends in a word where others have a name.
    asked = pl.when(~act.str.ends_with("restore")).then(request)
    nested = [resource.str.extract(_NESTED, part) for part in (1, 2)]
    # A management address names the vault below its path; its host is of the service.
    hosts = [address.str.extract(_HOST) for address in (given, request)]
    framed = keys.with_columns(
        cluster=resource.str.extract(r"(?i)^/+subscriptions/+([^/]+)").str.to_lowercase(),
        vault=pl.coalesce(resource.str.extract(_VAULT), *hosts, "notice_vault", pl.lit("")).str.to_lowercase(),
        part=pl.coalesce(
            nested[0], given.str.extract(_OBJECT), request.str.extract(_OBJECT), pl.lit("")
        ).str.to_lowercase(),
        name=pl.coalesce(
            nested[1], given.str.extract(_OBJECT, 2), asked.str.extract(_OBJECT, 2), "notice_name"
        ).str.to_lowercase(),
        last=resource.str.extract(_LAST).str.to_lowercase(),
        pinned=request.str.contains(_VERSIONED).fill_null(value=False),
        path=pl.coalesce(request, given, _unless_empty(resource), pl.lit("keyvault/") + pl.col("operationName")),
    )
    return framed.with_columns(mount_type=_mount_type()).select(
        "cluster", "vault", "mount_type", "pinned", "path", secret=_secret()
    )


def _unless_empty(text: pl.Expr) -> pl.Expr:
    return pl.when(text != "").then(text)


def _mount_type() -> pl.Expr:
    """What the call is about; what has no other word is about the vault or the HSM."""
    hsm = pl.col("resourceId").str.contains(r"(?i)/(?:managed)?hsms?/").fill_null(value=False)
    whole = pl.when(hsm).then(pl.lit("managedhsms")).otherwise(pl.lit("vaults"))
    said = pl.col("collection")
    return (
        pl.when(~said.is_in(["", "vaults"]))
        .then(said)
        .when((said == "") & (pl.col("part") != ""))
        .then("part")
        .otherwise(whole)
    )


def _secret() -> pl.Expr:
    """`<collection>/<name>`; of a call for credentials the resource whose they are, else "" ."""
    act, mount = pl.col("operationName"), pl.col("mount_type")
    named = mount.is_in(["secrets", "keys", "certificates", "storage"]) & ~pl.col("name").is_in(_NO_NAME)
    credentials = act.str.contains(r"(?i)/(?:list|regenerate)[a-z]+/action$") & ~mount.is_in(["vaults"])
    name = pl.when(named).then("name").when(credentials).then("last").otherwise(pl.lit(None, pl.String))
    return (mount + "/" + name).fill_null("")


def places() -> PerDistinct:
    """Answers for rows of KEY, remembered."""
    return PerDistinct(KEY, _placed)
