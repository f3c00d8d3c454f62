"""The working days of everybody who is not always on: jobs, builds, people, the rotator, the scanner, the sync."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.simulate import network
from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import DAY, HOUR, MINUTE, SECOND
from pipeline.simulate.sessions import SESSION, Shift, blank
from pipeline.simulate.streams import stream

if TYPE_CHECKING:
    from pipeline.simulate.estate import Estate
    from pipeline.simulate.scenario import Scenario
    from pipeline.simulate.sessions import Table

Ints = npt.NDArray[np.int64]
Rng = np.random.Generator


def weekday(day_ns: int) -> int:
    """0 is Monday. 1970-01-01 was a Thursday."""
    return (day_ns // DAY + 3) % 7


def appointments(estate: Estate, scenario: Scenario, shifts: list[Shift]) -> Table:
    """Sessions of jobs, builds and people over the whole run, unslotted, by start."""
    rng = stream(scenario.seed, "calendar")
    parts = [_jobs(rng, estate, scenario), _daily(rng, estate, scenario)]
    for day in range(scenario.days):
        at = scenario.start_ns + day * DAY
        parts += [_builds(rng, estate, scenario, at), _people(rng, estate, at)]
    table = np.concatenate([p for p in parts if len(p)] or [np.zeros(0, SESSION)])
    people = estate.principals[table["principal"]]
    table["ttl"], table["agent"] = people["ttl"], people["agent"]
    table["ip"] = _addresses(rng, estate, table, scenario.size.nodes)
    for shift in (s for s in shifts if s.changes):
        later = (
            np.isin(table["principal"], shift.principals)
            & (table["start"] >= shift.at)
            & (table["start"] < shift.until)
        )
        if shift.zone >= 0:
            table["ip"][later] = shift.zone + (table["ip"][later] & 255)
        if shift.agent >= 0:
            table["agent"][later] = shift.agent
    alive = (table["start"] >= people["born"]) & (table["start"] < people["gone"])
    table = table[alive]
    ordered: Table = table[np.argsort(table["start"], kind="stable")]
    return ordered


def children(estate: Estate, scenario: Scenario, parents: Table) -> tuple[Table, list[tuple[str, ...]]]:
    """Tokens that builds make, with their policies: short child tokens, and wrapping tokens to hand a secret over."""
    rng = stream(scenario.seed, "children")
    builds = np.flatnonzero((estate.principals["role"][parents["principal"]] == Role.CI) & (parents["slot"] < 0))
    luck = rng.random(len(builds))
    chosen, wraps = builds[luck < 0.2], (luck < 0.08)[luck < 0.2]
    token, wrapping = estate.of_role(Role.TOKEN).tolist()
    start = parents["start"][chosen] + (rng.uniform(2, 30, len(chosen)) * SECOND).astype(np.int64)
    table = blank(len(chosen), np.where(wraps, wrapping, token), start, np.where(wraps, 120 * SECOND, HOUR))
    table["ttl"], table["parent"] = np.where(wraps, 120, 3600), chosen
    services = estate.of_role(Role.MACHINE)
    if not len(services):
        services = estate.of_role(Role.CI)  # a tiny estate without machines: builds hand secrets to each other
    machine = services[rng.integers(0, max(1, len(services)), len(chosen))]
    there = network.hosts(rng, estate.principals["zone"][machine])
    table["ip"] = np.where(wraps, there, parents["ip"][chosen])
    table["agent"] = np.where(wraps, estate.principals["agent"][machine], parents["agent"][chosen])
    owners = parents["principal"][chosen].tolist()
    own = [("response-wrapping",) if w else estate.policies[p] for w, p in zip(wraps.tolist(), owners, strict=True)]
    return table, own


def _addresses(rng: Rng, estate: Estate, table: Table, nodes: int) -> Ints:
    """Jobs and people keep their machine's address, runners and pods get another each time; some days people roam."""
    count = len(table)
    people = estate.principals[table["principal"]]
    zone = people["zone"].copy()
    human = np.isin(people["role"], (Role.HUMAN, Role.ADMIN))
    roam = human & (rng.random(count) < 0.03)
    zone = np.where(roam, network.outside_zones(rng, count), zone)
    pods = network.pod_zones(rng, people["cluster"].astype(np.int64), nodes)
    zone = np.where(zone == 0, pods, zone)
    fixed = zone + 2 + (table["principal"].astype(np.int64) * 7919) % 248
    fresh = network.hosts(rng, zone)
    return np.where(np.isin(people["role"], (Role.CRON, Role.ROTATOR, Role.SCANNER, Role.BACKUP)), fixed, fresh)


