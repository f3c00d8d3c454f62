"""RAW rows, whoever parsed them, to DECODED rows: outcome, identity, flags; names by `vocabulary`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.core.distinct import PerDistinct, spread
from pipeline.core.schema import DECODED
from pipeline.decoders._cluster import ADMIN
from pipeline.decoders._expressions import first
from pipeline.decoders.gcp.asked import asked
from pipeline.decoders.gcp.fields import TIMES
from pipeline.decoders.gcp.places import given, of_log
from pipeline.decoders.gcp.vocabulary import KEY, describe

if TYPE_CHECKING:
    from collections.abc import Mapping

# google.rpc.Code, by number.
_CODES: Final = {
    "1": "CANCELLED", "2": "UNKNOWN", "3": "INVALID_ARGUMENT", "4": "DEADLINE_EXCEEDED", "5": "NOT_FOUND",
    "6": "ALREADY_EXISTS", "7": "PERMISSION_DENIED", "8": "RESOURCE_EXHAUSTED", "9": "FAILED_PRECONDITION",
    "10": "ABORTED", "11": "OUT_OF_RANGE", "12": "UNIMPLEMENTED", "13": "INTERNAL", "14": "UNAVAILABLE",
    "15": "DATA_LOSS", "16": "UNAUTHENTICATED",
}  # fmt: skip
_DENIED: Final = [7, 16, 401, 403]  # a few services write HTTP's numbers
_MISSING: Final = [5, 404]
_NOBODY: Final = "system:anonymous"
_IPV4: Final = r"^\d{1,3}(?:\.\d{1,3}){3}$"
_IPV6: Final = r"^[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*$"
_POD: Final = r"^system:serviceaccount:([^:]+):([^:]+)$"
# A Kubernetes service account that Google's IAM knows by its workload pool.
_POOLED: Final = r"\.svc\.id\.goog(?:\[|/subject/)"
_EVERYBODY: Final = r'"all(?:Authenticated)?Users"'
_OPENED: Final = rf'"action":"ADD"[^{{}}]*"member":{_EVERYBODY}|"member":{_EVERYBODY}[^{{}}]*"action":"ADD"'
_AUDITED: Final = r'"auditConfigDeltas":\[\{'
_DELEGATED: Final = (
    "$[0].firstPartyPrincipal.principalEmail", "$[0].firstPartyPrincipal.principalSubject", "$[0].principalSubject",
)  # fmt: skip

_INSIDE: Final = pl.col("store") == "kubernetes"
_CODE: Final = pl.col("status_code").fill_null(0)
_SUCCESS: Final = pl.col("outcome") == "success"
_NAME: Final = pl.col("auth_display_name")


class Columns:
    """Makes DECODED rows of RAW rows. `projects` tells ids of projects by their numbers."""

    def __init__(self, projects: Mapping[str, str]) -> None:
        self._described = PerDistinct(KEY, lambda keys: describe(keys, projects))
        self._delegate = PerDistinct(("delegation",), lambda keys: keys.select(delegate=_delegate()))
        self._of_log = of_log(projects)

    def of(self, raw: pl.DataFrame) -> pl.DataFrame:
        """DECODED rows in the order of `raw`, but for piece, time and format."""
        frame = raw.hstack(asked(raw)).hstack(self._delegate.of(raw))
        frame = frame.hstack(self._described.of(frame))
        frame = frame.with_columns(outcome=_outcome(), auth_display_name=_principal(), log_project=self._of_log)
        frame = frame.with_columns(operation=_turned(), flags=_flags(frame))
        return frame.select(
            (pl.lit(None) if how is None else how).cast(DECODED[name]).alias(name) for name, how in _COLUMNS.items()
        )


# A version of a secret that need not be the current one.
_BY_NUMBER: Final = (pl.col("api_operation").str.ends_with("AccessSecretVersion")) & pl.col("path").str.contains(
    r"/versions/\d{1,18}$"
).fill_null(value=False)


def _outcome() -> pl.Expr:
    """By the status; nothing said is a success. Kubernetes' own decision stands among the labels."""
    forbidden = _INSIDE & pl.col("labels").str.contains(r'"authorization\.k8s\.io/decision":"forbid"')
    refused = pl.col("api_operation").str.ends_with("loginFailure")
    return first(
        (_CODE.is_in(_DENIED) | forbidden.fill_null(value=False) | refused.fill_null(value=False), "denied"),
        (_CODE.is_in(_MISSING), "not_found"),
        (_CODE != 0, "failure"),
        otherwise="success",
    )


def _error() -> pl.Expr:
    """`PERMISSION_DENIED: what the store says of it`; a message that only repeats the code is left out."""
    code = pl.col("status_code").cast(pl.String).replace(_CODES)
    message = given("status_message")
    said = pl.when(message != code).then(message)
    return pl.when(_CODE != 0).then(pl.concat_str([code, said], separator=": ", ignore_nulls=True))


def _principal() -> pl.Expr:
    """Whose credential was used: the e-mail address, or what a federated identity goes by."""
    subject = _bare(given("principal_subject"))
    claimed = pl.col("third_party").str.json_path_match("$.thirdPartyClaims.sub")
    return pl.coalesce(given("principal_email"), subject, claimed.replace("", None))


def _named() -> pl.Expr:
    """Whoever did not log in to a cluster has a name too, which is nobody's."""
    return pl.when(_NAME != _NOBODY).then(_NAME)


def _delegate() -> pl.Expr:
    """Who began to hand a service account's rights on."""
    return _bare(pl.coalesce(pl.col("delegation").str.json_path_match(path).replace("", None) for path in _DELEGATED))


