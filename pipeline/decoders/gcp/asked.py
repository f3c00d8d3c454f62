"""What a method's request and answer say beyond the resource's name; looked at only where that may matter."""

from __future__ import annotations

from typing import Final

import polars as pl

# Methods of which nothing in the request adds to the resource's name; almost every entry is of one of them.
_PLAIN: Final = r"(?:^|\.)(?:AccessSecretVersion|Decrypt|Encrypt|AsymmetricSign|MacSign|MacVerify)$"
_SERVICES: Final = r"^(?:secretmanager|cloudkms|iam|iamcredentials|sts|apikeys|parametermanager|logging)\."

# Column: the text it is taken from and where it stands there; the first that is given counts.
_PATHS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "request_type": (("request", "$['@type']"),),
    "asked_name": (
        ("request", "$.name"), ("authorization", "$[0].resource"), ("authorization", "$[0].resourceAttributes.name"),
        ("request", "$.parent"),
    ),
    "asked_account": (("request", "$.name"), ("metadata", "$.identityDelegationChain[0]")),
    "asked_id": (("request", "$.secretId"), ("request", "$.cryptoKeyId"), ("request", "$.parameterId")),
    "asked_version": (("request", "$.cryptoKeyVersionId"),),
    "asked_state": (("request", "$.cryptoKeyVersion.state"),),
    "answered_name": (("response", "$.name"),),
    "lifetime": (("request", "$.lifetime"),),
    "mapped": (("metadata", "$.mapped_principal"), ("metadata", "$.mappedPrincipal")),
}  # fmt: skip
ASKED: Final = tuple(_PATHS)


def asked(raw: pl.DataFrame) -> pl.DataFrame:
    """The columns ASKED for each row of `raw`; null where they are not looked for."""
    service, method = pl.col("service_name").fill_null(""), pl.col("method_name").fill_null("")
    nameless = pl.col("resource_name").fill_null("") == ""
    told = service.str.contains(_SERVICES) & (~method.str.contains(_PLAIN) | pl.col("response").is_not_null())
    wanted = nameless | (method == "") | (service == "") | told
    looked = raw.lazy().with_row_index().filter(wanted).select("index", *(_given(name) for name in _PATHS)).collect()
    if looked.is_empty():
        return pl.DataFrame(schema=dict.fromkeys(_PATHS, pl.String)).clear(len(raw))
    rows = raw.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("index"))
    return rows.join(looked, on="index", how="left", maintain_order="left").drop("index")


def _given(name: str) -> pl.Expr:
    found = (pl.col(column).str.json_path_match(path).replace("", None) for column, path in _PATHS[name])
    return pl.coalesce(*found).alias(name)
