"""Building an estate from a preset and a seed."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate import names, network
from pipeline.simulate.estate import ENVIRONMENTS, PRINCIPAL, Estate, Mount, Role, environment
from pipeline.simulate.holdings import stock
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
    stock(rng, size, estate)
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
    result += [_machine(Role.CRON, job, i % len(teams), environment(rng), teams) for i, job in enumerate(jobs)]
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


def _service(rng: Rng, name: str, team: int, teams: list[str]) -> _Who:
    env = environment(rng)
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
        result.append(
            _Who(Role.ADMIN if admin else Role.HUMAN, mount, local, team, environment(rng), tuple(sorted(policies)))
        )
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
    """The usual /24: machines by team and environment, people in one VPN zone, runners in theirs; pods none."""
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
