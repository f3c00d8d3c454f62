"""What has its time: log-ins, first reads, renewals, revocations, jobs, people's work, the night's rotation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.simulate.actions import Action, Outcome
from pipeline.simulate.estate import Role
from pipeline.simulate.rows import Rows, by_time, rows
from pipeline.simulate.scenario import DAY, HOUR, SECOND

if TYPE_CHECKING:
    from pipeline.simulate.estate import Estate
    from pipeline.simulate.traffic import World

Ints = npt.NDArray[np.int64]
Rng = np.random.Generator


def scheduled(world: World, day: int, rng: Rng) -> Rows:
    """Rows of one day by time (some may lie a little past its end), unfinished."""
    table = world.sessions.ordinary
    tokens = np.flatnonzero((table["start"] >= day) & (table["start"] < day + DAY))
    tokens = tokens[np.argsort(table["start"][tokens], kind="stable")]
    made = tokens[table["parent"][tokens] >= 0]
    tokens = tokens[table["parent"][tokens] < 0]
    parts = [
        _handed_on(world, made, rng),
        logins(world, tokens, rng),
        first_reads(world, tokens, rng),
        _endings(world, day, rng),
        _renewals(world, day),
        _writes(world, day),
        _work(world, tokens, rng),
        _operators(world, tokens, rng),
        _scans(world, tokens, rng),
        _syncs(world, tokens, rng),
        _backups(world, tokens),
    ]
    return by_time(parts)


def asked(world: World, token: Ints, when: Ints, action: object, what: object) -> Rows:
    """Rows asked with these tokens, from where and with what client each is used."""
    held = world.sessions.table[token]
    return rows(
        len(token), t=when, action=action, principal=held["principal"], session=token, object=what, ip=held["ip"],
        agent=held["agent"],
    )  # fmt: skip


def logins(world: World, token: Ints, rng: Rng) -> Rows:
    """The request that gave each token; people mistype now and then first."""
    held = world.sessions.table[token]
    people = world.estate.principals[held["principal"]]
    user = np.isin(people["role"], (Role.HUMAN, Role.ADMIN))
    named = np.array([m.type == "userpass" for m in world.estate.mounts])[people["mount"]]
    made = rows(
        len(token), t=held["start"], action=np.where(named, Action.LOGIN_USER, Action.LOGIN),
        principal=held["principal"], issued=token, object=people["login"], ip=held["ip"], agent=held["agent"],
    )  # fmt: skip
    typo = made[user & named & (rng.random(len(token)) < 0.05)]
    typo["t"] -= (rng.uniform(4, 25, len(typo)) * SECOND).astype(np.int64)
    typo["outcome"], typo["issued"] = Outcome.DENIED, -1
    return np.concatenate([made, typo])


def first_reads(world: World, token: Ints, rng: Rng) -> Rows:
    """What pods, machines, jobs and builds fetch right after the log-in: up to `reads` of their edges, one by one."""
    estate, held = world.estate, world.sessions.table[token]
    role = estate.principals["role"][held["principal"]]
    eager = np.isin(role, (Role.POD, Role.MACHINE, Role.CRON, Role.CI))
    token, held = token[eager], held[eager]
    who = held["principal"].astype(np.int64)
    count = np.minimum(held["reads"], estate.edge_from[who + 1] - estate.edge_from[who])
    owner = np.repeat(np.arange(len(token)), count)
    nth = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    edge = estate.edge_from[who[owner]] + nth
    pause = rng.lognormal(np.log(0.08), 0.7, len(owner)) * SECOND
    walked = np.cumsum(pause)
    start = np.repeat(np.concatenate([[0], walked])[np.cumsum(count) - count], count) if len(owner) else walked
    when = held["start"][owner] + (0.05 * SECOND + walked - start).astype(np.int64)
    return asked(world, token[owner], when, estate.edge_action[edge], estate.edge_object[edge])


def _self(estate: Estate) -> int:
    return estate.intern("auth/token/", "")


def _endings(world: World, day: int, rng: Rng) -> Rows:
    table = world.sessions.ordinary
    token = np.flatnonzero(table["revoked"] & (table["end"] >= day) & (table["end"] < day + DAY))
    when = table["end"][token] + (rng.random(len(token)) * SECOND).astype(np.int64)
    return asked(world, token, when, Action.REVOKE, _self(world.estate))


def _renewals(world: World, day: int) -> Rows:
    """Agents renew when two thirds of the time to live are gone, a little earlier or later, each token its own way."""
    table = world.sessions.ordinary
    live = (table["slot"] >= 0) & (table["start"] < day + DAY) & (table["end"] > day)
    token = np.flatnonzero(live)
    held = table[token]
    step = (held["ttl"] * SECOND * (0.64 + 0.05 * ((token * 7919) % 101) / 100)).astype(np.int64)
    low = np.maximum((day - held["start"] + step - 1) // step, 1)
    high = (np.minimum(day + DAY, held["end"]) - held["start"] + step - 1) // step
    count = np.maximum(high - low, 0)
    owner = np.repeat(np.arange(len(token)), count)
    nth = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    when = held["start"][owner] + (low[owner] + nth) * step[owner]
    return asked(world, token[owner], when, Action.RENEW, _self(world.estate))


def _writes(world: World, day: int) -> Rows:
    writes = world.versions.writes
    mine = writes[(writes["t"] >= day) & (writes["t"] < day + DAY)]
    return asked(world, mine["session"], mine["t"], Action.WRITE, mine["object"])


def _work(world: World, tokens: Ints, rng: Rng) -> Rows:
    """A person's day at the store: looks at the own token, lists, reads own team's secrets, sometimes is refused."""
    estate, held = world.estate, world.sessions.table[tokens]
    human = np.isin(estate.principals["role"][held["principal"]], (Role.HUMAN, Role.ADMIN)) & (held["slot"] < 0)
    tokens, held = tokens[human], held[human]
    pause = (rng.lognormal(np.log(0.3), 0.5, len(tokens)) * SECOND).astype(np.int64)
    looks = asked(world, tokens, held["start"] + pause, Action.LOOKUP, _self(estate))
    owner = np.repeat(np.arange(len(tokens)), held["reads"])
    burst = rng.integers(0, 3, len(owner))
    begin = rng.random((len(tokens), 3)) * 5 * HOUR
    when = (
        held["start"][owner]
        + 5 * SECOND
        + (begin[owner, burst] + rng.exponential(40.0, len(owner)) * SECOND).astype(np.int64)
    )
    edge = estate.draw_edges(rng, held["principal"][owner].astype(np.int64))
    known = edge >= 0
    made = asked(world, tokens[owner[known]], when[known], Action.READ, estate.edge_object[edge[known]])
    luck = rng.random(len(made))
    refused = luck < 0.04
    made["outcome"][refused] = Outcome.DENIED
    made["object"][refused] = rng.choice(estate.secrets, int(refused.sum()))
    lists = made[luck > 0.8].copy()
    lists["t"] -= (rng.uniform(1, 4, len(lists)) * SECOND).astype(np.int64)
    lists["action"] = Action.LIST
    lists["object"] = [folder(estate, int(o)) for o in lists["object"].tolist()]
    return np.concatenate([looks, made, lists])


def folder(estate: Estate, secret: int) -> int:
    """The listing that shows a secret."""
    stem = estate.object_name[secret].rsplit("/", 1)[0] + "/"
    return estate.intern(estate.object_mount[secret], stem)


def _operators(world: World, tokens: Ints, rng: Rng) -> Rows:
    """Administration: policies are read and about once a week and head changed, roles written, mounts listed."""
    estate, held = world.estate, world.sessions.table[tokens]
    admin = tokens[(estate.principals["role"][held["principal"]] == Role.ADMIN) & (held["slot"] < 0)]
    parts = []
    services = estate.of_role(Role.POD, Role.MACHINE)
    for action, mean in (
        (Action.POLICY_READ, 0.8),
        (Action.POLICY_WRITE, 0.15),
        (Action.ROLE_WRITE, 0.15),
        (Action.MOUNTS, 0.3),
    ):
        owner = np.repeat(admin, rng.poisson(mean, len(admin)))
        when = world.sessions.table["start"][owner] + (rng.random(len(owner)) * 6 * HOUR).astype(np.int64) + 20 * SECOND
        labels = [estate.local[int(p)].rsplit("/", 1)[-1] for p in rng.choice(services, len(owner))]
        mount, name = (
            ("auth/approle/", "{}")
            if action == Action.ROLE_WRITE
            else ("sys/", "" if action == Action.MOUNTS else "{}")
        )
        what = [estate.intern(mount, name.format(label)) for label in labels]
        parts.append(asked(world, owner, when, action, np.array(what, dtype=np.int64)))
    return np.concatenate(parts)


def _scans(world: World, tokens: Ints, rng: Rng) -> Rows:
    """The posture scanner tries paths it should not get: steady refusals all over the estate."""
    estate, held = world.estate, world.sessions.table[tokens]
    mine = tokens[estate.principals["role"][held["principal"]] == Role.SCANNER]
    rate = (1.0 if world.scenario.preset == "xs" else 22.0) * world.scenario.rate
    owner = np.repeat(mine, rng.poisson(24 * rate, len(mine)))
    when = held_start(world, owner) + SECOND * 30 + (rng.random(len(owner)) * (DAY - 60 * SECOND)).astype(np.int64)
    made = asked(world, owner, when, Action.READ, rng.choice(estate.secrets, len(owner)))
    made["outcome"] = Outcome.DENIED
    return made


def held_start(world: World, token: Ints) -> Ints:
    """When these tokens were issued."""
    return np.asarray(world.sessions.table["start"][token], dtype=np.int64)


def _syncs(world: World, tokens: Ints, rng: Rng) -> Rows:
    """The sync operator reads the same tenth of all secrets of its cluster once an hour, one after the other."""
    estate, held = world.estate, world.sessions.table[tokens]
    every = 12 if world.scenario.preset == "xs" else 1
    parts = []
    env = np.array([estate.object_env[i] for i in estate.secrets.tolist()])
    for token in tokens[estate.principals["role"][held["principal"]] == Role.SYNC].tolist():
        principal = int(world.sessions.table["principal"][token])
        cluster = int(estate.principals["cluster"][principal])
        mine = estate.secrets[((env == 0) == (cluster == 0)) & ((estate.secrets * 7919 + principal) % 10 == 0)]
        for round_ in range(0, 24, every):
            pace = np.cumsum(rng.lognormal(np.log(0.06), 0.5, len(mine)) * SECOND).astype(np.int64)
            when = world.sessions.table["start"][token] + round_ * HOUR + 20 * SECOND + pace
            parts.append(asked(world, np.full(len(mine), token), when, Action.READ, mine))
    return np.concatenate(parts) if parts else rows(0)


def _handed_on(world: World, tokens: Ints, rng: Rng) -> Rows:
    """Child tokens read once; wrapping tokens are made by a read and opened by the machine that waits for them."""
    estate, table = world.estate, world.sessions.table
    parents = table["parent"][tokens]
    edge = estate.draw_edges(rng, table["principal"][parents].astype(np.int64))
    tokens, parents, edge = tokens[edge >= 0], parents[edge >= 0], edge[edge >= 0]
    wraps = table["ttl"][tokens] == 120
    start, what = table["start"][tokens], estate.edge_object[edge]
    made = asked(world, parents, start, np.where(wraps, Action.WRAP_READ, Action.TOKEN_CREATE), what)
    made["object"] = np.where(wraps, what, _self(estate))
    made["issued"] = tokens
    later = start + (rng.uniform(1, 60, len(tokens)) * SECOND).astype(np.int64)
    used = asked(world, tokens, later, np.where(wraps, Action.UNWRAP, Action.READ), what)
    used["object"] = np.where(wraps, estate.intern("sys/", ""), what)
    return np.concatenate([made, used])


def _backups(world: World, tokens: Ints) -> Rows:
    """A snapshot of the whole store every night."""
    estate, held = world.estate, world.sessions.table[tokens]
    mine = tokens[estate.principals["role"][held["principal"]] == Role.BACKUP]
    return asked(world, mine, held_start(world, mine) + SECOND, Action.SNAPSHOT, estate.intern("sys/", ""))
