"""Which places a window knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pipeline.sli.tally import OTHER, Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.sli.config import Config

_NAMED = {"window": pl.Int64, "place": pl.Int64, "store": pl.String, "namespace": pl.String, "mount": pl.String}


class Places:
    """Numbers the places of one window as they appear; past the limits they are `OTHER`."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.numbers: dict[Place, int] = {}
        self._namespaces: set[tuple[str, str]] = set()
        self._mounts = 0
        self._others: set[int] = set()

    def number(self, place: Place) -> int:
        """The number of a place, or of what it is told under."""
        known = self.numbers.get(place)
        return self._admit(place) if known is None else known

    def is_other(self, number: int) -> bool:
        """Whether this number stands for places past the limits."""
        return number in self._others

    def _admit(self, place: Place) -> int:
        store, namespace, mount = place
        if (store, namespace) not in self._namespaces and len(self._namespaces) >= self._config.max_namespaces:
            namespace = OTHER
        if namespace == OTHER or (mount != OTHER and self._mounts >= self._config.max_mounts):
            mount = OTHER
        if namespace != OTHER:
            self._namespaces.add((store, namespace))
        told = (store, namespace, mount)
        if told not in self.numbers:
            self._mounts += mount != OTHER
            self.numbers[told] = len(self.numbers)
        number = self.numbers[told]
        if mount == OTHER:
            self._others.add(number)
        return number


def named(windows: Mapping[int, Places]) -> pl.DataFrame:
    """Columns window, place (its number there), store, namespace, mount; in the order of the numbers."""
    rows = [(window, at, *place) for window, places in windows.items() for at, place in enumerate(places.numbers)]
    return pl.DataFrame(rows, schema=_NAMED, orient="row")
