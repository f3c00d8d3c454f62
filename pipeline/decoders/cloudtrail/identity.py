"""Who asked: one stable name for each caller, whatever session, service or form of credentials stands between.

Worked out per distinct row of KEY columns.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from pipeline.decoders._expressions import person

KEY: Final = (
    "user_type", "user_principal", "user_arn", "user_account", "user_name", "user_invoked_by", "user_provider",
    "user_behalf", "issuer_arn", "event_source", "event_type", "recipient",
)  # fmt: skip

_SESSION: Final = r"^arn:([^:]*):sts::(\d*):assumed-role/([^/]+)(?:/.*)?$"
_KEPT_FOR_PEOPLE: Final = ":role/aws-reserved/sso.amazonaws.com/"  # where nobody but Identity Center makes roles
_ROLE: Final = r"^(arn:[^:]*:iam::\d*:role/)(?:.*/)?([^/]+)$"
_POD: Final = r"system:serviceaccount:([^:]+):([^:]+)$"
_INTERNAL: Final = "AWS Internal"
_PLACEHOLDER: Final = "HIDDEN_DUE_TO_SECURITY_REASONS"
_NOBODY: Final = ["ANONYMOUS_PRINCIPAL", "anonymous", "Anonymous"]
_PEOPLE: Final = ["SAMLUser", "IdentityCenterUser", "Directory"]
_KIND: Final = pl.col("user_type")


def _given(name: str) -> pl.Expr:
    return pl.col(name).replace(["", _PLACEHOLDER], None)


def role(arn: pl.Expr) -> pl.Expr:
    """A session's or a role's ARN as that of the role, without the path that sessions do not show."""
    return arn.str.replace(_SESSION, "arn:${1}:iam::${2}:role/${3}").str.replace(_ROLE, "${1}${2}")


def caller(arn: pl.Expr) -> pl.Expr:
    """Whose session it is: the person where the role is one for people, else the role; other ARNs as they are."""
    return pl.coalesce(person(arn), role(arn))


def unique(given: pl.Expr, somebody: pl.Expr) -> pl.Expr:
    """The role's unique id out of `id:session`, whole where the session is a person's."""
    return pl.when(somebody.is_not_null()).then(given).otherwise(given.str.extract(r"^([^:]*)"))


def from_outside() -> pl.Expr:
    """The caller is of another account than the log."""
    return (pl.col("user_account") != pl.col("recipient")).fill_null(value=False)


def user(account: pl.Expr, name: pl.Expr) -> pl.Expr:
    """The ARN of an IAM user known by name."""
    return "arn:aws:iam::" + account + ":user/" + name


def identify(keys: pl.DataFrame) -> pl.DataFrame:
    """display, entity, sa_name, sa_namespace, token_type for each row of KEY."""
    names = (
        "user_arn", "user_principal", "user_name", "user_invoked_by", "user_account", "user_provider", "user_behalf",
    )  # fmt: skip
    given = keys.with_columns(*(_given(name).alias(name) for name in names))
    web = pl.when(_KIND == "WebIdentityUser").then(pl.coalesce("user_name", "user_principal"))
    made = given.with_columns(
        web=web,
        sa_namespace=web.str.extract(_POD, 1),
        sa_name=web.str.extract(_POD, 2),
        entity=_entity(),
        acting=_acting(),
    ).with_columns(display=_display())
    return made.select("display", "entity", "sa_name", "sa_namespace", token_type=_token_type())


def _entity() -> pl.Expr:
    """The unique id without the session's name; other types write other things before the colon."""
    whole = pl.col("user_principal")
    session = _KIND.is_in(["AssumedRole", "AWSAccount"]).fill_null(value=False) | whole.str.starts_with("AROA")
    return pl.when(session).then(unique(whole, _somebody())).otherwise(whole).replace("", None)


def _acting() -> pl.Expr:
    """The service that acts by itself; null where somebody else is told of."""
    named = pl.col("user_invoked_by").replace(_INTERNAL, None)
    nobody = pl.all_horizontal(
        pl.col(name).is_null() for name in ("user_arn", "user_principal", "user_name", "issuer_arn", "user_behalf")
    )
    service = (_KIND == "AWSService") | (pl.col("event_type") == "AwsServiceEvent")
    alone = nobody & (service.fill_null(value=False) | pl.col("user_invoked_by").is_not_null())
    itself = (_KIND == "AWSService").fill_null(value=False) | alone
    return pl.when(itself).then(pl.coalesce(named, "event_source"))


def _display() -> pl.Expr:
    provider = pl.col("user_provider").str.replace(r"^arn:.*:(?:oidc-provider|saml-provider)/", "")
    by_name = (
        pl.when(_KIND == "IAMUser").then(user(pl.col("user_account"), pl.col("user_name")))
        .when(_KIND == "Root").then("arn:aws:iam::" + pl.col("user_account") + ":root")
    )  # fmt: skip
    nobody = pl.col("user_account").is_in(_NOBODY).fill_null(value=False) & pl.col("user_arn").is_null()
    return pl.when(~nobody).then(
        pl.coalesce(
            "acting", _somebody(), role(pl.col("user_arn")), role(pl.col("issuer_arn")), by_name,
            pl.concat_str(provider, "web", separator="/"), "web",
            pl.when(_KIND.is_in(["SAMLUser"])).then(pl.col("user_name")),
            "user_behalf", "entity", "user_name", "user_account",
        )
    )  # fmt: skip


def _token_type() -> pl.Expr:
    """Where the record tells it; else null, and the name's form decides."""
    display, entity = pl.col("display"), pl.col("entity")
    unnamed = pl.col("user_arn").is_null()
    return (
        pl.when(display.is_null()).then(pl.lit("anonymous"))
        .when(pl.col("acting").is_not_null()).then(pl.lit("service"))
        .when(_KIND == "Root").then(pl.lit("root"))
        .when(pl.col("sa_name").is_not_null()).then(pl.lit("pod"))
        .when(_KIND.is_in(_PEOPLE) | _of_people()).then(pl.lit("human"))
        .when(_KIND == "WebIdentityUser").then(pl.lit("service"))
        .when(unnamed & entity.str.starts_with("AIDA")).then(pl.lit("human"))
        .when(unnamed & entity.str.starts_with("AROA")).then(pl.lit("service"))
    )  # fmt: skip


def _somebody() -> pl.Expr:
    """The person of Identity Center, of the log's own account: in another one, anybody may choose the names."""
    kept = pl.col("issuer_arn").is_null() | pl.col("issuer_arn").str.contains(_KEPT_FOR_PEOPLE, literal=True)
    return pl.when(kept & ~from_outside()).then(person(pl.col("user_arn")))


def _of_people() -> pl.Expr:
    return _somebody().is_not_null() | pl.col("display").str.contains(r":role/AWSReservedSSO_")
