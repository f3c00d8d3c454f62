"""Who and what there is: principals, mounts, objects, and which principal uses which object how often."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.simulate.actions import KINDS, Action

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ENVIRONMENTS = ("prod", "staging", "dev")


def environment(rng: np.random.Generator) -> int:
    """Index of one: most of what runs is production."""
    return int(rng.choice(3, p=(0.6, 0.25, 0.15)))


class Role(IntEnum):
    """What a principal is for: its rhythm follows from it."""

    POD = 0
    MACHINE = 1
    CRON = 2
    CI = 3
    HUMAN = 4
    ADMIN = 5
    ROTATOR = 6
    SCANNER = 7
    SYNC = 8
    BACKUP = 9
    BREAK_GLASS = 10
    ROOT = 11
    TOKEN = 12  # made during the run, by a principal that has a token
    NOBODY = 13


class Mount(NamedTuple):
    """A place where an engine or an auth method answers."""

    point: str
    type: str
    klass: str  # auth or secret
    accessor: str


# One row per principal; times in ns since 1970, rates per hour, `zone` a /24 or 0 for pods.
PRINCIPAL = np.dtype(
    [
        ("role", "u1"), ("team", "i4"), ("env", "u1"), ("mount", "i4"), ("cluster", "i4"), ("rate", "f8"),
        ("slots", "i4"), ("amplitude", "f8"), ("peak", "f8"), ("weekend", "f8"), ("agent", "u2"), ("zone", "i8"),
        ("ttl", "i8"), ("max_ttl", "i8"), ("born", "i8"), ("gone", "i8"), ("period", "i4"), ("phase", "f8"),
        ("login", "i4"),
    ]
)  # fmt: skip


@dataclass
class Estate:
    """The whole of it, as columns. `objects` only grows: what a run adds later changes no index before it.

    `edges` are grouped by principal: those of `p` are `edge_from[p]:edge_from[p + 1]`, with an action and a place in
    `edge_key`, which climbs from p to p + 1, so that one search over all draws an edge for every row.
    """

    seed: int
    mounts: list[Mount]
    principals: np.ndarray  # dtype PRINCIPAL
    names: list[str]  # the contract's principal: approle/…, userpass/…
    local: list[str]  # the name within the auth mount
    entities: list[str]
    policies: list[tuple[str, ...]]
    teams: list[str]
    object_mount: list[int] = field(default_factory=list)
    object_name: list[str] = field(default_factory=list)
    object_team: list[int] = field(default_factory=list)
    object_env: list[int] = field(default_factory=list)
    object_fields: list[tuple[str, ...]] = field(default_factory=list)
    edge_from: Ints = field(default_factory=lambda: np.zeros(1, np.int64))
    edge_object: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    edge_action: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    edge_key: Floats = field(default_factory=lambda: np.zeros(0))
    secrets: Ints = field(default_factory=lambda: np.zeros(0, np.int64))  # objects that are KV secrets
    missing: Ints = field(default_factory=lambda: np.zeros(0, np.int64))  # paths people still ask for
    canaries: Ints = field(default_factory=lambda: np.zeros(0, np.int64))  # bait, among the secrets but read by nobody
    children: dict[int, list[str]] = field(default_factory=dict)  # what a list of this object answers
    known: dict[tuple[int, str], int] = field(default_factory=dict)

    def mount(self, point: str) -> int:
        """Index of the mount at `point`."""
        return next(i for i, m in enumerate(self.mounts) if m.point == point)

    def intern(
        self, mount: int | str, name: str, team: int = -1, env: int = 0, fields: tuple[str, ...] = ("value",)
    ) -> int:
        """The object of this name, made when there is none."""
        where = self.mount(mount) if isinstance(mount, str) else mount
        key = (where, name)
        if key not in self.known:
            self.known[key] = len(self.object_name)
            self.object_mount.append(where)
            self.object_name.append(name)
            self.object_team.append(team)
            self.object_env.append(env)
            self.object_fields.append(fields)
        return self.known[key]

    def secret(self, index: int) -> str:
        """The contract's name of an object: empty for system and auth paths."""
        mount = self.mounts[self.object_mount[index]]
        system = mount.klass == "auth" or mount.point == "sys/"
        return "" if system else mount.point + self.object_name[index].rstrip("/")

    def path(self, index: int, action: Action) -> str:
        """The path of a request about an object."""
        kind = KINDS[action]
        return f"{self.mounts[self.object_mount[index]].point}{kind.word}{self.object_name[index]}{kind.tail}"

    def edges(self, principal: int) -> slice:
        """Where the principal's edges lie."""
        return slice(int(self.edge_from[principal]), int(self.edge_from[principal + 1]))

    def of_role(self, *roles: Role) -> Ints:
        """Principals of these roles."""
        return np.flatnonzero(np.isin(self.principals["role"], roles))

    def draw_edges(self, rng: np.random.Generator, principals: Ints) -> Ints:
        """One edge for each row, by the principal's own habits. Rows of principals without edges get -1."""
        place = np.searchsorted(self.edge_key, principals + rng.random(len(principals)), side="right")
        inside = place < self.edge_from[principals + 1]
        last = self.edge_from[principals + 1] - 1
        return np.where(self.edge_from[principals] > last, -1, np.where(inside, place, last))
