"""Stores of which nearly every request comes from one or two addresses: those of a proxy, and no client's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from detectors._text import figure, several, show
from detectors._window import Found, seen_in

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

_ADDRESSES: Final = 2  # a pair of load balancers
_LEAST: Final = 100  # requests in a window, before it says anything
_STATE: Final = pl.Schema({"store": pl.String(), "windows": pl.Int64(), "zones": pl.List(pl.String())})


@dataclass(frozen=True, slots=True)
class Limits:
    """From which share of the requests on, by how many principals, in how many windows running."""

    share: float
    principals: int
    windows: int


class Fronts:
    """Per store: in how many windows running it was so, and the networks of those addresses."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._runs: dict[str, tuple[int, list[str]]] = {}

    def zones(self) -> list[str]:
        """Networks that tell nothing of who comes from there."""
        lasting = (zones for windows, zones in self._runs.values() if windows >= self._limits.windows)
        return sorted({zone for zones in lasting for zone in zones})

    def learn(self, window: Window) -> list[Found]:
        """Add a closed window; what is told of it is told when the run is long enough, and once a run."""
        rows = window.operations.filter((pl.col("client_ip") != "") & pl.col("store").is_not_null())
        found = []
        for one in _most(rows).iter_rows(named=True):
            mine = self._behind(one, rows)
            people = mine["principal"].n_unique()
            if mine.is_empty() or people < self._limits.principals:
                self._runs.pop(one["store"], None)
                continue
            windows = self._runs.get(one["store"], (0, []))[0] + 1
            self._runs[one["store"]] = windows, mine["zone"].drop_nulls().unique().sort().to_list()
            if windows == self._limits.windows:
                found.append(_told(one, mine, people, windows))
        return found

    def _behind(self, one: dict[str, Any], rows: pl.DataFrame) -> pl.DataFrame:
        """The rows from a store's busiest addresses; none where others make too many to look for them."""
        if one["share"] < self._limits.share:
            return rows.clear()
        return rows.filter((pl.col("store") == one["store"]) & pl.col("client_ip").is_in(one["addresses"]))

    def snapshot(self) -> Frames:
        """Frame fronts."""
        rows = [(store, windows, zones) for store, (windows, zones) in sorted(self._runs.items())]
        return {"fronts": pl.DataFrame(rows, schema=_STATE, orient="row")}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot; from one of an earlier version, with no run."""
        rows = frames.get("fronts", pl.DataFrame(schema=_STATE)).rows()
        self._runs = {store: (windows, zones) for store, windows, zones in rows}


def _most(rows: pl.DataFrame) -> pl.DataFrame:
    """Per store with requests enough: its busiest addresses, their share of all, all."""
    each = rows.group_by("store", "client_ip").agg(pl.col("n").sum())
    each = each.sort("store", "n", "client_ip", descending=[False, True, False])
    stores = each.group_by("store", maintain_order=True).agg(
        addresses=pl.col("client_ip").head(_ADDRESSES),
        share=pl.col("n").head(_ADDRESSES).sum() / pl.col("n").sum(),
        n=pl.col("n").sum(),
    )
    return stores.filter(pl.col("n") >= _LEAST)


def _told(one: dict[str, Any], rows: pl.DataFrame, people: int, windows: int) -> Found:
    return Found(
        key=f"front:{one['store']}",
        cause="sources_hidden",
        title="Addresses are a proxy's",
        family="silence",
        severity="low",
        confidence=0.9,
        score=0.5,
        message=f"{one['share']:.0%} of the requests to {show(one['store'])} come from {several(one['addresses'])}, by"
        f" {people} principals: they are a proxy's addresses, and where a client is cannot be told from them.",
        observed=f"{figure(one['share'] * one['n'])} of {figure(one['n'])} requests, in {windows} windows running",
        expected="principals that come from addresses of their own",
        next_step="Let the store see its clients: on Vault's listener x_forwarded_for_authorized_addrs (or"
        " proxy_protocol_behavior) for this proxy. Until then no new network behind it is told.",
        techniques=(),
        **seen_in(rows),
    )
