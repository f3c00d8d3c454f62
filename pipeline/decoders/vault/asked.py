"""What is asked for: the names of a certificate, a one-time password or a log-in, and how many values at once.

Names are given as digests that compare; so are the password of a log-in that was refused, and the token whose wrapped
answer somebody asks for.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import polars as pl

from pipeline.core.distinct import spread

# Names as they stand in `data`. Those of certificates are public; of a log-in only what is hashed is looked at.
_OF_CERTIFICATES: Final = (
    "alt_names", "common_name", "email_sans", "ip", "ip_sans", "other_sans", "uri_sans", "username", "valid_principals",
)  # fmt: skip
_OF_LOGINS: Final = ("name", "role", "role_id")
_VALUE: Final = r'"{}":("(?:[^"\\]|\\.)+"|\[[^\]]+\])'
_HASHED: Final = r'"{}":("hmac-sha256:[0-9a-f]+")'
_UNNAMED: Final = "none:"
_CERTIFICATE: Final = (
    pl.col("engine").is_in(["pki", "ssh"])
    & pl.col("request_path").str.contains(r"/(?:issue|sign(?:-[a-z-]+)?|creds)(?:/|$)")
).fill_null(value=False)
_BATCHED: Final = (
    pl.col("engine").is_in(["transit", "transform"])
    & pl.col("request_data").str.contains('"batch_input":', literal=True)
).fill_null(value=False)
_LOGIN: Final = pl.col("login").fill_null(value=False) & ~_CERTIFICATE
_REFUSED: Final = (pl.col("outcome") == "denied") & (pl.col("phase") != "request")
_UNWRAPS: Final = pl.col("request_path").str.starts_with("sys/wrapping/unwrap").fill_null(value=False)


def asked_for(frame: pl.DataFrame) -> pl.Series:
    """The names asked for, one a field, each as a digest of what the entry shows of it, which mostly is a hash."""
    asked = (_CERTIFICATE, _LOGIN & ~_REFUSED, _LOGIN & _REFUSED, _UNWRAPS)
    certificates, logins, refused, unwraps = (frame.select(rows.arg_true()).to_series().to_numpy() for rows in asked)
    data = frame["request_data"]
    bare = pl.lit([_UNNAMED], dtype=pl.List(pl.String))
    named = _named(data[certificates], _OF_CERTIFICATES, _VALUE).to_frame().select(
        pl.when(pl.col("asked_for").list.len() == 0).then(bare).otherwise("asked_for").alias("asked_for")
    )  # fmt: skip
    found = pl.concat([
        named["asked_for"],
        _named(data[logins], _OF_LOGINS, _HASHED),
        _named(data[refused], (*_OF_LOGINS, "password"), _HASHED),
        _named(_wrapping(frame[unwraps]), ("token",), _HASHED),
    ])  # fmt: skip
    return spread(found, np.concatenate([certificates, logins, refused, unwraps]), len(frame), None)


def items(frame: pl.DataFrame) -> pl.Series:
    """How many values a request asks for at once: each is an object of its `batch_input`."""
    batched = frame.select(_BATCHED.arg_true()).to_series().to_numpy()
    inside = frame["request_data"][batched].str.json_path_match("$.batch_input")
    found = inside.str.count_matches("{", literal=True).cast(pl.Int64).alias("items")
    return spread(found, batched, len(frame), None)


def _wrapping(unwraps: pl.DataFrame) -> pl.Series:
    """Of each unwrapping the wrapping token: the one that its data name, else the one that asks."""
    given = pl.col("request_data").str.contains(_HASHED.format("token")).fill_null(value=False)
    asking = pl.concat_str(pl.lit('"token":"'), "request_client_token", pl.lit('"'))
    return unwraps.select(pl.when(given).then("request_data").otherwise(asking)).to_series()


def _named(data: pl.Series, fields: tuple[str, ...], pattern: str) -> pl.Series:
    """Of each text of `data` the fields that it holds, with the digests of their values."""
    values = data.fill_null("").to_frame("data").select(
        pl.col("data").str.extract(pattern.format(field)).alias(field) for field in fields
    )  # fmt: skip
    digests = []
    for field in fields:
        distinct = values[field].drop_nulls().unique()
        known = pl.Series([_digest(field, value) for value in distinct.to_list()], dtype=pl.String)
        digests.append(pl.col(field).replace_strict(distinct, known, return_dtype=pl.String, default=None))
    return values.select(asked_for=pl.concat_list(digests).list.drop_nulls()).to_series()


def _digest(field: str, value: str) -> str:
    return f"{field}:{hashlib.sha256(value.encode()).hexdigest()[:16]}"
