"""What a call is about, from its request: the one name of each secret, its version, options, how many were asked for.

Worked out per distinct row of KEY columns, of which a log has few once what differs from call to call is left out.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.decoders.cloudtrail.identity import from_outside
from pipeline.decoders.cloudtrail.vocabulary import CALL, DISCLOSING, NAMED_IN_REQUEST, SERVICE, operation

KEY: Final = ("service", "event_name", "read_only", "asked", "held", "held_arn", "refused", "recipient", "user_account")

# What differs in every call and names nothing: its text is left out, so that calls are alike again.
_CONTEXT: Final = r'"encryptionContext":\{[^{}]*\}'
_ONCE: Final = r'"(clientRequestToken|roleSessionName)":"[^"\\]*"'
_KEY_ARN: Final = r'"(?i:arn)":"(arn:[^"\\]*:(?:key/|secret:)[^"\\]*)"'
_ARN: Final = r'"(?i:arn)":"([^"\\]*)"'

_ON: Final = r" on resource: (arn:[^\s,]+)"
_STORED_ARN: Final = r"^arn:[^:]*:secretsmanager:[^:]*:[^:]*:secret:([^:]+?)(?:-[A-Za-z0-9]{6})?(?::.*)?$"
_KMS_ARN: Final = r"^arn:[^:]*:kms:[^:]*:[^:]*:(?:key/)?(.*)$"
_PARAMETER_ARN: Final = r"^arn:[^:]*:ssm:[^:]*:[^:]*:parameter/"
_SELECTOR: Final = r":([^:/]+)$"  # a parameter's version or label
_STRING: Final = r'"(?:[^"\\]|\\.)*"'

# An account that a policy or grant names, as its text stands escaped in the request.
_ACCOUNT: Final = r'(?:arn:aws[a-z-]*:(?:iam|sts)::|\\"AWS\\":(?:\s|\\[nrt]|\[)*\\")\d{12}'
_TO_KEY: Final = r'"destinationKeyId":"arn:[^:"]*:kms:[^:"]*:(\d{12}):'
_GIVING: Final = [
    "PutResourcePolicy", "PutKeyPolicy", "CreateGrant", "CreateKey", "UpdateAssumeRolePolicy", "CreateRole",
]  # fmt: skip

_FLAGS: Final = {
    "secretsmanager": {
        "force": r'"forceDeleteWithoutRecovery":true',
        "rotate_now=false": r'"rotateImmediately":false',
        "rotation_function": r'"rotationLambdaARN":"',
        "block_public=false": r'"blockPublicPolicy":false',
    },
    "kms": {"bypass": r'"bypassPolicyLockoutSafetyCheck":true'},
    "ssm": {"decrypt": r'"withDecryption":true', "recursive": r'"recursive":true'},
    "cloudtrail": {
        "validation=false": r'"enableLogFileValidation":false',
        "multi_region=false": r'"isMultiRegionTrail":false',
        "global_events=false": r'"includeGlobalServiceEvents":false',
        "management_events=false": r'"includeManagementEvents":false',
        "reads=false": r'"readWriteType":"WriteOnly"',
        "excluded": r'"excludeManagementEventSources":\["',
    },
}
_PUBLIC: Final = r'\\"Principal\\":(?:\s|\\[nrt])*(?:\\"\*\\"|\{(?:\s|\\[nrt])*\\"AWS\\":(?:\s|\\[nrt]|\[)*\\"\*\\")'
_NEGATED: Final = r'"values":\["!'
_CHOSEN: Final = r'"values":\["[^!]'


def keyed(raw: pl.DataFrame) -> pl.DataFrame:
    """RAW rows with the KEY columns beside them."""
    service = pl.coalesce("event_source", pl.lit("cloudtrail")).str.replace(r"\.amazonaws\.com(?:\.cn)?$", "")
    framed = raw.with_columns(service=service, event_name=pl.coalesce("event_name", "event_type", pl.lit("")))
    ours = SERVICE.is_in(NAMED_IN_REQUEST)
    asked = pl.col("request").str.replace_all(_CONTEXT, '"encryptionContext":0').str.replace_all(_ONCE, '"$1":0')
    arn = pl.col("resources").str.extract(_ARN)
    held = SERVICE.is_in(["secretsmanager", "kms"])
    return framed.with_columns(
        arn=arn,
        asked=pl.when(ours).then(asked),
        held=pl.when(SERVICE == "secretsmanager").then(pl.col("additional").str.json_path_match("$.SecretId")),
        held_arn=pl.when(held).then(pl.coalesce(pl.col("resources").str.extract(_KEY_ARN), arn)),
        # A refused call has no request; the refusal names what it was asked for.
        refused=pl.when(held | (SERVICE == "ssm")).then(pl.col("error_message").str.extract(_ON)),
        read_only=pl.col("read_only").cast(pl.String),
    )


def _param(name: str) -> pl.Expr:
    return pl.col("asked").str.json_path_match(f"$.{name}").replace("", None)


def describe(keys: pl.DataFrame) -> pl.DataFrame:
    """What each row of KEY means, row by row.

    Columns: operation, disclosing (a value is what it gives back), reference (the resource as named), secret,
    secret_version, flags, items, role_arn, duration.
    """
    decrypting = _param("withDecryption") == "true"
    read = keys.with_columns(
        decrypting=pl.when(pl.col("asked").is_not_null()).then(decrypting.fill_null(value=False)),
        reference=_reference(),
        items=_items(),
    ).with_columns(name=_name(), operation=operation())
    selector = pl.when(_parameter()).then(pl.col("reference").str.replace(_PARAMETER_ARN, "").str.extract(_SELECTOR))
    return read.with_columns(selector=selector).select(
        "operation", "reference", "items",
        disclosing=DISCLOSING & (pl.col("operation") == "read"),
        secret=pl.when(pl.col("name") != "").then(SERVICE + "/" + pl.col("name")).otherwise(pl.lit("")).fill_null(""),
        secret_version=pl.col("selector").str.extract(r"^(\d{1,18})$").cast(pl.Int64),
        flags=_flags(),
        role_arn=pl.when(SERVICE == "sts").then(pl.coalesce(_param("roleArn"), _root())),
        duration=pl.when(SERVICE == "sts").then(_param("durationSeconds").cast(pl.Int64, strict=False)),
    )  # fmt: skip


def _root() -> pl.Expr:
    """Whose root user AssumeRoot makes the caller."""
    account = _param("targetPrincipal").str.extract(r"^(\d{12})$")
    return "arn:aws:iam::" + account + ":root"


def _parameter() -> pl.Expr:
    """A call on parameters; Systems Manager has many others."""
    return (SERVICE == "ssm") & (CALL.str.contains("Parameter") | (_param("resourceType") == "Parameter"))


def _reference() -> pl.Expr:
    one = [pl.when(_listed(name) == 1).then(_param(f"{name}[0]")) for name in ("names", "secretIdList")]
    named: dict[str, list[pl.Expr]] = {
        "secretsmanager": [
            *map(_param, ("secretId", "name")),
            one[1],
            *map(pl.col, ("held", "held_arn", "refused")),
        ],
        "kms": [
            *map(_param, ("aliasName", "keyId", "sourceKeyId", "destinationKeyId")),
            *map(pl.col, ("held_arn", "refused")),
        ],
        "ssm": [*map(_param, ("name", "path")), one[0], *map(_param, ("resourceId", "resourceArn")), pl.col("refused")],
        "sts": [_param("roleArn")],
        "iam": [*map(_param, ("roleName", "userName", "groupName", "policyArn"))],
        "cloudtrail": [*map(_param, ("name", "trailName", "eventDataStore", "resourceArn"))],
    }
    chosen = pl.lit(None, dtype=pl.String)
    for service, names in named.items():
        chosen = pl.when(service == SERVICE).then(pl.coalesce(names)).otherwise(chosen)
    return chosen


def _listed(name: str) -> pl.Expr:
    """How many texts a list of the request has."""
    return _param(name).str.count_matches(_STRING).cast(pl.Int64)


def _items() -> pl.Expr:
    """The values asked for at once, where they are named and more than one."""
    count = (
        pl.when(SERVICE == "secretsmanager").then(_listed("secretIdList"))
        .when((SERVICE == "ssm") & CALL.is_in(["GetParameters", "DeleteParameters"])).then(_listed("names"))
    )  # fmt: skip
    return pl.when(count > 1).then(count)


def _name() -> pl.Expr:
    """The secret's own name: without what an ARN, a version or a leading slash adds."""
    reference = pl.col("reference")
    unnamed = CALL.is_in(["GetParametersByPath", "DescribeParameters"])
    parameter = reference.str.replace(_PARAMETER_ARN, "").str.replace(_SELECTOR, "").str.strip_chars_start("/")
    return (
        pl.when(SERVICE == "secretsmanager").then(reference.str.replace(_STORED_ARN, "$1"))
        .when(SERVICE == "kms").then(reference.str.replace(_KMS_ARN, "$1"))
        .when(_parameter() & ~unnamed).then(parameter)
    )  # fmt: skip


