"""Which version of a secret stands at a time, who wrote it, and when: laid out before the first request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import DAY, HOUR, SECOND
from pipeline.simulate.streams import stream

if TYPE_CHECKING:
    from pipeline.simulate.estate import Estate
    from pipeline.simulate.scenario import Scenario
    from pipeline.simulate.sessions import Table

Ints = npt.NDArray[np.int64]

WRITE = np.dtype([("object", "i8"), ("t", "i8"), ("session", "i8")])


class Versions:
    """All writes of the ordinary run, by object and time. Every object had `base` versions when the run began."""

    def __init__(self, writes: npt.NDArray[np.void], base: Ints, origin: int, seed: int) -> None:
        self.writes = writes[np.lexsort((writes["t"], writes["object"]))]
        self._origin, self._base, self._seed = origin, base, seed
        self._key = self._place(self.writes["object"], self.writes["t"])
        self._first = np.searchsorted(self.writes["object"], np.arange(len(base)))

    def _place(self, what: Ints, when: Ints) -> Ints:
        return what.astype(np.int64) * 2**38 + np.clip((when - self._origin) // 1_000_000, 0, 2**38 - 1)

    def at(self, what: Ints, when: Ints) -> Ints:
        """The version that a read of each object at that time gets; 1 for objects that came later."""
        known = (what >= 0) & (what < len(self._base))
        safe = np.where(known, what, 0)
        count = np.searchsorted(self._key, self._place(safe, when), side="left") - self._first[safe]
        return np.where(known, self._base[safe] + count, 1)

    def created(self, what: int, version: int) -> int:
        """When a version was made, ns since 1970: some time before the run for the base version."""
        if 0 <= what < len(self._base) and version > self._base[what]:
            row = int(self._first[what]) + version - int(self._base[what]) - 1
            if row < len(self.writes) and self.writes["object"][row] == what:
                return int(self.writes["t"][row]) + 1_000_000 + (what * 7_919 + version * 104_729) % 900_000
        age = (what * 2_654_435_761 + version * 40_503 + self._seed) % (75 * DAY)
        return self._origin - age - 1


def plan_writes(estate: Estate, scenario: Scenario, sessions: Table, storms: list[tuple[int, Ints]]) -> Versions:
    """Rotations by night, each secret every 30, 60 or 90 days, and what people change by hand.

    A storm is a day of the run and the teams whose secrets are then all rotated at once.
    """
    rng = stream(scenario.seed, "writes")
    count = len(estate.object_name)
    parts = [_hand_made(rng, estate, sessions)]
    rotated = estate.secrets[rng.random(len(estate.secrets)) < 0.6]
    period = rng.choice((30, 60, 90), len(rotated))
    offset = rng.integers(0, 90, len(rotated))
    rotators = estate.of_role(Role.ROTATOR)
    for day in range(scenario.days):
        at = scenario.start_ns + day * DAY
        due = rotated[(day + offset) % period == 0]
        for _, teams in (s for s in storms if s[0] == day):
            owner = np.array([estate.object_team[i] for i in estate.secrets.tolist()])
            due = np.union1d(due, estate.secrets[np.isin(owner, teams)])
        parts.append(_night(rng, sessions, rotators, due, at))
    base = np.random.default_rng(scenario.seed).integers(1, 12, count)
    return Versions(np.concatenate(parts), base, scenario.start_ns, scenario.seed)


def _night(rng: np.random.Generator, sessions: Table, rotators: Ints, due: Ints, day: int) -> npt.NDArray[np.void]:
    mine = np.isin(sessions["principal"], rotators) & (sessions["start"] >= day) & (sessions["start"] < day + DAY)
    tokens = np.flatnonzero(mine)
    made = np.zeros(len(due) if len(tokens) else 0, WRITE)
    if len(made):
        made["object"] = due
        made["session"] = tokens[rng.integers(0, len(tokens), len(made))]
        spread = min(0.6 * HOUR, len(made) * 3 * SECOND)
        made["t"] = sessions["start"][made["session"]] + 2 * SECOND + (rng.random(len(made)) * spread).astype(np.int64)
    return made


def _hand_made(rng: np.random.Generator, estate: Estate, sessions: Table) -> npt.NDArray[np.void]:
    human = np.isin(estate.principals["role"][sessions["principal"]], (Role.HUMAN, Role.ADMIN)) & (sessions["slot"] < 0)
    tokens = np.flatnonzero(human & (rng.random(len(sessions)) < 0.12))
    edge = estate.draw_edges(rng, sessions["principal"][tokens].astype(np.int64))
    tokens, edge = tokens[edge >= 0], edge[edge >= 0]
    made = np.zeros(len(tokens), WRITE)
    made["object"], made["session"] = estate.edge_object[edge], tokens
    made["t"] = sessions["start"][tokens] + (rng.random(len(tokens)) * 6 * HOUR).astype(np.int64) + 60 * SECOND
    return made