def _jobs(rng: Rng, estate: Estate, scenario: Scenario) -> Table:
    """Timed jobs: the same minute every period, a few seconds late, short."""
    who = estate.of_role(Role.CRON)
    people = estate.principals[who]
    period = people["period"].astype(np.int64) * HOUR
    first = scenario.start_ns + (people["phase"] * period).astype(np.int64) // MINUTE * MINUTE
    runs = np.maximum((scenario.end_ns - first + period - 1) // period, 0)
    owner = np.repeat(np.arange(len(who)), runs)
    nth = np.arange(len(owner)) - np.repeat(np.cumsum(runs) - runs, runs)
    start = first[owner] + nth * period[owner] + (rng.exponential(2.0, len(owner)) * SECOND).astype(np.int64)
    table = blank(len(owner), who[owner], start, (rng.uniform(5, 240, len(owner)) * SECOND).astype(np.int64))
    table["revoked"], table["reads"] = True, 60
    return table


def _daily(rng: Rng, estate: Estate, scenario: Scenario) -> Table:
    """One token a day for the machinery: rotator 03:00, backup 02:00, scanner and sync at midnight."""
    parts = []
    hours = {Role.ROTATOR: 3.0, Role.BACKUP: 2.0, Role.SCANNER: 0.0, Role.SYNC: 0.0}
    for role, hour in hours.items():
        for principal in estate.of_role(role).tolist():
            days = scenario.start_ns + np.arange(scenario.days) * DAY
            start = days + int(hour * HOUR) + (rng.uniform(1, 50, scenario.days) * SECOND).astype(np.int64)
            length = DAY if role in (Role.SCANNER, Role.SYNC) else HOUR
            parts.append(blank(scenario.days, principal, start, length))
    return np.concatenate(parts) if parts else np.zeros(0, SESSION)


def _builds(rng: Rng, estate: Estate, scenario: Scenario, day: int) -> Table:
    """Builds: negative binomial by the hour, 08–20 h on working days, few else."""
    who = estate.of_role(Role.CI)
    hours = np.arange(24)
    busy = np.where((hours >= 8) & (hours < 20), 1.0, 0.05) * (0.15 if weekday(day) > 4 else 1.0)
    mean = (1.1 if scenario.preset == "xs" else 4.0) * min(scenario.rate, 1.0) * busy
    counts = rng.poisson(rng.gamma(0.8, 1 / 0.8, (len(who), 24)) * mean)
    owner, hour = np.nonzero(counts)
    times = counts[owner, hour]
    owner, hour = np.repeat(owner, times), np.repeat(hour, times)
    start = day + (hour + rng.random(len(owner))) * HOUR
    table = blank(
        len(owner), who[owner], start.astype(np.int64), (rng.uniform(40, 900, len(owner)) * SECOND).astype(np.int64)
    )
    table["revoked"], table["reads"] = rng.random(len(owner)) < 0.7, 2 + rng.poisson(4, len(owner))
    return table


def _people(rng: Rng, estate: Estate, day: int) -> Table:
    """One log-in on most working days, a second one at times, rarely at the weekend; each has a usual hour."""
    who = estate.of_role(Role.HUMAN, Role.ADMIN)
    present = rng.random(len(who)) < (0.72 if weekday(day) < 5 else 0.04)
    usual = 8.0 + estate.principals["phase"][who] * 2.5
    start = day + (usual + rng.normal(0, 0.5, len(who))) * HOUR
    again = rng.random(len(who)) < 0.25
    second = start + rng.uniform(3, 8, len(who)) * HOUR
    chosen = np.concatenate([who[present], who[present & again]])
    when = np.concatenate([start[present], second[present & again]]).astype(np.int64)
    table = blank(len(chosen), chosen, when, 8 * HOUR)
    table["reads"] = rng.poisson(5.0, len(chosen))
    return table