def _flags() -> pl.Expr:
    asked = pl.col("asked").fill_null("")
    named = [
        pl.when((service == SERVICE) & asked.str.contains(pattern)).then(pl.lit(flag))
        for service, flags in _FLAGS.items()
        for flag, pattern in flags.items()
    ]
    batch = (CALL == "BatchGetSecretValue") & _param("secretIdList").is_null() & pl.col("asked").is_not_null()
    named += [
        pl.when(_old()).then(pl.lit("version")),
        pl.when(batch & ~asked.str.contains(_CHOSEN)).then(pl.lit("catch_all")),
        pl.when(CALL.is_in(_GIVING) & asked.str.contains(_PUBLIC)).then(pl.lit("public")),
        pl.when(from_outside() | _to_outside()).then(pl.lit("external")),
        pl.when(_to_outside() & ~from_outside()).then(pl.lit("opened_outside")),
        pl.when(_away()).then(pl.lit("foreign_key")),
    ]
    return pl.concat_list(named).list.drop_nulls()


def _old() -> pl.Expr:
    """A version was asked for by name: one that need not be the current one."""
    stage = _param("versionStage")
    secret = (CALL == "GetSecretValue") & (_param("versionId").is_not_null() | (stage != "AWSCURRENT"))
    parameter = (CALL == "GetParameter") & pl.col("selector").is_not_null()
    return secret.fill_null(value=False) | parameter


def _to_outside() -> pl.Expr:
    """A policy or grant names another account."""
    named = pl.col("asked").str.extract_all(_ACCOUNT)
    accounts = named.list.eval(pl.element().str.slice(-12)).list.unique().list.drop_nulls()
    theirs = accounts.list.len() > accounts.list.contains(pl.col("recipient")).cast(pl.UInt32)
    return (CALL.is_in(_GIVING) & theirs).fill_null(value=False)


def _away() -> pl.Expr:
    """What was encrypted is to be so under the key of another account than the old key's."""
    account = pl.when(CALL.is_in(["ReEncrypt", "ReEncryptTo"])).then(pl.col("asked").str.extract(_TO_KEY))
    return (account != pl.col("recipient")).fill_null(value=False)
