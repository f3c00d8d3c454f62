"""From what was asked for and the verb to the one vocabulary of operations (SOURCES section 3), per distinct row."""

from __future__ import annotations

from typing import Final

import polars as pl

KEY: Final = ("verb", "ref_resource", "ref_group", "ref_part", "named")

_VERB: Final = pl.col("verb").fill_null("").str.to_lowercase()
_RESOURCE: Final = pl.col("ref_resource").fill_null("")
_PART: Final = pl.col("ref_part").fill_null("")
_CORE: Final = pl.col("ref_group").fill_null("") == ""
SEVERAL: Final = ["list", "watch", "watchlist"]
SECRETS: Final = (_RESOURCE == "secrets") & _CORE

# Who may do what: rights, accounts, and what stands between a request and its being done.
_RIGHTS: Final = (
    "roles", "clusterroles", "rolebindings", "clusterrolebindings", "serviceaccounts", "podsecuritypolicies",
    "mutatingwebhookconfigurations", "validatingwebhookconfigurations", "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings", "validatingadmissionpolicies", "validatingadmissionpolicybindings",
    "apiservices",
)  # fmt: skip
# "May I, what may I, who am I": to browse, though it is done by creating something.
_REVIEWS: Final = (
    "subjectaccessreviews", "localsubjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews",
    "selfsubjectreviews",
)  # fmt: skip


def first(*cases: tuple[pl.Expr, pl.Expr | str], otherwise: pl.Expr | str) -> pl.Expr:
    """The value of the first case that holds; a text stands for itself."""
    result = _value(otherwise)
    for condition, value in reversed(cases):
        result = pl.when(condition).then(_value(value)).otherwise(result)
    return result


def _value(value: pl.Expr | str) -> pl.Expr:
    return pl.lit(value) if isinstance(value, str) else value


def _by_verb(*, write: str, delete: str, read: str = "list", several: pl.Expr | str = "list") -> pl.Expr:
    return first(
        (_VERB == "get", read),
        (_VERB.is_in(SEVERAL), several),
        (_VERB.is_in(["create", "update", "patch"]), write),
        (_VERB.is_in(["delete", "deletecollection"]), delete),
        otherwise="other",
    )


def _of_secrets() -> pl.Expr:
    """To list or watch one secret by its name (a field selector) is to read it."""
    several = first((pl.col("named") == "true", "read"), otherwise="list")
    alone = _by_verb(read="read", several=several, write="write", delete="delete")
    return first((_PART == "", alone), otherwise="other")


def operation() -> pl.Expr:
    """schema.OPERATIONS_VOCABULARY of rows that have the columns of KEY."""
    issued = (_RESOURCE == "serviceaccounts") & (_PART == "token")
    return first(
        (SECRETS, _of_secrets()),
        (issued | ((_RESOURCE == "tokenreviews") & (_VERB == "create")), "auth"),
        (_RESOURCE == "certificatesigningrequests", _by_verb(write="auth", delete="delete")),
        (_RESOURCE == "auditsinks", _by_verb(write="audit_control", delete="audit_control")),
        (_RESOURCE.is_in(_RIGHTS), _by_verb(write="policy", delete="policy")),
        (_RESOURCE.is_in(_REVIEWS), "list"),
        otherwise="other",
    )
