"""Who it was: one stable name for a workload or a person over all its tokens, pods and addresses.

Vault puts no name of its own into an entry. A token's `display_name` is its auth mount's path with `/` as `-`, then `-`
and the name the auth method gave, or the mount alone (vault/request_handling.go); the method's own words for
the name stand in `metadata`. Rules in README.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

_PARTS: Final = ("display_name", "entity", "role", "username", "sa_name", "sa_namespace")
_HUMAN: Final = ("userpass", "ldap", "oidc", "okta", "github", "saml", "radius", "google")
_SERVICE: Final = (
    "approle",
    "aws",
    "gcp",
    "azure",
    "alicloud",
    "oci",
    "cf",
    "cert",
    "kerberos",
    "jwt",
    "app-id",
    "spiffe",
)

_CLOUD: Final = r"^(?:aws|gcp|azure|alicloud|oci|cf)(?:-|$)"

ANONYMOUS: Final = "anonymous"


class Namer:
    """Names for the identity columns of DECODED. `mounts` are auth mounts whose path itself holds a dash."""

    def __init__(self, *, mounts: Sequence[str], humans: Sequence[str], services: Sequence[str]) -> None:
        dashed = sorted({mount.strip("/").replace("/", "-") for mount in mounts}, key=len, reverse=True)
        self._mounts = "|".join(_escaped(mount) for mount in dashed)
        self._human = _starts([*_HUMAN, *humans])
        self._service = _starts([*_SERVICE, *services])

    def asking(self) -> pl.Expr:
        """The principal that asked, from columns auth_*, marks root and wrapping, and claim."""
        return (
            pl.when(pl.col("wrapping"))
            .then(pl.lit("wrapping"))
            .when(_is_root("auth", "root"))
            .then(pl.lit("root"))
            .when(_known("auth"))
            .then(self._name("auth", pl.lit(None, dtype=pl.String)))
            .otherwise(pl.coalesce("claim", pl.lit(ANONYMOUS)))
        )

    def made(self) -> pl.Expr:
        """The principal whose token was made, from columns login_*, mount and root; null when none was."""
        mount = pl.col("mount").str.extract(r"^auth/(.+?)/?$").str.replace_all("/", "-", literal=True)
        return (
            pl.when(_is_root("login", "root"))
            .then(pl.lit("root"))
            .when(_known("login"))
            .then(self._name("login", mount))
        )

    def known(self) -> pl.Expr:
        """Whether the entry itself tells who asked."""
        return pl.col("wrapping") | _known("auth")

    def type_of(self, principal: str, who: str) -> pl.Expr:
        """principal_type (schema.EVENT) of the names in column `principal`, made from columns `who`_*."""
        name = pl.col(principal)
        return (
            pl.when(name == ANONYMOUS)
            .then(pl.lit(ANONYMOUS))
            .when((name == "root") | pl.col("root"))
            .then(pl.lit("root"))
            .when(name.str.contains(r"^(?:token|wrapping)(?:/|$)"))
            .then(pl.lit("token"))
            .when(pl.col(f"{who}_sa_name").is_not_null())
            .then(pl.lit("pod"))
            .when(name.str.contains(self._human))
            .then(pl.lit("human"))
            .when(name.str.contains(self._service))
            .then(pl.lit("service"))
            .otherwise(pl.lit("unknown"))
        )

    def _name(self, who: str, mount: pl.Expr) -> pl.Expr:
        """`<mount>/<name>` from what is known; `mount`, which a path tells, counts where display_name tells none."""
        display, entity, role, username, account, space = (pl.col(f"{who}_{part}") for part in _PARTS)
        pod = space + "/" + account
        named = pl.coalesce(pod, role, username)
        ending = (
            pl.when(pod.is_not_null())
            .then(pl.concat_str(pl.lit("-"), space, pl.lit("-"), account))
            .otherwise("-" + pl.coalesce(role, username))
        )
        shown = display.str.strip_suffix(pl.concat_str(pl.lit("-system:serviceaccount:"), space, pl.lit(":"), account))
        shown = pl.coalesce(shown, display).str.strip_suffix(ending.fill_null(""))
        own = pl.when(shown != display).then(shown)
        # An AppRole's display_name is its mount alone; a cloud's has the machine behind it, which comes and goes.
        alone = pl.when(pod.is_null() & role.is_not_null() & ~display.str.contains(_CLOUD)).then(display)
        # The path of a log-in comes after these: its token's other requests have the display_name alone.
        at = pl.coalesce(own, alone, self._mount_in(display), mount, pl.lit("entity"))
        rest = pl.coalesce(_after(display, at), entity)
        return pl.when(pl.coalesce(named, rest).is_null()).then(at).otherwise(at + "/" + pl.coalesce(named, rest))

    def _mount_in(self, display: pl.Expr) -> pl.Expr:
        """The mount in front of a display_name: a configured one, else what stands before the first dash."""
        first = display.str.extract(r"^([^-]+)")
        return pl.coalesce(display.str.extract(rf"^({self._mounts})(?:-|$)"), first) if self._mounts else first


def _after(display: pl.Expr, mount: pl.Expr) -> pl.Expr:
    """What stands behind the mount in a display_name; null when nothing does."""
    rest = display.str.strip_prefix(mount + "-")
    return pl.when((rest != display) & (rest != "")).then(rest)


def _known(who: str) -> pl.Expr:
    return pl.any_horizontal(pl.col(f"{who}_{part}").is_not_null() for part in _PARTS)


def _is_root(who: str, mark: str) -> pl.Expr:
    """A token with the root policy and no name of its own: `root`, or `token` where it was created without one."""
    return pl.col(mark) & pl.col(f"{who}_display_name").fill_null("token").is_in(["root", "token"])


def _escaped(text: str) -> str:
    return "".join(letter if letter.isalnum() else f"\\x{{{ord(letter):x}}}" for letter in text)


def _starts(mounts: Sequence[str]) -> str:
    return r"^(?:" + "|".join(_escaped(mount.strip("/").replace("/", "-")) for mount in mounts) + r")(?:[-/]|$)"
