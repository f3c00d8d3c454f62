"""The ordinary stream, hour by hour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.core.schema import TEXTS
from pipeline.simulate.actions import Action, Outcome
from pipeline.simulate.calendar import weekday
from pipeline.simulate.rows import Rows, by_time, finish, none, rows
from pipeline.simulate.scenario import DAY, HOUR
from pipeline.simulate.scheduled import scheduled
from pipeline.simulate.sessions import Sessions, slot_owner
from pipeline.simulate.streams import stream

if TYPE_CHECKING:
    from pipeline.simulate.estate import Estate
    from pipeline.simulate.scenario import Scenario
    from pipeline.simulate.versions import Versions

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Boost:
    """These principals' rates are `factor` times the usual between two instants."""

    principals: Ints
    start: int
    end: int
    factor: float


@dataclass(frozen=True)
class Trouble:
    """Between two instants this share of requests fails, and all are `slow` times slower."""

    start: int
    end: int
    share: float
    slow: float = 1.0


@dataclass(frozen=True)
class Clock:
    """From `at` on, these principals' days begin this many hours later."""

    principals: Ints
    at: int
    hours: float


@dataclass
class World:
    """Everything the ordinary stream is drawn from."""

    scenario: Scenario
    estate: Estate
    sessions: Sessions
    versions: Versions
    boosts: list[Boost] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    clocks: list[Clock] = field(default_factory=list)
    extra: Rows = field(default_factory=none)  # finished rows of confusers, by time
    policy_numbers: dict[tuple[str, ...] | None, int] = field(default_factory=dict)  # of the lists in frames so far
    policy_lists: pl.Series = field(default_factory=lambda: pl.Series([], dtype=TEXTS))


def hours(world: World) -> Iterator[Rows]:
    """Finished rows of each hour, by time. A request belongs to the hour it begins in."""
    scenario = world.scenario
    waiting = none()
    for day in range(scenario.days):
        at = scenario.start_ns + day * DAY
        planned = scheduled(world, at, stream(scenario.seed, "scheduled", day))
        for hour in range(24):
            start, end = at + hour * HOUR, at + (hour + 1) * HOUR
            rng = stream(scenario.seed, "hour", day, hour)
            low, high = np.searchsorted(planned["t"], (start, end))
            pool = by_time([waiting, planned[low:high], steady(world, start, rng)])
            ready, waiting = pool[pool["t"] < end], pool[pool["t"] >= end]
            yield _settled(world, ready, start, rng)
        waiting = by_time([waiting, planned[planned["t"] >= at + DAY]])


def _settled(world: World, ready: Rows, start: int, rng: np.random.Generator) -> Rows:
    """Versions, trouble and everything that no behaviour decides, filled in."""
    reads = np.isin(ready["action"], (Action.READ, Action.WRITE))
    ready["version"][reads] = world.versions.at(ready["object"][reads].astype(np.int64), ready["t"][reads])
    ready["version"] += ready["action"] == Action.WRITE
    slow = 1.0
    for trouble in world.troubles:
        inside = (ready["t"] >= trouble.start) & (ready["t"] < trouble.end)
        if inside.any():
            fails = inside & (rng.random(len(ready)) < trouble.share) & (ready["outcome"] == Outcome.OK)
            fails &= ready["issued"] < 0  # what follows a log-in is laid out, so it succeeds
            ready["outcome"][fails] = Outcome.FAILED
            slow = max(slow, trouble.slow)
    finish(ready, rng, slow)
    ready = by_time([ready])
    low, high = np.searchsorted(world.extra["t"], (start, start + HOUR))
    return by_time([ready, world.extra[low:high]]) if high > low else ready


def season(estate: Estate, start: int, clocks: list[Clock]) -> Floats:
    """Each principal's factor for the hour that begins at `start`."""
    table = estate.principals
    hour = np.full(len(table), (start % DAY) / HOUR)
    for clock in clocks:
        hour[clock.principals] -= clock.hours * (start >= clock.at)
    factor = 1 + table["amplitude"] * np.cos((hour - table["peak"]) * (2 * np.pi / 24))
    weekly = table["weekend"] if weekday(start) > 4 else np.ones(len(table))
    result: Floats = factor * weekly
    return result


def steady(world: World, start: int, rng: np.random.Generator) -> Rows:
    """What services do all the time: over-dispersed counts by rate and season, spread over the hour and their slots."""
    estate, table = world.estate, world.estate.principals
    rate = table["rate"] * season(estate, start, world.clocks) * rng.gamma(4.0, 0.25, len(table))
    for boost in world.boosts:
        overlap = max(0, min(boost.end, start + HOUR) - max(boost.start, start)) / HOUR
        if overlap:
            rate[boost.principals] *= 1 + overlap * (boost.factor - 1)
    rate *= (table["born"] <= start) & (table["gone"] > start)
    counts = rng.poisson(np.minimum(rate, 1e6))
    who = np.repeat(np.arange(len(table)), counts)
    when = start + (rng.random(len(who)) * HOUR).astype(np.int64)
    edge = estate.draw_edges(rng, who)
    first, _ = slot_owner(estate)
    slot = first[who] + (rng.random(len(who)) * table["slots"][who]).astype(np.int64)
    token = world.sessions.at(slot, when)
    held = world.sessions.table[token]
    keep = (edge >= 0) & (held["start"] + 2_000_000_000 <= when)
    who, when, edge, token, held = who[keep], when[keep], edge[keep], token[keep], held[keep]
    made = rows(
        len(who), t=when, action=estate.edge_action[edge], principal=who, session=token,
        object=estate.edge_object[edge], ip=held["ip"], agent=held["agent"],
    )  # fmt: skip
    _mishaps(estate, made, rng)
    return made


def _mishaps(estate: Estate, made: Rows, rng: np.random.Generator) -> None:
    """A few reads that go wrong: not allowed (.3 %), deleted (.2 %), token run out, inner error."""
    luck = rng.random(len(made))
    read = made["action"] == Action.READ
    denied, gone = read & (luck < 0.003), read & (luck >= 0.003) & (luck < 0.005)
    made["outcome"][denied] = Outcome.DENIED
    made["object"][denied] = rng.choice(estate.secrets, int(denied.sum()))
    made["outcome"][gone] = Outcome.NOT_FOUND
    made["object"][gone] = rng.choice(estate.missing, int(gone.sum()))
    expired = read & (luck >= 0.005) & (luck < 0.0054)
    made["outcome"][expired] = Outcome.BAD_TOKEN
    made["session"][expired] = -1
    made["outcome"][luck > 0.9996] = Outcome.FAILED
