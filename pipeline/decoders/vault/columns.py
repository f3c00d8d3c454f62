"""RAW rows, whoever parsed them, to DECODED rows: outcome, identity, hashes, flags; names by `vocabulary`."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.core.distinct import PerDistinct, spread
from pipeline.core.schema import DECODED
from pipeline.decoders._expressions import first, moment
from pipeline.decoders.vault.asked import asked_for, items
from pipeline.decoders.vault.places import KEY, MOUNT
from pipeline.decoders.vault.vocabulary import describe

MOMENT: Final = moment(pl.col("time"))

# Refusals: by policy, by authentication, by an invalid or used token. Texts of Vault and OpenBao, lower-cased.
_DENIED: Final = (
    r"(?i)permission denied|invalid credentials|missing client token|bad token|invalid token|token not found"
    r"|wrapping token is not valid|invalid username or password|invalid role|invalid secret.?id|locked out"
    r"|unauthori[sz]ed|not authori[sz]ed|forbidden|token (?:is )?(?:expired|revoked)|error validating token"
)
_MISSING: Final = r"(?i)unsupported path|no handler"
# What keeps a failed log-in from being a refusal: the store could not decide.
_BROKEN: Final = (
    r"(?i)internal error|timeout|timed out|deadline|connection|unavailable|unreachable|sealed|standby|rpc error"
)
_STRING: Final = r'"(?:[^"\\]|\\.)*"'  # a device with log_raw writes texts as they are, quotes escaped
_STATUS: Final = rf'^\{{(?:"http_[a-z_]+":{_STRING},)*"http_status_code":(\d+)[,}}]'
_ONLY_ERROR: Final = rf'^\{{"error":{_STRING}\}}$'
_VERSION: Final = r'"version":(\d{1,18})\}{1,2}$'  # a read ends with its metadata, a write is metadata; keys are sorted
_VERSION_GIVEN: Final = r'^\{"versions":\[(\d{1,18})\]\}$'

# Options of a request that rules ask for, as they stand in its `data`. Text options are hashed: then only the fact
# that one was given is seen, and the flag ends in "=?".
_FLAGS: Final = {
    "exportable": r'"exportable":(?:true|"true")',
    "allow_plaintext_backup": r'"allow_plaintext_backup":(?:true|"true")',
    "deletion_allowed": r'"deletion_allowed":(?:true|"true")',
    "no_parent": r'"no_parent":(?:true|"true")',
    "no_default_policy": r'"no_default_policy":(?:true|"true")',
    "renewable=false": r'"renewable":(?:false|"false")',
    "period": r'"(?:period|token_period)":(?:[1-9"])',
    "log_raw": r'"log_raw":(?:true|"true")',
    "log_raw=?": r'"log_raw":"hmac-',
    "hmac_accessor=false": r'"hmac_accessor":(?:false|"false")',
    "hmac_accessor=?": r'"hmac_accessor":"hmac-',
    "allow_any_name": r'"allow_any_name":(?:true|"true")',
    "audit_non_hmac": r'"audit_non_hmac_(?:request|response)_keys":(?:\[[^\]]|"[^"])',
    "force": r'"force":(?:true|"true")',
    "min_decryption_version": r'"min_decryption_version":\d',
    "bound=none": r'"(?:[a-z]+_){0,2}bound_[a-z_]+":(?:\[\]|\{\}|null)',  # who may log in was narrowed by it
    "max_versions=1": r'"max_versions":(?:1[,}]|"1")',
    "cas_required=false": r'"cas_required":(?:false|"false")',
    "delete_version_after": r'"delete_version_after":(?:"hmac-|"?[1-9])',
}
_POLICIES: Final = r'"policies":(?:\[[^\]]|"[^"])'  # given to an identity; tokens are given theirs all the time
_VERSION_ASKED: Final = r'"version":'
_COMPLETE: Final = r'"complete":true\b'  # the last share was given: in the answer, not in the request
_ANY_FLAG: Final = (
    r'"(?:exportable|allow_|deletion_|no_|renewable|period|token_period|log_raw|hmac_|audit_non|force|min_dec|max_ver'
    r"|cas_req|delete_ver|policies|(?:token_|secret_id_)?bound_)"
)


class Columns:
    """Makes DECODED rows of RAW rows. `canary_header` is the header whose value becomes `canary`."""

    def __init__(self, canary_header: str) -> None:
        name = canary_header.lower()
        self._described = PerDistinct(KEY, describe)
        self._headers = PerDistinct(
            ("request_headers",), lambda keys: keys.select(user_agent=_header("user-agent"), canary=_header(name))
        )

    def of(self, raw: pl.DataFrame, clear: pl.Series) -> pl.DataFrame:
        """DECODED rows in the order of `raw`, `piece` left null. `clear` says per row whether values showed.

        `raw` has a column `moment` more, made by MOMENT.
        """
        described = self._described.of(raw.with_columns(MOUNT))
        frame = raw.hstack(described).hstack(self._headers.of(raw))
        frame = frame.with_columns(phase=_phase(), clear=clear, answer=pl.col("response_data"))
        frame = frame.with_columns(outcome=_outcome(), secret_version=_version())
        asked = {"flags": _flags(frame), "asked_for": asked_for(frame), "items": items(frame)}
        frame = frame.with_columns(**asked, discloses_value=_discloses())
        return frame.select(
            pl.lit(None, dtype=DECODED[name]).alias(name) if how is None else how.alias(name)
            for name, how in _COLUMNS.items()
        )


def _header(name: str) -> pl.Expr:
    return pl.col("request_headers").str.json_path_match(f"$['{name}'][0]")


def _phase() -> pl.Expr:
    """From the type, or its ending where an engine writes its own; without a type, by what there is."""
    kind = pl.col("type").fill_null("")
    return first(
        ((kind == "request") | kind.str.ends_with("-request"), "request"),
        ((kind == "response") | kind.str.ends_with("-response"), "response"),
        (kind != "", "single"),
        (pl.col("response"), "response"),
        otherwise="request",
    )


_ERROR: Final = pl.col("error").fill_null("")
_ANSWERED: Final = pl.col("phase") == "response"
_STREAMED: Final = pl.col("request_path").str.starts_with("sys/storage/raft/snapshot").fill_null(value=False)


def _outcome() -> pl.Expr:
    """The outcome as far as this one entry tells. A missing `policy_results` is not a denial."""
    failed_login = pl.col("login") & ~pl.col("issued") & _ANSWERED
    refused = failed_login & (_ERROR != "") & ~_ERROR.str.contains(_BROKEN)
    forbidden = ~pl.col("auth_allowed").fill_null(value=True) | _ERROR.str.contains(_DENIED)
    status = pl.col("answer").str.extract(_STATUS).cast(pl.Int32, strict=False).fill_null(0)
    return first(
        (refused | forbidden | (status == 403) | (failed_login & _hashed_error()), "denied"),
        (_ERROR.str.contains(_MISSING) | (status == 404) | _nothing_found(), "not_found"),
        ((_ERROR != "") | (status >= 400) | _hashed_error(), "failure"),
        otherwise="success",
    )


def _nothing_found() -> pl.Expr:
    """A read or list whose response has none of data, auth and wrap_info; a snapshot is sent beside the response."""
    asked = pl.col("request_operation").is_in(["read", "list", "scan"]) & (_ERROR == "")
    empty = pl.col("answer").is_null() & ~pl.col("issued") & ~pl.col("response_wrap")
    return (_ANSWERED & asked & empty & ~_STREAMED).fill_null(value=False)


def _hashed_error() -> pl.Expr:
    """An error that stands only, hashed, in the response's data; a KV secret may have a field of that name."""
    only = pl.col("answer").str.contains(_ONLY_ERROR).fill_null(value=False)
    return only & ~pl.col("engine").is_in(["kv", "cubbyhole"])