def _bare(subject: pl.Expr) -> pl.Expr:
    return subject.str.replace(r"^(?:user|serviceAccount):", "")


def _type() -> pl.Expr:
    return first(
        (_NAME == _NOBODY, "anonymous"),
        (_NAME.str.contains(_POD) | _NAME.str.contains(_POOLED), "pod"),
        (_NAME.str.contains(r"gserviceaccount\.com$|/workloadIdentityPools/|^system:"), "service"),
        (_NAME.str.contains(r"/workforcePools/|^[^/@:]+@[^/@]+$"), "human"),
        otherwise=pl.lit(None, pl.String),
    )


def _turned() -> pl.Expr:
    """A policy that changes what Google's own audit records is more than a policy."""
    audit = (pl.col("operation") == "policy") & pl.col("service_data").str.contains(_AUDITED)
    return first((audit.fill_null(value=False), "audit_control"), otherwise=pl.col("operation"))


def _flags(frame: pl.DataFrame) -> pl.Series:
    """Marks of the few entries that have any."""
    policy = (pl.col("operation") == "policy") & ~_INSIDE
    delta = pl.col("service_data").fill_null("")
    to_all = pl.when(delta.str.contains('"bindingDeltas"', literal=True)).then(delta.str.contains(_OPENED))
    flags = [
        pl.lit("by=") + pl.col("delegate"),
        pl.when(_INSIDE).then(pl.lit("as=") + given("authority_selector")),
        pl.when(_INSIDE & given("authority_selector").is_not_null()).then(pl.lit("impersonated")),
        pl.when(_INSIDE & pl.col("request").str.contains(ADMIN)).then(pl.lit("cluster_admin")),
        pl.when("external").then(pl.lit("external")),
        pl.when(_BY_NUMBER).then(pl.lit("version")),
        pl.when(policy & delta.str.contains(_AUDITED)).then(pl.lit("audit_config")),
        pl.when(policy & pl.coalesce(to_all, pl.col("request").str.contains(_EVERYBODY))).then(pl.lit("public")),
        pl.when((pl.col("operation") == "audit_control") & pl.col("request").str.contains('"disabled":true')).then(
            pl.lit("disabled")
        ),
    ]
    some = pl.any_horizontal(pl.col("delegation", "authority_selector").is_not_null())
    changes = pl.col("operation").is_in(["policy", "audit_control"])
    rows = frame.select((some | changes | pl.col("external") | _BY_NUMBER).arg_true()).to_series().to_numpy()
    found = frame[rows].select(pl.concat_list(flags).list.drop_nulls().alias("flags")).to_series()
    return spread(found, rows, len(frame), [])


def _address() -> pl.Expr:
    """The caller's address; words such as `private` and `gce-internal-ip` are none."""
    address = pl.col("caller_ip")
    return pl.when(address.str.contains(_IPV4) | address.str.contains(_IPV6)).then(address)


def _uid() -> pl.Expr:
    """Kubernetes' audit id; else what makes an entry one and the same by Cloud Logging's own rule."""
    logged = pl.concat_str([pl.col("log_project").fill_null(""), pl.coalesce(TIMES), given("insert_id")], separator="/")
    return pl.coalesce(pl.when(_INSIDE).then(given("operation_id")), logged)


def _phase() -> pl.Expr:
    """A long request to Kubernetes is told when it begins and when it ends."""
    begun = _INSIDE & pl.col("operation_first") & ~pl.col("operation_last").fill_null(value=False)
    return first((begun.fill_null(value=False), "request"), otherwise="single")


def _made(value: pl.Expr) -> pl.Expr:
    return pl.when(_SUCCESS).then(value)


_LOGIN: Final = pl.coalesce("login", pl.when(pl.col("operation") == "auth").then("mapped"))

_COLUMNS: Final[dict[str, pl.Expr | None]] = {
    **{name: None for name in DECODED if name not in {"piece", "time", "format"}},
    "store": pl.col("store"),
    "cluster": pl.col("cluster"),
    "phase": _phase(),
    "operation": pl.col("operation"),
    "discloses_value": pl.col("gives") & _SUCCESS & (_phase() == "single"),
    "api_operation": pl.col("api_operation"),
    "session": pl.col("key_name").str.extract(r"/keys/([^/]+)$"),
    "client_ip": _address(),
    "user_agent": pl.col("user_agent"),
    "namespace": pl.col("namespace"),
    "mount": pl.col("mount"),
    "mount_type": pl.col("mount").str.strip_suffix("/").replace("", None),
    "secret": pl.col("secret"),
    "secret_version": pl.col("version"),
    "outcome": pl.col("outcome"),
    "error": _error(),
    "correlation_uid": _uid(),
    "path": pl.col("path"),
    "auth_display_name": _named(),
    "auth_sa_namespace": _NAME.str.extract(_POD, 1),
    "auth_sa_name": _NAME.str.extract(_POD, 2),
    "auth_token_type": _type(),
    "login_display_name": _made(_LOGIN),
    "login_sa_namespace": _made(_LOGIN.str.extract(_POD, 1)),
    "login_sa_name": _made(_LOGIN.str.extract(_POD, 2)),
    "login_session": _made(pl.col("login_key")),
    "token_ttl": _made(pl.when(pl.col("operation") == "auth").then(pl.col("lifetime").str.extract(r"^(\d{1,9})s$"))),
    "flags": pl.col("flags"),
    "forwarded": pl.lit(value=False),
    "probe": pl.lit(value=False),
    "clear": pl.col("shown"),
    "items": pl.when(pl.col("gives") & _SUCCESS & (pl.col("response_items") > 1)).then("response_items"),
}  # fmt: skip
