"""RAW rows, whoever parsed them, to DECODED rows: outcome, identity, names; operations by `vocabulary`."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.core.distinct import PerDistinct, spread
from pipeline.core.schema import DECODED, TEXTS, conform
from pipeline.decoders._cluster import ADMIN, RELEASE
from pipeline.decoders._expressions import first, moment, person
from pipeline.decoders.kubernetes.vocabulary import KEY, SECRETS, operation

ANONYMOUS: Final = "anonymous"
_ACCOUNT: Final = r"^system:serviceaccount:([^:]+):([^:]+)$"
_ASSUMED: Final = r"^arn:([^:]*):sts::(\d*):assumed-role/(.+)/[^/]*$"  # EKS: the last part is one session's
_ADDRESS: Final = r"^(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)$"
_TTL: Final = r'"expirationSeconds"[ \t\r]*:[ \t\r]*(\d{1,9})\b'
# Answers that show names and labels of secrets and not what is in them.
_SHELLS: Final = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
# Connections that stay open: how long they did is not what the server took.
_HELD: Final = ("exec", "attach", "portforward", "proxy", "log")


_PHASE: Final = first((pl.col("stage").is_in(["RequestReceived", "ResponseStarted"]), "request"), otherwise="single")
_DONE: Final = pl.col("phase") == "single"
_CODE: Final = pl.col("status_code").fill_null(0)
_REASON: Final = pl.col("status_reason").fill_null("")
_FORBIDDEN: Final = (pl.col("note_decision") == "forbid").fill_null(value=False)
_NAMED: Final = pl.col("ref_name").fill_null("") != ""


class Columns:
    """Makes DECODED rows of RAW rows."""

    def __init__(self) -> None:
        self._meant = PerDistinct(KEY, lambda keys: keys.select(operation=operation(), of_secrets=SECRETS))
        self._people = PerDistinct(("user_name",), _person)

    def of(self, raw: pl.DataFrame) -> pl.DataFrame:
        """DECODED rows in the order of `raw`, `piece` left null. `raw` has columns `moment` and `shown` more."""
        raw = raw.with_columns(named=pl.when(_NAMED).then(pl.lit("true")))
        frame = raw.hstack(self._meant.of(raw)).hstack(self._people.of(raw))
        frame = frame.with_columns(phase=_PHASE, mount=_mount())
        frame = frame.with_columns(outcome=_outcome()).with_columns(good=_DONE & (pl.col("outcome") == "success"))
        frame = frame.with_columns(flags=_flags(frame))
        return conform(frame.select(**_COLUMNS), DECODED)


def _person(keys: pl.DataFrame) -> pl.DataFrame:
    """Who a user name names. Whoever did not log in has one too, which is nobody's; EKS names sessions of roles."""
    name = pl.col("user_name").replace("", None)
    known = pl.when(name != "system:anonymous").then(name)
    return keys.select(
        who=pl.coalesce(person(known), known.str.replace(_ASSUMED, "arn:${1}:iam::${2}:role/${3}")),
        of_person=person(known).is_not_null(),
        account_namespace=name.str.extract(_ACCOUNT, 1),
        account=name.str.extract(_ACCOUNT, 2),
    ).with_columns(
        who_type=first(
            (pl.col("account").is_not_null(), "pod"),
            (pl.col("of_person"), "human"),
            (pl.col("who").is_null(), ANONYMOUS),
            otherwise=pl.lit(None, dtype=pl.String),
        )
    )


def _mount() -> pl.Expr:
    resource = pl.col("ref_resource").fill_null("")
    return first((resource == "", ""), otherwise=resource + "/")


def _outcome() -> pl.Expr:
    """The outcome as far as this one event tells: a request that was only received is not refused yet."""
    failed = (pl.col("status_word") == "Failure").fill_null(value=False)
    return first(
        (_CODE.is_in([401, 403]) | _FORBIDDEN | _told(failed, "Forbidden", "Unauthorized"), "denied"),
        ((_CODE == 404) | _told(failed, "NotFound"), "not_found"),
        ((_CODE >= 400) | failed | (pl.col("stage") == "Panic").fill_null(value=False), "failure"),
        otherwise="success",
    )


def _told(failed: pl.Expr, *reasons: str) -> pl.Expr:
    """The reason of a failure without a code."""
    return failed & (_CODE == 0) & _REASON.is_in(reasons)


def _error() -> pl.Expr:
    """What kind of failure it was, and the server's sentence about it; else why the authorizer refused."""
    word = pl.coalesce(pl.col("status_reason").replace("", None), pl.col("status_code").cast(pl.String))
    said = pl.coalesce("status_message", pl.when(_FORBIDDEN).then("note_why")).replace("", None)
    told = pl.concat_str(word, said, separator=": ", ignore_nulls=True).replace("", None)
    return pl.when(pl.col("outcome") != "success").then(told)


