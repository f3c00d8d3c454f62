"""Secrets of several stores, read from one address within minutes. See README.md."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import polars as pl

from detectors._window import Found, tell
from detectors.store_sweep.done import Done
from detectors.store_sweep.reads import Place, Reads, Stores, until
from detectors.store_sweep.words import Sweep, found_of
from pipeline.core.model import DetectorInfo
from pipeline.core.schema import FINDING, empty

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

INFO: Final = DetectorInfo(
    name="store_sweep",
    version="1",
    title="One address reads the secrets of several stores",
    family="sequence",
    summary="addresses that read secrets of two or more stores within minutes and never did before",
    techniques=("T1555.006", "T1078.004"),
    measures=("F3",),
    cadence="operation",
)
_DAY_MINUTES: Final = 24 * 60
_SHARED: Final = ("", "anonymous", "token", "wrapping", "unknown")  # principals that are nobody


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stores belong together that one address read within `minutes`.

    Three or more are told from the first day on, until the address did so on `habit` days. Two are told where both were
    watched for `days` days and neither the address nor those who read them ever had both before. What `common` other
    addresses did on earlier days of the last thirty is told of nobody.

    `reads` bounds what is remembered of the last hour (of each address, store, principal and secret one row),
    `addresses` and `principals` those that are known, for each set of stores.
    """

    minutes: Annotated[int, msgspec.Meta(ge=1, le=45)] = 15
    days: Annotated[float, msgspec.Meta(ge=0)] = 3.0
    habit: Annotated[int, msgspec.Meta(ge=1)] = 2
    common: Annotated[int, msgspec.Meta(ge=1)] = 5
    reads: Annotated[int, msgspec.Meta(ge=1)] = 100_000
    addresses: Annotated[int, msgspec.Meta(ge=1)] = 20_000
    principals: Annotated[int, msgspec.Meta(ge=1)] = 50_000


class StoreSweep:
    """Remembers the reads of the last hour, and which addresses and principals had which stores together, on how many
    days.
    """

    info = INFO

    def __init__(self, config: Config) -> None:
        self._config = config
        self._reads = Reads(config.reads)
        self._places = Done(config.addresses)
        self._people = Done(config.principals)

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of OPERATION rows."""
        if window.operations.is_empty() or (rows := self._reads.meet(window.operations)).is_empty():
            return empty(FINDING)
        found: list[Found] = []
        if len(shared := self._reads.shared(rows)):
            places = self._reads.places(shared)
            sweeps = [self._step(step, places[step["address"]]) for step in self._reads.steps(shared)]
            found = self._found([one for one in sweeps if one], shared)
        self._reads.remember(rows)
        return tell(self.info, window, found)

    def _found(self, sweeps: list[Sweep], rows: pl.DataFrame) -> list[Found]:
        if not sweeps:
            return []
        each = self._reads.of([one.step["address"] for one in sweeps], rows)
        return [found_of(one, until(one.step, each[one.step["address"]], one.first_minute)) for one in sweeps]

    def _step(self, step: dict[str, Any], place: Place) -> Sweep | None:
        """Take in one read; the sweep that it completes, if that is news."""
        newest = max(place.newest, step["minute"])
        first = newest - self._config.minutes
        if step["minute"] < first:  # it came too late to be in order
            return None
        stores = place.since(first)
        place.note(step["store"], step["principal"], step["minute"], granted=step["granted"])
        grown = step["store"] not in stores
        if grown:
            stores = place.since(first)
        if len(stores) < 2:
            return None
        people = place.people_since(first) if grown else {(step["store"], step["principal"])}
        day = step["minute"] // _DAY_MINUTES
        sweep = self._judge(step, stores, people, first) if grown else None
        self._places.learn(step["address"], stores, day, told=sweep is not None)
        for principal in sorted({principal for _, principal in people}):
            if principal not in _SHARED:
                self._people.learn(principal, stores, day)
        return sweep

    def _judge(self, step: dict[str, Any], stores: Stores, people: set[tuple[str, str]], first: int) -> Sweep | None:
        config, address, day = self._config, step["address"], step["minute"] // _DAY_MINUTES
        known = [days for _, days in self._places.of(address, stores)]
        if any(days.told == day for days in known):
            return None
        if len(stores) > 2:
            usual = max((days.before(day) for days in known), default=0) >= config.habit
        else:
            young = self._reads.watched(stores, step["ready"]) < timedelta(days=config.days)
            usual = young or bool(known) or self._explained(stores, people, day)
        if usual or (others := self._places.others(address, stores, day, config.common)) >= config.common:
            return None
        return Sweep(step, stores, first, config.minutes, others, self._places.most_of(address, day))

    def _explained(self, stores: Stores, people: set[tuple[str, str]], day: int) -> bool:
        """Whether each of the stores was read by somebody who had all of them together on an earlier day."""
        known = {store for store, principal in people if self._people.days_before(principal, stores, day)}
        return stores <= known

    def snapshot(self) -> Frames:
        """Frames stores, reads, addresses, principals."""
        done = {"addresses": self._places.snapshot(), "principals": self._people.snapshot()}
        return {**self._reads.snapshot(), **done}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._reads.restore(frames)
        self._places.restore(frames["addresses"])
        self._people.restore(frames["principals"])


def create(config: Config) -> StoreSweep:
    """The detector, with nothing remembered."""
    return StoreSweep(config)
