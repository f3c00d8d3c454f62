"""From DECODED identity columns to names: principal, its type, network zone. Stateless: each row by itself."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import polars as pl

from pipeline.core.distinct import PerDistinct
from pipeline.core.schema import DECODED
from pipeline.enrich.naming import ANONYMOUS, Namer
from pipeline.enrich.zones import Zones

_ASKING: Final = (
    "store", "root", "wrapping", "claimed", "auth_token_type", "auth_display_name", "auth_entity", "auth_role",
    "auth_username", "auth_sa_name", "auth_sa_namespace",
)  # fmt: skip
_LOGIN: Final = (
    "login_display_name", "login_entity", "login_role", "login_username", "login_sa_name", "login_sa_namespace",
)  # fmt: skip
_MADE: Final = {"login_principal": pl.String(), "login_principal_type": pl.String()}
_MAKING: Final = ("store", "mount", "login_root", *_LOGIN)
_MARKS: Final = ("root", "login_root", "wrapping")
_CLAIM: Final = r"^(?:.*?/)?auth/(.+?)/login/([^/]+)/?$"
_ADDED: Final = ("principal", "principal_type", "login_principal", "zone")
_RENAMED: Final = {"auth_entity": "entity", "auth_policies": "policies", "auth_token_type": "token_type"}
_KEPT: Final = ("login_policies", "login_session")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`auth_mounts` whose path holds a dash; auth mounts of people and of services beyond those known by name;
    `networks`: CIDR to name."""

    auth_mounts: tuple[str, ...] = ()
    human_mounts: tuple[str, ...] = ()
    service_mounts: tuple[str, ...] = ()
    networks: dict[str, str] = {}


class Enricher:
    """Resolves identities. Pure: the same rows give the same names, whatever came before."""

    def __init__(self, config: Config) -> None:
        self._namer = Namer(mounts=config.auth_mounts, humans=config.human_mounts, services=config.service_mounts)
        zones = Zones(config.networks)
        self._asked = PerDistinct(_ASKING, self._asking)
        self._logged_in = PerDistinct(_MAKING, self._login)
        self._zone = PerDistinct(("client_ip",), zones.of)

    def resolve(self, events: pl.DataFrame) -> pl.DataFrame:
        """DECODED rows with principal, principal_type, login_principal, zone, entity, policies, token_type.

        The identity columns they are made from go, but for login_policies and login_session. Rows keep their order.
        """
        marked = events.with_columns(
            *(_mark(name).cast(pl.String).alias(name) for name in _MARKS),
            claimed=pl.when(pl.col("path").str.contains("/login/", literal=True)).then(pl.col("path")),
        )
        asked = self._asked.of(marked)
        made = self._made(marked)
        zone = self._zone.of(events)
        named = pl.concat([events.select("operation"), asked, made, zone], how="horizontal").with_columns(
            _of_login("principal"), _of_login("principal_type")
        )
        gone = [name for name in DECODED if name.startswith(("auth_", "login_")) and name not in _KEPT]
        kept = events.rename(_RENAMED).drop(name for name in gone if name not in _RENAMED)
        return kept.hstack(named.select(_ADDED))

    def _asking(self, keys: pl.DataFrame) -> pl.DataFrame:
        """principal, principal_type, and whether they rest on a claim or on nothing (`unsure`)."""
        own = pl.col("store") == "vault"
        claim = [pl.col("claimed").str.extract(_CLAIM, part) for part in (1, 2)]
        return (
            keys.with_columns(
                *((pl.col(name) == "true").alias(name) for name in ("root", "wrapping")),
                claim=claim[0].str.replace_all("/", "-", literal=True) + "/" + claim[1],
            )
            .with_columns(principal=pl.when(own).then(self._namer.asking()).otherwise(_elsewhere()))
            .select(
                "principal",
                principal_type=pl.when(own).then(self._namer.type_of("principal", "auth")).otherwise(_elsewhere_type()),
                unsure=own & ~self._namer.known(),
            )
        )

    def _made(self, marked: pl.DataFrame) -> pl.DataFrame:
        """login_principal and login_principal_type; null where no token was made, which is almost everywhere."""
        some = pl.any_horizontal(pl.col(name).is_not_null() for name in _LOGIN)
        rows = marked.select(some.arg_true()).to_series()
        blank = pl.DataFrame(schema=_MADE).clear(1)
        if rows.is_empty():
            return blank[np.zeros(len(marked), np.int64)]
        found = self._logged_in.of(marked[rows].with_columns(_as_caller(name) for name in _LOGIN))
        places = np.zeros(len(marked), np.int64)
        places[rows.to_numpy()] = np.arange(1, len(rows) + 1)
        return pl.concat([blank, found])[places]

    def _login(self, keys: pl.DataFrame) -> pl.DataFrame:
        named = keys.with_columns(root=pl.col("login_root") == "true").with_columns(
            login_principal=pl.when(pl.col("store") == "vault")
            .then(self._namer.made())
            .otherwise(pl.col("login_display_name"))
        )
        return named.select("login_principal", login_principal_type=self._namer.type_of("login_principal", "login"))


def create(config: Config | None = None) -> Enricher:
    """An enricher; raises ConfigError for a network that is none."""
    return Enricher(config or Config())


def _mark(name: str) -> pl.Expr:
    policies = pl.col("login_policies" if name == "login_root" else "auth_policies")
    policy = "response-wrapping" if name == "wrapping" else "root"
    return policies.list.contains(policy).fill_null(value=False)


def _of_login(name: str) -> pl.Expr:
    """A log-in's identity stands only in its response: there it is the principal."""
    answered = pl.col("unsure") & (pl.col("operation") == "auth")
    return pl.when(answered).then(pl.coalesce(f"login_{name}", name)).otherwise(pl.col(name)).alias(name)


def _as_caller(name: str) -> pl.Expr:
    """The token made is the entry's own caller: what the answer leaves out of it, the caller tells."""
    same = pl.col("login_session") == pl.col("session")
    return pl.when(same).then(pl.coalesce(name, name.replace("login_", "auth_"))).otherwise(pl.col(name)).alias(name)


def _elsewhere() -> pl.Expr:
    """Other stores name their callers in full: their decoders put the stable name into auth_display_name."""
    pod = pl.concat_str(
        pl.lit("system:serviceaccount:"), pl.col("auth_sa_namespace"), pl.lit(":"), pl.col("auth_sa_name")
    )
    return pl.coalesce(pod, "auth_display_name", "auth_username", "auth_role", pl.lit(ANONYMOUS))


def _elsewhere_type() -> pl.Expr:
    """A decoder may state the type in auth_token_type; else the name's own form tells."""
    name = _elsewhere()
    stated = pl.col("auth_token_type")
    return (
        pl.when(stated.is_in(["service", "human", "pod", "token", "root", ANONYMOUS]))
        .then(stated)
        .when(name.str.starts_with("system:serviceaccount:"))
        .then(pl.lit("pod"))
        .when(name.str.contains(r"^arn:[^:]*:iam::\d*:root$"))
        .then(pl.lit("root"))
        .when(name.str.contains(r":user/|^[^@/]+@") & ~name.str.ends_with("gserviceaccount.com"))
        .then(pl.lit("human"))
        .when(name.str.contains(r"gserviceaccount\.com$|:role/|:assumed-role/|^system:"))
        .then(pl.lit("service"))
        .when(name == ANONYMOUS)
        .then(pl.lit(ANONYMOUS))
        .otherwise(pl.lit("unknown"))
    )
