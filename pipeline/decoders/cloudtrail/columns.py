"""RAW rows, whoever parsed them, to DECODED rows: outcome, log-ins, addresses; the rest by `names` and `identity`."""

from __future__ import annotations

import ipaddress
from typing import Final

import polars as pl

from pipeline.core.distinct import PerDistinct
from pipeline.core.schema import DECODED
from pipeline.decoders._expressions import person
from pipeline.decoders.cloudtrail import identity, names
from pipeline.decoders.cloudtrail.identity import caller, unique, user
from pipeline.decoders.cloudtrail.vocabulary import CALL, ECHOED, SERVICE

# Error codes, `Client.` and a service's name before them or not, `Exception` behind them or not.
_DENIED: Final = (
    r"(?i)AccessDenied|Unauthori[sz]ed|NotAuthori[sz]ed|Forbidden|AuthFailure|InvalidClientTokenId|InvalidAccessKeyId"
    r"|UnrecognizedClient|SignatureDoesNotMatch|ExpiredToken|InvalidToken|MissingAuthenticationToken"
    r"|IncompleteSignature|InvalidIdentityToken|IDPRejectedClaim"
)
_MISSING: Final = r"(?i)NotFound|NoSuch|DoesNotExist"
_FAILED: Final = r"(?:Failed|Abandoned)$"  # how services call what they did in vain
_OWN_KEYS: Final = ["secretsmanager.amazonaws.com", "ssm.amazonaws.com"]
_OWN_CONTEXT: Final = r'"(?:SecretARN|PARAMETER_ARN)":'
_WITH_ANSWER: Final = ["ssm", "sts", "iam", "signin"]
_CREDENTIALS: Final = [
    "CreateAccessKey", "CreateServiceSpecificCredential", "ResetServiceSpecificCredential", "CreateLoginProfile",
    "UpdateLoginProfile",
]  # fmt: skip
_LEFT: Final = ("piece", "time", "format")


class Columns:
    """Makes DECODED rows of RAW rows. For one thread at a time."""

    def __init__(self) -> None:
        self._described = PerDistinct(names.KEY, names.describe)
        self._callers = PerDistinct(identity.KEY, identity.identify)
        self._addresses = PerDistinct(("source_ip",), _addresses)

    def of(self, raw: pl.DataFrame) -> pl.DataFrame:
        """All DECODED columns but those that the shared part adds, in the order of `raw`."""
        keyed = names.keyed(raw)
        described, callers = self._described.of(keyed), self._callers.of(raw)
        frame = keyed.hstack(described).hstack(callers).hstack(self._addresses.of(raw))
        answered = SERVICE.is_in(_WITH_ANSWER)
        frame = frame.with_columns(
            answer=pl.when(answered).then(pl.col("response")), echo=_echo(), error=_error()
        ).with_columns(outcome=_outcome())
        frame = frame.with_columns(login=_login(), login_session=_issued("accessKeyId"))
        return frame.select(
            pl.lit(None, dtype=kind).alias(name) if name not in _COLUMNS else _COLUMNS[name].cast(kind).alias(name)
            for name, kind in DECODED.items()
            if name not in _LEFT
        )


def _addresses(keys: pl.DataFrame) -> pl.DataFrame:
    """Column client_ip: the source where it is an address; AWS writes names of services there."""
    found = [text if text is not None and _is_address(text) else None for text in keys["source_ip"]]
    return pl.DataFrame({"client_ip": found}, schema={"client_ip": pl.String})


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _echo() -> pl.Expr:
    """A key's use by the store itself, for a value it was asked for: that call has a record of its own.

    A caller may write any user agent, so it counts only where AWS told no address.
    """
    source = pl.when(pl.col("client_ip").is_null()).then(pl.coalesce("source_ip", "user_agent"))
    by = pl.coalesce("user_invoked_by", source)
    inside = (by == "AWS Internal") & pl.col("request").str.contains(_OWN_CONTEXT)
    return (ECHOED & (by.is_in(_OWN_KEYS) | inside)).fill_null(value=False)


def _error() -> pl.Expr:
    parts = [pl.col(name).replace("", None) for name in ("error_code", "error_message")]
    return pl.concat_str(parts, separator=": ", ignore_nulls=True).replace("", None)


