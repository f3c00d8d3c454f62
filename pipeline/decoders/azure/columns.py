"""RAW rows of Key Vault, Managed HSM and the Activity Log to DECODED rows."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.core.distinct import PerDistinct
from pipeline.core.schema import DECODED, conform
from pipeline.decoders.azure.entry import IS_ACTIVITY
from pipeline.decoders.azure.fields import CLAIMS, HOLDERS
from pipeline.decoders.azure.places import keyed, places
from pipeline.decoders.azure.vocabulary import described

# What a result is called where no number is given.
_STATUS: Final = {
    "ok": 200, "created": 201, "accepted": 202, "nocontent": 204, "badrequest": 400, "unauthorized": 401,
    "forbidden": 403, "notfound": 404, "conflict": 409, "gone": 410, "preconditionfailed": 412, "throttled": 429,
    "toomanyrequests": 429, "internalservererror": 500, "badgateway": 502, "serviceunavailable": 503,
    "gatewaytimeout": 504,
}  # fmt: skip
_FAILED: Final = r"(?i)^(?:fail|error|client ?error|server ?error|cancel)"
_BEGUN: Final = r"(?i)^(?:start|accept|in ?progress|begin)"
# A token was sent, and it was no good: no first leg.
_SHOWN_IN_VAIN: Final = r"(?i)invalid|not valid|expired|not trusted|untrusted|malformed|wrong|mismatch"
_IP4: Final = r"^((?:\d{1,3}\.){3}\d{1,3})(?::\d{1,5})?$"
_IP6: Final = (
    r"^\[?([0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:(?:\d{1,3}\.){3}\d{1,3})?)(?:%[^\]]*)?(?:\](?::\d{1,5})?)?$"
)
_SERVICE: Final = "microsoft.keyvault"  # does by itself what no caller asked for


class Columns:
    """Makes DECODED rows of RAW rows that are not of AKS."""

    def __init__(self) -> None:
        self._words = PerDistinct(("operationName",), described)
        self._places = places()

    def of(self, raw: pl.DataFrame) -> pl.DataFrame:
        """DECODED rows in the order of `raw`, which has columns `moment` and `shown` more."""
        frame = raw.hstack(self._words.of(raw))
        where = self._places.of(frame.with_columns(keyed())).rename({"secret": "object", "path": "where"})
        frame = frame.hstack(where)
        frame = frame.with_columns(claim=_claims(), status=_status(), activity=IS_ACTIVITY)
        frame = frame.with_columns(person=_person(), app=_lower("appid"), entity=_lower("oid", "oid_uri", "oid_parts"))
        frame = frame.with_columns(challenge=_challenge(), begun=_begun())
        frame = frame.with_columns(outcome=_outcome(), operation=_operation())
        made = frame.select(how.alias(name) for name, how in _made().items())
        return conform(made, DECODED)


def _claim(name: str) -> pl.Expr:
    """A claim of whichever holder has it."""
    given = pl.coalesce(pl.col(f"{holder}_{name}") for holder in HOLDERS).str.strip_chars()
    return pl.when(given != "").then(given)


def _claims() -> pl.Expr:
    """Whether there is any claim: somebody showed a token."""
    return pl.any_horizontal(_claim(name).is_not_null() for name in CLAIMS)


def _lower(*names: str) -> pl.Expr:
    return pl.coalesce(_claim(name) for name in names).str.to_lowercase()


def _person() -> pl.Expr:
    """A user's name. Accounts of other directories come with the directory before a `#`."""
    names = [_claim(name) for name in ("upn", "upn_uri", "upn_parts", "unique_name", "name_uri")]
    named = pl.coalesce(pl.when(name.str.contains("@", literal=True)).then(name) for name in names)
    return named.str.to_lowercase().str.replace(r"^[a-z.]+#", "")


def _status() -> pl.Expr:
    """The HTTP status: a number, or what it is called."""
    words = [
        pl.col("resultSignature").str.split(".").list.last(), pl.col("properties_statusCode"), pl.col("resultType")
    ]  # fmt: skip
    named = [
        word.str.to_lowercase().str.replace_all(" ", "", literal=True).replace_strict(
            _STATUS, default=None, return_dtype=pl.Int32
        )
        for word in words
    ]  # fmt: skip
    numbers = [
        pl.col(name).str.extract(r"^\s*(\d{3})(?:\.0)?\s*$").cast(pl.Int32, strict=False)
        for name in ("properties_httpStatusCode", "httpStatusCode", "resultSignature", "properties_statusCode")
    ]
    return pl.coalesce(*numbers, *named)


def _challenge() -> pl.Expr:
    """The first leg of a log-in: a request without a token is answered 401 and where to get one."""
    refused = pl.col("resultDescription").str.contains(_SHOWN_IN_VAIN).fill_null(value=False)
    return ((pl.col("status") == 401) & ~pl.col("claim") & ~refused & ~pl.col("activity")).fill_null(value=False)