def _secret() -> pl.Expr:
    """Helm keeps each revision of a release as a secret of its own: they are versions of one."""
    name = pl.col("mount") + pl.col("ref_name").str.replace(RELEASE, "$1")
    return pl.when(pl.col("of_secrets") & _NAMED).then(name).otherwise(pl.lit(""))


def _version() -> pl.Expr:
    revision = pl.when(pl.col("of_secrets")).then(pl.col("ref_name").str.extract(RELEASE, 2))
    return revision.cast(pl.Int64)


def _discloses() -> pl.Expr:
    """get, list and watch give whole secrets, unless the answer is seen to be one that only names them."""
    shell = pl.col("answered").str.json_path_match("$.kind").is_in(_SHELLS).fill_null(value=False)
    value = pl.col("of_secrets") & pl.col("operation").is_in(["read", "list"])
    return (pl.col("good") & value & ~shell).fill_null(value=False)


def _issued(value: pl.Expr) -> pl.Expr:
    """Of the account that a token was made for."""
    made = (pl.col("operation") == "auth") & (pl.col("ref_resource") == "serviceaccounts") & pl.col("good")
    return pl.when(made).then(value)


def _ttl() -> pl.Expr:
    """The seconds that a token was granted, else those that it was asked for."""
    given = pl.coalesce(pl.col(name).str.extract(_TTL) for name in ("answered", "asked"))
    return _issued(given.cast(pl.Int64, strict=False))


def _flags(frame: pl.DataFrame) -> pl.Series:
    """For the few requests in another's name, that were only tried out, or that make somebody master of the cluster."""
    dry = pl.col("uri").str.contains("dryRun=", literal=True).fill_null(value=False)
    mask = pl.col("mask_name").replace("", None)
    bound = (pl.col("ref_resource") == "clusterrolebindings").fill_null(value=False)
    rows = frame.select((dry | mask.is_not_null() | bound).arg_true()).to_series().to_numpy()
    named = [
        pl.when(dry).then(pl.lit("dry_run")),
        pl.concat_str(pl.lit("as="), mask),
        pl.when(mask.is_not_null()).then(pl.lit("impersonated")),
        pl.when(bound & pl.col("asked").str.contains(ADMIN)).then(pl.lit("cluster_admin")),
    ]
    found = frame[rows].select(pl.concat_list(named).list.drop_nulls().cast(TEXTS).alias("flags")).to_series()
    return spread(found, rows, len(frame), [])


def _address() -> pl.Expr:
    """The first address, where the client says it stands; proxies and the one that connected follow."""
    address = pl.col("addresses").list.first()
    return pl.when(address.str.contains(_ADDRESS)).then(address)


def _latency() -> pl.Expr:
    held = pl.col("verb").is_in(["watch", "watchlist"]) | pl.col("ref_part").is_in(_HELD)
    took = (pl.col("moment") - moment(pl.col("received"))).dt.total_microseconds() / 1000
    told = _DONE & pl.col("staged").is_not_null() & ~held.fill_null(value=False)
    return pl.when(told & (took >= 0)).then(took)


_COLUMNS: Final[dict[str, pl.Expr]] = {
    "store": pl.lit("kubernetes"),
    "phase": pl.col("phase"),
    "operation": pl.col("operation"),
    "discloses_value": _discloses(),
    "api_operation": pl.col("verb"),
    "session": pl.coalesce(
        pl.col(name).list.first().replace("", None) for name in ("user_credential", "user_access_key")
    ),
    "client_ip": _address(),
    "user_agent": pl.col("agent"),
    "namespace": pl.col("ref_namespace").fill_null(""),
    "mount": pl.col("mount"),
    "secret": _secret(),
    "secret_version": _version(),
    "outcome": pl.col("outcome"),
    "error": _error(),
    # A client may choose the id, and would hide a request behind an earlier one: the time it came is the server's.
    "correlation_uid": pl.concat_str("audit_id", "received", separator=":", ignore_nulls=True),
    "path": pl.coalesce("uri", pl.col("mount") + pl.col("ref_name").fill_null("")),
    "mount_type": pl.col("ref_resource").replace("", None),
    "auth_display_name": pl.col("who"),
    "auth_entity": pl.col("user_uid").replace("", None),
    "auth_sa_name": pl.col("account"),
    "auth_sa_namespace": pl.col("account_namespace"),
    "auth_token_type": pl.col("who_type"),
    "auth_policies": pl.col("user_groups"),
    "login_display_name": _issued(
        pl.concat_str(pl.lit("system:serviceaccount:"), "ref_namespace", pl.lit(":"), "ref_name")
    ),
    "login_sa_name": _issued(pl.col("ref_name")),
    "login_sa_namespace": _issued(pl.col("ref_namespace")),
    "login_session": _issued(pl.col("note_issued").replace("", None)),
    "token_ttl": _ttl(),
    "flags": pl.col("flags"),
    "forwarded": pl.lit(value=False),
    "probe": pl.col("phase") == "request",  # an event on the way to the answer, which tells all again
    "clear": pl.col("shown"),
    "latency_ms": _latency(),
}
