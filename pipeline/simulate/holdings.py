"""What an estate holds: secrets, folders, bait, keys and roles, and who is used to which of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.simulate import names
from pipeline.simulate.actions import Action
from pipeline.simulate.estate import ENVIRONMENTS, Estate, Role, environment

if TYPE_CHECKING:
    from pipeline.simulate.scenario import Preset

Rng = np.random.Generator


class _Habits(NamedTuple):
    """What the edges are drawn from: each owner's secrets, each team's, and the shared ones with their popularity."""

    own: dict[int, list[int]]
    team: dict[int, list[int]]
    shared: list[int]
    zipf: npt.NDArray[np.float64]


class _Use(NamedTuple):
    """One edge on its way: an object, what is done with it, how much."""

    object: int
    action: Action
    weight: float


def stock(rng: Rng, size: Preset, estate: Estate) -> None:
    """Fill the estate's objects and edges."""
    owners = estate.of_role(Role.POD, Role.MACHINE, Role.CRON, Role.CI)
    shared = _shared(rng, size, estate)
    share = max(1, int(0.85 * (size.secrets - len(shared)) / len(owners)))
    own = {p: _own(rng, estate, p, 1 + int(rng.poisson(share - 1))) for p in owners.tolist()}
    _leftovers(rng, size, estate)
    kv = [i for i, m in enumerate(estate.object_mount) if estate.mounts[m].type == "kv"]
    estate.secrets = np.array(kv, dtype=np.int64)
    _missing(rng, estate)
    _canaries(rng, estate)
    by_team: dict[int, list[int]] = {}
    for index in kv:
        by_team.setdefault(estate.object_team[index], []).append(index)
    zipf = 1.0 / np.arange(1, len(shared) + 1) ** 1.1
    _edges(rng, estate, _Habits(own, by_team, shared, zipf / zipf.sum()))
    _listings(estate)


def _shared(rng: Rng, size: Preset, estate: Estate) -> list[int]:
    count = max(5, size.secrets // 60)
    labels = names.unique([names.SHARED[i % len(names.SHARED)] for i in range(count)])
    where = [environment(rng) for _ in labels]
    pairs = zip(where, labels, strict=True)
    return [estate.intern("shared/", f"{ENVIRONMENTS[env]}/{x}", -1, env, _fields(rng)) for env, x in pairs]


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
        team, env = int(rng.integers(len(estate.teams))), environment(rng)
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
    found: list[int] = []
    for index in rng.permutation(estate.secrets).tolist():
        if len(found) == max(2, len(estate.teams) // 10):
            break
        name = f"{estate.object_name[index].rsplit('/', 1)[0]}/{names.ITEMS[int(rng.integers(len(names.ITEMS)))]}"
        mount, team, env = estate.object_mount[index], estate.object_team[index], estate.object_env[index]
        if team >= 0 and (mount, name) not in estate.known:
            found.append(estate.intern(mount, name, team, env, _fields(rng)))
    estate.canaries = np.array(found, dtype=np.int64)


def _edges(rng: Rng, estate: Estate, habits: _Habits) -> None:
    starts, uses, keys = [0], [], []
    for principal in range(len(estate.principals)):
        mine = _uses(rng, estate, principal, habits)
        if mine:
            weights = rng.dirichlet(np.full(len(mine), 0.7)) * np.array([u.weight for u in mine])
            keys.append(principal + np.cumsum(weights) / weights.sum())
        uses += mine
        starts.append(len(uses))
    estate.edge_from = np.array(starts, dtype=np.int64)
    estate.edge_object = np.array([u.object for u in uses], dtype=np.int64)
    estate.edge_action = np.array([u.action for u in uses], dtype=np.int64)
    estate.edge_key = np.concatenate(keys)


def _uses(rng: Rng, estate: Estate, principal: int, habits: _Habits) -> list[_Use]:
    """Everything this principal is used to."""
    row = estate.principals[principal]
    if Role(int(row["role"])) in (Role.HUMAN, Role.ADMIN):
        mine = habits.team.get(int(row["team"]), [])
        count = min(len(mine), 3 + int(rng.poisson(5)))
        picks = rng.choice(len(mine), count, replace=False).tolist() if mine else []
        return [_Use(mine[i], Action.READ, 1.0) for i in picks]
    own = habits.own.get(principal, [])
    if not own:
        return []
    count = min(len(habits.shared), int(rng.poisson(1.5)))
    reach = rng.choice(len(habits.shared), count, replace=False, p=habits.zipf).tolist()
    reads = [_Use(o, Action.READ, 1.0) for o in own] + [_Use(habits.shared[i], Action.READ, 0.7) for i in reach]
    return reads + _engines(rng, estate, principal)


def _engines(rng: Rng, estate: Estate, principal: int) -> list[_Use]:
    row = estate.principals[principal]
    if row["role"] not in (Role.POD, Role.MACHINE):
        return []
    label = estate.local[principal].rsplit("/", 1)[-1]
    team, env = int(row["team"]), int(row["env"])
    uses = []
    if rng.random() < 0.25:
        uses.append(_Use(estate.intern("database/", label, team, env), Action.CREDS, 0.3))
    if rng.random() < 0.15:
        key = estate.intern("transit/", estate.teams[team], team, env)
        uses += [_Use(key, Action.ENCRYPT, 2.0), _Use(key, Action.DECRYPT, 3.0)]
    if rng.random() < 0.15:
        uses.append(_Use(estate.intern("pki/", f"{estate.teams[team]}-tls", team, env), Action.ISSUE, 0.1))
    return uses


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
