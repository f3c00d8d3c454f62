"""Building an estate from a preset and a seed."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate import names, network
from pipeline.simulate.actions import Action
from pipeline.simulate.estate import ENVIRONMENTS, PRINCIPAL, Estate, Mount, Role
from pipeline.simulate.scenario import DAY
from pipeline.simulate.streams import stream

if TYPE_CHECKING:
    from pipeline.simulate.scenario import Preset, Scenario

Rng = np.random.Generator

_MOUNTS = (
    ("sys/", "system", "secret"), ("auth/token/", "token", "auth"), ("kv/", "kv", "secret"),
    ("shared/", "kv", "secret"), ("database/", "database", "secret"), ("transit/", "transit", "secret"),
    ("pki/", "pki", "secret"), ("auth/approle/", "approle", "auth"), ("auth/userpass/", "userpass", "auth"),
    ("auth/oidc/", "jwt", "auth"), ("auth/kubernetes-prod/", "kubernetes", "auth"),
    ("auth/kubernetes-dev/", "kubernetes", "auth"),
)  # fmt: skip
_FOREVER = 2**62


@dataclass(frozen=True)
class _Who:
    """One principal on its way into the table."""

    role: Role
    mount: str
    local: str
    team: int
    env: int
    policies: tuple[str, ...]


def found(scenario: Scenario) -> Estate:
    """The estate of a scenario: the same for the same seed and preset, whatever is staged in it."""
    size = scenario.size
    rng = stream(scenario.seed, "estate")
    teams = names.unique([names.TEAMS[i % len(names.TEAMS)] for i in range(size.teams)])
    mounts = [Mount(p, t, k, f"{'auth_' * (k == 'auth')}{t}_{rng.bytes(4).hex()}") for p, t, k in _MOUNTS]
    people = _people(rng, size, teams)
    estate = Estate(
        seed=scenario.seed,
        mounts=mounts,
        principals=np.zeros(len(people), PRINCIPAL),
        names=[_name(w) for w in people],
        local=[w.local for w in people],
        entities=[str(uuid.UUID(bytes=rng.bytes(16))) for _ in people],
        policies=[w.policies for w in people],
        teams=teams,
    )
    _habits(rng, scenario, estate, people)
    _secrets(rng, size, estate)
    return estate


def _name(who: _Who) -> str:
    mount = who.mount.removeprefix("auth/")
    if who.mount == "auth/token/":
        return who.local
    return mount + who.local


def _people(rng: Rng, size: Preset, teams: list[str]) -> list[_Who]:
    services = [
        f"{teams[i % len(teams)]}-{names.PARTS[int(rng.integers(len(names.PARTS)))]}" for i in range(size.services)
    ]
    result = [_service(rng, name, index % len(teams), teams) for index, name in enumerate(names.unique(services))]
    jobs = names.unique(
        [f"{teams[i % len(teams)]}-{('report', 'cleanup', 'billing-run', 'backfill')[i % 4]}" for i in range(size.cron)]
    )
    result += [_machine(Role.CRON, job, i % len(teams), _env(rng), teams) for i, job in enumerate(jobs)]
    builds = names.unique([f"ci-{teams[i % len(teams)]}" for i in range(size.ci)])
    result += [_machine(Role.CI, name, i % len(teams), 0, teams) for i, name in enumerate(builds)]
    result += _humans(rng, size, teams)
    specials = max(1, size.services // 600)
    for role, label in ((Role.ROTATOR, "rotator"), (Role.SCANNER, "posture-scan"), (Role.BACKUP, "snapshot-agent")):
        result += [_Who(role, "auth/approle/", n, -1, 0, ("default", label)) for n in names.unique([label] * specials)]
    result += [
        _Who(
            Role.SYNC,
            f"auth/kubernetes-{('prod', 'dev')[i % 2]}/",
            f"external-secrets/{n}",
            -1,
            i % 2,
            ("default", "sync"),
        )
        for i, n in enumerate(names.unique(["external-secrets"] * max(1, specials)))
    ]
    result += [_Who(Role.BREAK_GLASS, "auth/approle/", "break-glass", -1, 0, ("break-glass", "default"))]
    result += [_Who(Role.ROOT, "auth/token/", "root", -1, 0, ("root",))]
    result += [_Who(Role.TOKEN, "auth/token/", kind, -1, 0, ("default",)) for kind in ("token", "wrapping")]
    return [*result, _Who(Role.NOBODY, "auth/token/", "anonymous", -1, 0, ())]


def _env(rng: Rng) -> int:
    return int(rng.choice(3, p=(0.6, 0.25, 0.15)))


def _service(rng: Rng, name: str, team: int, teams: list[str]) -> _Who:
    env = _env(rng)
    if rng.random() < 0.65:
        cluster = "auth/kubernetes-prod/" if env == 0 else "auth/kubernetes-dev/"
        local = f"{teams[team]}{'' if env == 0 else '-' + ENVIRONMENTS[env]}/{name}"
        return _Who(Role.POD, cluster, local, team, env, tuple(sorted(("default", name))))
    return _machine(Role.MACHINE, name, team, env, teams)


def _machine(role: Role, name: str, team: int, env: int, teams: list[str]) -> _Who:  # noqa: ARG001
    return _Who(role, "auth/approle/", name, team, env, tuple(sorted(("default", name))))


def _humans(rng: Rng, size: Preset, teams: list[str]) -> list[_Who]:
    count = size.humans
    picks = [
        (names.PEOPLE[int(rng.integers(len(names.PEOPLE)))], names.SURNAMES[int(rng.integers(len(names.SURNAMES)))])
        for _ in range(count)
    ]
    short = names.unique([first if size.teams < 10 else f"{first}.{last}" for first, last in picks])
    result = []
    for index, name in enumerate(short):
        team = index % len(teams)
        admin = index % 25 == 3
        mount = "auth/oidc/" if rng.random() < 0.6 else "auth/userpass/"
        local = f"{name}@example.com" if mount == "auth/oidc/" else name
        policies = {"default", f"team-{teams[team]}", *(["operator"] if admin else [])}
        result.append(_Who(Role.ADMIN if admin else Role.HUMAN, mount, local, team, _env(rng), tuple(sorted(policies))))
    return result


def _habits(rng: Rng, scenario: Scenario, estate: Estate, people: list[_Who]) -> None:
    table, count, size = estate.principals, len(people), scenario.size
    table["role"] = [w.role for w in people]
    table["team"] = [w.team for w in people]
    table["env"] = [w.env for w in people]
    table["mount"] = [estate.mount(w.mount) for w in people]
    table["cluster"] = np.where(table["env"] == 0, 0, 1)
    service = np.isin(table["role"], (Role.POD, Role.MACHINE))
    rate = np.clip(rng.lognormal(np.log(size.median), size.sigma, count), 0.03, size.top)
    table["rate"] = np.where(service, rate * scenario.rate, 0.0)
    table["slots"] = np.where(service, 1 + rng.poisson(size.slots - 1, count), 0)
    seasonal = rng.random(count) < 0.6
    table["amplitude"] = np.where(seasonal, rng.uniform(0.3, 0.8, count), 0.0)
    table["peak"] = rng.normal(13.5, 2.5, count)
    table["weekend"] = np.where(rng.random(count) < 0.6, rng.uniform(0.3, 0.8, count), 1.0)
    table["agent"] = [_agent(rng, w.role) for w in people]
    table["zone"] = _zones(rng, estate)
    ttl = size.ttl * np.array((1200, 3600, 3600, 14400))[rng.integers(0, 4, count)]
    human = np.isin(table["role"], (Role.HUMAN, Role.ADMIN))
    table["ttl"] = np.where(human, 28800, ttl)
    table["max_ttl"] = table["ttl"] * rng.integers(24, 240, count) // size.ttl
    table["born"] = scenario.start_ns - 2**52
    leaver = np.isin(table["role"], (Role.HUMAN, Role.MACHINE)) & (rng.random(count) < 0.04)
    days = np.where(leaver, rng.uniform(0.5, 3.0, count), 0.0)
    table["gone"] = np.where(leaver, scenario.start_ns + (days * DAY).astype(np.int64), _FOREVER)
    periods = [p for p in (1, 1, 6, 12, 24, 24, 24, 168, 720) if p >= size.job_hours]
    table["period"] = rng.choice(periods, count)
    table["phase"] = rng.random(count)
    for index, who in enumerate(people):
        word = who.local if who.mount == "auth/userpass/" else ""
        table["login"][index] = estate.intern(int(table["mount"][index]), word)


def _agent(rng: Rng, role: Role) -> int:
    groups = {Role.POD: "pod", Role.MACHINE: "machine", Role.CRON: "machine", Role.CI: "ci"}
    human = role in (Role.HUMAN, Role.ADMIN, Role.BREAK_GLASS, Role.ROOT)
    return names.agent(rng, "human" if human else groups.get(role, "tool"))


def _zones(rng: Rng, estate: Estate) -> np.ndarray:
    """The usual /24: machines by team and environment, people on one VPN zone, jobs and runners in theirs; pods none."""
    table = estate.principals
    count = len(table)
    team = np.maximum(table["team"], 0).astype(np.int64)
    machines = network.MACHINES + ((team * 4 + table["env"]) << 8)
    vpn = network.VPN + (rng.integers(0, 4, count) << 8)
    runners = network.RUNNERS + (rng.integers(0, 3, count) << 8)
    outside = network.outside_zones(rng, count)
    remote = rng.random(count) < 0.12
    role = table["role"]
    zone = np.where(
        np.isin(role, (Role.HUMAN, Role.ADMIN, Role.BREAK_GLASS, Role.ROOT)), np.where(remote, outside, vpn), machines
    )
    zone = np.where(role == Role.CI, np.where(remote, outside, runners), zone)
    return np.where(np.isin(role, (Role.POD, Role.SYNC)), 0, zone)


def _secrets(rng: Rng, size: Preset, estate: Estate) -> None:
    table = estate.principals
    owners = np.flatnonzero(np.isin(table["role"], (Role.POD, Role.MACHINE, Role.CRON, Role.CI)))
    shared = _shared(rng, size, estate)
    share = max(1, int(0.85 * (size.secrets - len(shared)) / len(owners)))
    own: dict[int, list[int]] = {}
    for principal in owners.tolist():
        own[principal] = _own(rng, estate, principal, 1 + int(rng.poisson(share - 1)))
    _leftovers(rng, size, estate)
    kv = [i for i, m in enumerate(estate.object_mount) if estate.mounts[m].type == "kv"]
    estate.secrets = np.array(kv, dtype=np.int64)
    _missing(rng, estate)
    _canaries(rng, estate)
    _edges(rng, estate, own, shared)
    _listings(estate)


def _shared(rng: Rng, size: Preset, estate: Estate) -> list[int]:
    count = max(5, size.secrets // 60)
    labels = names.unique([names.SHARED[i % len(names.SHARED)] for i in range(count)])
    return [estate.intern("shared/", f"{ENVIRONMENTS[_env(rng)]}/{x}", -1, 0, _fields(rng)) for x in labels]


def _fields(rng: Rng) -> tuple[str, ...]:
    return names.FIELDS[int(rng.integers(len(names.FIELDS)))]


def _own(rng: Rng, estate: Estate, principal: int, count: int) -> list[int]:
    row = estate.principals[principal]
    team, env = int(row["team"]), int(row["env"])
    label = estate.local[principal].rsplit("/", 1)[-1]
    items = rng.permutation(len(names.ITEMS))
    result = []
    for k in range(count):
        item = names.ITEMS[int(items[k % len(items)])] + (f"-{k // len(items) + 1}" if k >= len(items) else "")
        result.append(
            estate.intern("kv/", f"{ENVIRONMENTS[env]}/{estate.teams[team]}/{label}/{item}", team, env, _fields(rng))
        )
    return result


def _leftovers(rng: Rng, size: Preset, estate: Estate) -> None:
    """Secrets nobody reads any more, beside the used ones."""
    for index in range(max(0, size.secrets - len(estate.object_name))):
        team, env = int(rng.integers(len(estate.teams))), _env(rng)
        item = names.ITEMS[int(rng.integers(len(names.ITEMS)))]
        part = names.PARTS[int(rng.integers(len(names.PARTS)))]
        estate.intern("kv/", f"{ENVIRONMENTS[env]}/{estate.teams[team]}/{part}-{index}/{item}", team, env, _fields(rng))


def _missing(rng: Rng, estate: Estate) -> None:
    picks = rng.choice(estate.secrets, min(len(estate.secrets), 2 * len(estate.teams)), replace=False)
    found = []
    for index in picks.tolist():
        stem = estate.object_name[index].rsplit("/", 1)[0]
        item = names.ITEMS[int(rng.integers(len(names.ITEMS)))]
        found.append(
            estate.intern(
                estate.object_mount[index], f"{stem}/{item}-old", estate.object_team[index], estate.object_env[index]
            )
        )
    estate.missing = np.array(found, dtype=np.int64)


def _canaries(rng: Rng, estate: Estate) -> None:
    """Bait: secrets with names like any other, that nothing has a reason to read. No ordinary draw reaches them."""
    picks = rng.choice(estate.secrets, max(2, len(estate.teams) // 10), replace=False)
    found = []
    for index in picks.tolist():
        stem, item = estate.object_name[index].rsplit("/", 1)
        name = f"{stem}/{item}-admin"
        team, env = estate.object_team[index], estate.object_env[index]
        found.append(estate.intern(estate.object_mount[index], name, team, env, ("password", "username")))
    estate.canaries = np.array(found, dtype=np.int64)


def _edges(rng: Rng, estate: Estate, own: dict[int, list[int]], shared: list[int]) -> None:
    starts, objects, actions, keys = [0], [], [], []
    by_team: dict[int, list[int]] = {}
    for index in estate.secrets.tolist():
        by_team.setdefault(estate.object_team[index], []).append(index)
    zipf = 1.0 / np.arange(1, len(shared) + 1) ** 1.1
    zipf /= zipf.sum()
    for principal in range(len(estate.principals)):
        pairs = _uses(rng, estate, principal, own.get(principal, []), by_team, (shared, zipf))
        if pairs:
            weights = rng.dirichlet(np.full(len(pairs), 0.7)) * np.array([w for _, _, w in pairs])
            keys.append(principal + np.cumsum(weights) / weights.sum())
        objects += [o for o, _, _ in pairs]
        actions += [a for _, a, _ in pairs]
        starts.append(len(objects))
    estate.edge_from = np.array(starts, dtype=np.int64)
    estate.edge_object = np.array(objects, dtype=np.int64)
    estate.edge_action = np.array(actions, dtype=np.int64)
    estate.edge_key = np.concatenate(keys)


def _uses(
    rng: Rng,
    estate: Estate,
    principal: int,
    own: list[int],
    by_team: dict[int, list[int]],
    common: tuple[list[int], np.ndarray],
) -> list[tuple[int, Action, float]]:
    """Object, action and weight of everything this principal is used to."""
    row = estate.principals[principal]
    role, team = Role(int(row["role"])), int(row["team"])
    if role in (Role.HUMAN, Role.ADMIN):
        mine = by_team.get(team, [])
        picks = rng.choice(len(mine), min(len(mine), 3 + int(rng.poisson(5))), replace=False).tolist() if mine else []
        return [(mine[i], Action.READ, 1.0) for i in picks]
    if not own:
        return []
    shared, zipf = common
    reach = rng.choice(len(shared), min(len(shared), int(rng.poisson(1.5))), replace=False, p=zipf)
    pairs = [(o, Action.READ, 1.0) for o in own] + [(shared[int(i)], Action.READ, 0.7) for i in reach]
    return pairs + _engines(rng, estate, principal)


def _engines(rng: Rng, estate: Estate, principal: int) -> list[tuple[int, Action, float]]:
    row = estate.principals[principal]
    if row["role"] not in (Role.POD, Role.MACHINE):
        return []
    label = estate.local[principal].rsplit("/", 1)[-1]
    team, env = int(row["team"]), int(row["env"])
    pairs = []
    if rng.random() < 0.25:
        pairs.append((estate.intern("database/", label, team, env), Action.CREDS, 0.3))
    if rng.random() < 0.15:
        key = estate.intern("transit/", estate.teams[team], team, env)
        pairs += [(key, Action.ENCRYPT, 2.0), (key, Action.DECRYPT, 3.0)]
    if rng.random() < 0.15:
        pairs.append((estate.intern("pki/", f"{estate.teams[team]}-tls", team, env), Action.ISSUE, 0.1))
    return pairs


def _listings(estate: Estate) -> None:
    """Folders, so that lists have something to list: each path prefix of a secret, with what is directly in it."""
    folders: dict[tuple[int, str], set[str]] = {}
    for index in [*estate.secrets.tolist(), *estate.canaries.tolist()]:
        parts = estate.object_name[index].split("/")
        for depth in range(1, len(parts)):
            child = parts[depth] + ("/" if depth + 1 < len(parts) else "")
            folders.setdefault((estate.object_mount[index], "/".join(parts[:depth]) + "/"), set()).add(child)
    teams = {name: i for i, name in enumerate(estate.teams)}
    for (mount, name), children in sorted(folders.items()):
        parts = name.split("/")
        index = estate.intern(
            mount, name, teams.get(parts[1], -1) if len(parts) > 2 else -1, ENVIRONMENTS.index(parts[0])
        )
        estate.children[index] = sorted(children)