def _begun() -> pl.Expr:
    """The Activity Log tells of a change twice, when it begins and when it is done."""
    return (pl.col("activity") & pl.col("resultType").str.contains(_BEGUN)).fill_null(value=False)


def _outcome() -> pl.Expr:
    status = pl.col("status").fill_null(0)
    not_let = ~pl.col("rbac_authorized").fill_null(value=True) | (
        ~pl.col("policy_match").fill_null(value=True) & ~pl.col("rbac_authorized").fill_null(value=False)
    )
    return (
        pl.when("challenge").then(pl.lit("success"))
        .when(status.is_in([401, 403]) | ((status == 0) & not_let)).then(pl.lit("denied"))
        .when(status.is_in([404, 410])).then(pl.lit("not_found"))
        .when((status >= 400) | pl.col("resultType").str.contains(_FAILED).fill_null(value=False))
        .then(pl.lit("failure"))
        .otherwise(pl.lit("success"))
    )  # fmt: skip


def _operation() -> pl.Expr:
    return pl.when("challenge").then(pl.lit("auth")).when("begun").then(pl.lit("other")).otherwise("operation")


def _principal() -> pl.Expr:
    own = pl.col("operationName").str.contains(r"(?i)eventgridnotification$|^keyrotateifdue$")
    return pl.coalesce("person", "app", "entity", pl.when(own).then(pl.lit(_SERVICE)))


def _type() -> pl.Expr:
    """What the token says of its owner, else what it is known by."""
    kind = _claim("idtyp").str.to_lowercase()
    app = (kind == "app") | _claim("xms_mirid").is_not_null() | pl.col("app").is_not_null()
    return (
        pl.when(pl.col("person").is_not_null() | (kind == "user")).then(pl.lit("human"))
        .when(app | (_principal() == _SERVICE)).then(pl.lit("service"))
    )  # fmt: skip


def _address() -> pl.Expr:
    """The caller's address, which may come with a port."""
    text = pl.col("callerIpAddress").str.strip_chars()
    return pl.coalesce(text.str.extract(_IP4), text.str.extract(_IP6))


def _error() -> pl.Expr:
    """What the result is called, and what is said of it."""
    code = pl.coalesce(_said("resultSignature"), _said("properties_statusCode"), pl.col("status").cast(pl.String))
    told = pl.concat_str([code, _said("resultDescription")], separator=": ", ignore_nulls=True)
    return pl.when((pl.col("outcome") != "success") & (told != "")).then(told)


def _said(name: str) -> pl.Expr:
    return pl.when(pl.col(name) != "").then(pl.col(name))


def _latency() -> pl.Expr:
    """The Activity Log writes 0 where it does not know."""
    took = pl.col("durationMs").cast(pl.Float64, strict=False)
    known = took.is_finite() & (took >= 0) & ~(pl.col("activity") & (took == 0))
    return pl.when(known).then(took)


def _flags() -> pl.Expr:
    pinned = pl.col("pinned") & (pl.col("operationName").str.to_lowercase() == "secretget")
    marks = {"challenge": pl.col("challenge"), "started": pl.col("begun"), "version": pinned}
    return pl.concat_list(pl.when(mark).then(pl.lit(name)) for name, mark in marks.items()).list.drop_nulls()


def _uid() -> pl.Expr:
    """A client may choose the correlation id, and use it for many requests."""
    return pl.concat_str([_said("correlationId"), "operationName", "time"], separator=":")


def _made() -> dict[str, pl.Expr]:
    """DECODED columns by name; the others are null."""
    value = pl.col("gives_value") & (pl.col("outcome") == "success") & (pl.col("operation") == "read")
    return {
        "store": pl.lit("azure"),
        "cluster": pl.col("cluster"),
        "phase": pl.lit("single"),
        "operation": pl.col("operation"),
        "discloses_value": value.fill_null(value=False),
        "api_operation": pl.col("operationName"),
        "session": _claim("uti"),
        "client_ip": _address(),
        "user_agent": pl.coalesce(_said("properties_clientInfo"), _said("clientInfo")),
        "namespace": pl.col("vault"),
        "mount": pl.col("mount_type") + "/",
        "secret": pl.when(pl.col("operation") == "auth").then(pl.lit("")).otherwise("object"),
        "outcome": pl.col("outcome"),
        "error": _error(),
        "correlation_uid": _uid(),
        "path": pl.col("where"),
        "mount_type": pl.col("mount_type"),
        "auth_display_name": _principal(),
        "auth_entity": pl.col("entity"),
        "auth_token_type": _type(),
        "flags": _flags(),
        "forwarded": pl.lit(value=False),
        "probe": pl.lit(value=False),
        "clear": pl.col("shown"),
        "latency_ms": _latency(),
    }
