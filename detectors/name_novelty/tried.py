"""One role after another tried from one address, in a network where none of them ever let anybody in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from detectors._memory import Keys, Table, joined, keys_of, keys_of_few, unique
from detectors._operation import said_of
from detectors._text import figure, show
from detectors._window import Found
from pipeline.core.clock import HOUR_US
from pipeline.core.owned import added, owned

if TYPE_CHECKING:
    from pipeline.core.model import Frames

_ROLES: Final = r"^(?:role|role_id|name):"
_BY: Final = ("client_ip", "mount", "name")
_MOST: Final = 100_000  # of one hour
_NONE: Final = pl.DataFrame(schema=dict.fromkeys(_BY, pl.String))
_HOME: Final = pl.DataFrame(schema=dict.fromkeys(("zone", "mount", "name"), pl.String))


class Tried:
    """Which roles let somebody in, by network: 24 bytes each. Which were refused, by address, in the current hour."""

    def __init__(self, roles: int, limit: int) -> None:
        self._roles = roles
        self._home = Table(1, limit)
        self._refused, self._entered = _NONE, _HOME
        self._hour = 0

    def inspect(self, rows: pl.DataFrame, hour: int) -> list[Found]:
        """Judge rows of one hour, in the order in which they became complete, by what was known before it."""
        if hour > self._hour:
            self._learn()
            self._hour = hour
        asked = rows.filter(~pl.col("mount_type").fill_null("").is_in(["pki", "ssh"]))
        asked = asked.rename({"asked_for": "name"}).explode("name", empty_as_null=True)
        asked = asked.filter(pl.col("name").str.contains(_ROLES) & pl.col("client_ip").is_not_null())
        asked = asked.with_columns(pl.col("zone", "mount").fill_null(""))
        entered = asked.filter(pl.col("outcome") == "success").select(_HOME.columns)
        self._entered = owned(pl.concat([self._entered, entered]).unique(maintain_order=True).head(_MOST))
        asked = asked.filter(pl.col("outcome") == "denied")
        asked = asked.filter(pl.Series(~self._home.knows(_keys(asked)), dtype=pl.Boolean))
        asked = asked.unique(_BY, keep="first", maintain_order=True)
        asked = asked.join(self._refused, on=_BY, how="anti", maintain_order="left")
        if asked.is_empty():
            return []
        before = self._refused.group_by("client_ip", "mount").agg(before=pl.len())
        by = ["client_ip", "mount"]
        nth = asked.join(before, on=by, how="left", maintain_order="left").with_columns(
            nth=pl.col("before").fill_null(0) + pl.int_range(1, pl.len() + 1).over(by)
        )
        nth = nth.filter(pl.col("nth") <= self._roles)  # what comes after that changes nothing
        self._refused = added(self._refused, nth.select(_BY)).head(_MOST)
        return [self._found(row) for row in nth.filter(pl.col("nth") == self._roles).iter_rows(named=True)]

    def _learn(self) -> None:
        """Add the roles that let somebody in."""
        keys = unique(_keys(self._entered))
        self._home.put(keys, np.ones((len(keys), 1)), self._hour * HOUR_US)
        self._refused, self._entered = _NONE, _HOME

    def _found(self, row: dict[str, Any]) -> Found:
        address, roles = row["client_ip"], self._roles
        return Found(
            key=f"{address} {row['mount']} {self._hour}",
            cause="roles_tried",
            title="Log-in tried with one role after another",
            family="auth",
            techniques=("T1078", "T1110"),
            severity="medium",
            confidence=0.7,
            score=0.55,
            message=f"{show(address)} tried to log in at {show(row['mount'])} with {figure(roles)} roles within an hour"
            " and was refused each time; none of them ever let anybody of its network in.",
            observed=f"{figure(roles)} different roles refused",
            expected="a program logs in with one role",
            next_step="Find the program or person at that address. If nobody knows of it, the credential it used (the"
            " token of a service account or a job) is in wrong hands: replace it, and see what else came from there.",
            **said_of(row),
        )

    def snapshot(self) -> Frames:
        """Frames tried.home, tried.refused, tried.entered, tried.hour."""
        return {
            "tried.home": self._home.snapshot(),
            "tried.refused": self._refused,
            "tried.entered": self._entered,
            "tried.hour": pl.DataFrame({"hour": [self._hour]}),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._home.restore(frames["tried.home"])
        self._refused, self._entered = frames["tried.refused"], frames["tried.entered"]
        self._hour = frames["tried.hour"]["hour"][0]


def _keys(rows: pl.DataFrame) -> Keys:
    return joined(0, keys_of(rows["zone"]), keys_of_few(rows["mount"]), keys_of(rows["name"]))