def _version() -> pl.Expr:
    data = pl.col("answer")
    kv2 = (pl.col("engine") == "kv") & pl.col("request_path").str.contains(r"/(?:data|destroy|delete|undelete)/")
    found = pl.coalesce(
        data.str.extract(_VERSION), pl.col("request_data").str.extract(_VERSION_GIVEN)
    )  # fmt: skip
    return pl.when(kv2).then(found).cast(pl.Int64, strict=False)


def _discloses() -> pl.Expr:
    """This response carried a value: not wrapped, not empty."""
    given = pl.col("answer").is_not_null() | pl.col("issued") | _STREAMED
    value = (pl.col("operation") == "read") & (pl.col("outcome") == "success")
    return _ANSWERED & value & given & ~pl.col("response_wrap")


def _flags(frame: pl.DataFrame) -> pl.Series:
    """Names of the options given, for requests whose `data` are options and not the user's own."""
    orphan = pl.col("request_path").str.starts_with("auth/token/create-orphan").fill_null(value=False)
    options = pl.col("options") & pl.col("request_data").str.contains(_ANY_FLAG)
    ceremony = pl.col("request_path").str.starts_with("sys/generate-").fill_null(value=False)
    old = (pl.col("engine") == "kv") & (pl.col("request_operation") == "read") & pl.col("request_data").is_not_null()
    asked = (options | old).fill_null(value=False) | orphan | ceremony
    rows = frame.select(asked.arg_true()).to_series().to_numpy()
    data = pl.col("request_data").fill_null("")
    named = [pl.when(data.str.contains(how)).then(pl.lit(name)) for name, how in _FLAGS.items()]
    named.append(pl.when(orphan & ~data.str.contains(_FLAGS["no_parent"])).then(pl.lit("no_parent")))
    named.append(pl.when((pl.col("engine") == "identity") & data.str.contains(_POLICIES)).then(pl.lit("policies")))
    named.append(pl.when(old & data.str.contains(_VERSION_ASKED)).then(pl.lit("version")))
    named.append(pl.when(ceremony & pl.col("answer").str.contains(_COMPLETE)).then(pl.lit("complete")))
    found = frame[rows].select(pl.concat_list(named).list.drop_nulls().alias("flags")).to_series()
    return spread(found, rows, len(frame), [])


