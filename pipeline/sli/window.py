"""The counts of one window, and which places it knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pipeline.sli.tally import BINNED, OTHER, Place, counted

if TYPE_CHECKING:
    from pipeline.sli.config import Config

_LOOSE = 64


class Tally:
    """Totals and latency bins by place. Places are numbered as they appear; past the limits they are `OTHER`."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.places: dict[Place, int] = {}
        self._namespaces: set[tuple[str, str]] = set()
        self._mounts = 0
        self._others: set[int] = set()
        self._totals = [pl.DataFrame(schema=counted(config))]
        self._bins = [pl.DataFrame(schema=BINNED)]

    def number(self, place: Place) -> int:
        """The number of a place, or of what it is told under."""
        known = self.places.get(place)
        return self._admit(place) if known is None else known

    def is_other(self, number: int) -> bool:
        """Whether this number stands for places past the limits."""
        return number in self._others

    def add(self, totals: pl.DataFrame, bins: pl.DataFrame) -> None:
        """Counts by the numbers of places."""
        self._totals.append(totals)
        self._bins.append(bins)
        if len(self._bins) > _LOOSE:
            self.settled()

    def settled(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """All totals and all bins, each place and bin once."""
        if len(self._totals) > 1:
            self._totals = [_summed(self._totals, ["place"])]
            self._bins = [_summed(self._bins, ["place", "bin"])]
        return self._totals[0], self._bins[0]

    def names(self) -> pl.DataFrame:
        """Columns store, namespace, mount: row i is place number i."""
        return pl.DataFrame(
            list(self.places), schema=dict.fromkeys(("store", "namespace", "mount"), pl.String), orient="row"
        )

    def _admit(self, place: Place) -> int:
        store, namespace, mount = place
        if (store, namespace) not in self._namespaces and len(self._namespaces) >= self._config.max_namespaces:
            namespace = OTHER
        if namespace == OTHER or (mount != OTHER and self._mounts >= self._config.max_mounts):
            mount = OTHER
        if namespace != OTHER:
            self._namespaces.add((store, namespace))
        told = (store, namespace, mount)
        if told not in self.places:
            self._mounts += mount != OTHER
            self.places[told] = len(self.places)
        number = self.places[told]
        if mount == OTHER:
            self._others.add(number)
        return number


def _summed(frames: list[pl.DataFrame], keys: list[str]) -> pl.DataFrame:
    return pl.concat(frames).group_by(keys).agg(pl.exclude(keys).sum())