def _outcome() -> pl.Expr:
    code = pl.col("error_code").fill_null("")
    refused = (SERVICE == "signin") & (
        pl.col("answer").str.contains('"Failure"') | pl.col("service_event").str.contains('"Failure"')
    )
    in_vain = (pl.col("event_type") == "AwsServiceEvent") & CALL.str.contains(_FAILED)
    return (
        pl.when(code.str.contains(_DENIED) | refused.fill_null(value=False)).then(pl.lit("denied"))
        .when(code.str.contains(_MISSING)).then(pl.lit("not_found"))
        .when(pl.col("error").is_not_null() | in_vain.fill_null(value=False)).then(pl.lit("failure"))
        .otherwise(pl.lit("success"))
    )  # fmt: skip


def _answer(path: str) -> pl.Expr:
    return pl.col("answer").str.json_path_match(f"$.{path}").replace("", None)


_ISSUED: Final = (pl.col("operation") == "auth") & (pl.col("outcome") == "success") & SERVICE.is_in(["sts", "iam"])


def _issued(name: str) -> pl.Expr:
    return pl.when(_ISSUED).then(pl.coalesce(_answer(f"credentials.{name}"), _answer(f"accessKey.{name}")))


def _login() -> pl.Expr:
    """Whom a call made: the role it took, the user it gave a key to, else the caller again."""
    keyed = user(pl.col("recipient"), pl.coalesce(_answer("accessKey.userName"), "reference"))
    made = pl.coalesce(
        caller(pl.coalesce(_answer("assumedRoleUser.arn"), "role_arn")),
        _answer("federatedUser.arn"),
        pl.when(SERVICE == "iam").then(keyed),
        "display",
    )
    return pl.when(_ISSUED).then(made)


def _login_entity() -> pl.Expr:
    made = unique(_answer("assumedRoleUser.assumedRoleId"), person(_answer("assumedRoleUser.arn")))
    return pl.when(_ISSUED).then(made.replace("", None))


def _flags() -> pl.Expr:
    """Those of the request, and whether a user's credentials were made by somebody else."""
    given = (SERVICE == "iam") & CALL.is_in(_CREDENTIALS) & pl.col("reference").is_not_null()
    another = given & pl.col("reference").ne_missing(pl.col("user_name"))
    return pl.when(another).then(pl.concat_list("flags", pl.lit("for_another"))).otherwise(pl.col("flags"))


def _namespace() -> pl.Expr:
    account = pl.coalesce("recipient", "user_account").fill_null("")
    return (account + "/" + pl.col("region").fill_null("")).str.strip_chars("/")


def _version() -> pl.Expr:
    """Of a parameter: that which was asked for, or which a write made."""
    made = pl.when(SERVICE == "ssm").then(pl.coalesce(_answer("version"), _answer("parameterVersion")))
    return pl.coalesce("secret_version", made.str.extract(r"^(\d{1,18})$").cast(pl.Int64))


_COLUMNS: Final[dict[str, pl.Expr]] = {
    "store": pl.lit("aws"),
    "phase": pl.lit("single"),
    "operation": pl.when("echo").then(pl.lit("other")).otherwise(pl.col("operation")),
    "discloses_value": pl.col("disclosing") & (pl.col("outcome") == "success") & ~pl.col("echo"),
    "api_operation": CALL,
    "session": pl.col("user_key").replace("", None),
    "client_ip": pl.col("client_ip"),
    "user_agent": pl.col("user_agent"),
    "namespace": _namespace(),
    "mount": SERVICE + "/",
    "secret": pl.col("secret"),
    "secret_version": _version(),
    "outcome": pl.col("outcome"),
    "error": pl.col("error"),
    "correlation_uid": pl.col("event_id").replace("", None),
    "path": pl.coalesce("reference", "arn", SERVICE + "/" + CALL),
    "mount_type": SERVICE,
    "auth_display_name": pl.col("display"),
    "auth_entity": pl.col("entity"),
    "auth_sa_name": pl.col("sa_name"),
    "auth_sa_namespace": pl.col("sa_namespace"),
    "auth_token_type": pl.col("token_type"),
    "login_display_name": pl.col("login"),
    "login_entity": _login_entity(),
    "login_session": pl.col("login_session"),
    "token_ttl": pl.when(_ISSUED).then(pl.col("duration")),
    "flags": _flags(),
    "forwarded": pl.lit(value=False),
    "probe": pl.lit(value=False),
    "clear": pl.col("shown"),
    "items": pl.col("items"),
}