def _hash(*names: str) -> pl.Expr:
    return pl.coalesce(pl.col(name).replace("", None) for name in names)


def _made(value: pl.Expr) -> pl.Expr:
    """`value` of the token that a log-in or creation made; a renewal shows the asking token again."""
    renewed = pl.col("request_path").str.contains(r"^(?:auth/token|sys)/renew").fill_null(value=False)
    return pl.when(pl.col("issued") & ~renewed).then(value)


def _ended() -> pl.Expr:
    """The hash of the accessor that a revocation names. One in clear says nothing: other entries tell its digest."""
    named = pl.col("request_data").str.extract(r'"accessor":"(hmac-sha256:[0-9a-f]+)"')
    return pl.when(pl.col("request_path").str.starts_with("auth/token/revoke-accessor")).then(named)


def _role(prefix: str) -> pl.Expr:
    """The role that names a workload: an AppRole's, or a cloud's. Elsewhere `role` is only what was asked for."""
    cloud = pl.col(f"{prefix}_display_name").str.contains(r"^(?:aws|gcp|azure|alicloud|oci|cf)(?:-|$)")
    return pl.coalesce(f"{prefix}_role_name", pl.when(cloud).then(pl.col(f"{prefix}_role")))


def _address() -> pl.Expr:
    """The client's address; kmip entries write it with a port."""
    address = pl.col("request_remote_address")
    bare = pl.coalesce(address.str.extract(r"^\[([^\]]*)\]"), address.str.extract(r"^([0-9.]+):\d+$"), address)
    return pl.when(address.str.contains(r"^\[|\.\d+:\d+$")).then(bare).otherwise(address)


_COLUMNS: Final[dict[str, pl.Expr | None]] = {
    "piece": None,
    "time": pl.col("moment"),
    "store": pl.lit("vault"),
    "cluster": None,
    "phase": pl.col("phase"),
    "operation": pl.col("operation"),
    "discloses_value": pl.col("discloses_value"),
    "api_operation": pl.col("request_operation"),
    "session": _hash("request_client_token_accessor", "auth_accessor"),
    "client_ip": _address(),
    "user_agent": pl.col("user_agent"),
    "namespace": pl.col("namespace"),
    "mount": pl.col("mount"),
    "secret": pl.col("secret"),
    "secret_version": pl.col("secret_version"),
    "outcome": pl.col("outcome"),
    "error": pl.col("error"),
    "correlation_uid": pl.col("request_id"),
    "path": pl.col("request_path"),
    "mount_type": pl.col("mount_type"),
    "auth_display_name": pl.col("auth_display_name"),
    "auth_entity": pl.col("auth_entity_id"),
    "auth_role": _role("auth"),
    "auth_username": pl.col("auth_username"),
    "auth_sa_name": pl.col("auth_service_account_name"),
    "auth_sa_namespace": pl.col("auth_service_account_namespace"),
    "auth_token_type": pl.col("auth_token_type"),
    "auth_policies": pl.col("auth_policies"),
    "login_display_name": _made(pl.col("issued_display_name")),
    "login_entity": _made(pl.col("issued_entity_id")),
    "login_role": _made(_role("issued")),
    "login_username": _made(pl.col("issued_username")),
    "login_sa_name": _made(pl.col("issued_service_account_name")),
    "login_sa_namespace": _made(pl.col("issued_service_account_namespace")),
    "login_policies": _made(pl.col("issued_policies")),
    "login_session": pl.coalesce(_made(_hash("issued_accessor")), _hash("response_wrap_accessor"), _ended()),
    "token_ttl": pl.coalesce("issued_token_ttl", "auth_token_ttl"),
    "wrap_ttl": pl.col("response_wrap_ttl"),
    "token_hash": _hash("request_client_token", "auth_client_token"),
    "flags": pl.col("flags"),
    "canary": pl.col("canary"),
    "forwarded": pl.coalesce("forwarded", pl.col("forwarded_from").is_not_null()),
    "probe": (
        (pl.col("request_path") == "sys/audit/test") & (pl.col("phase") == "request")
        & pl.col("request_client_token").is_null() & pl.col("request_remote_address").is_null()
    ).fill_null(value=False),
    "clear": pl.col("clear"),
    "asked_for": pl.col("asked_for"),
    "items": pl.col("items"),
}  # fmt: skip
