"""Passwords tried over many accounts, few times each, from a few places; one fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline.simulate import names
from pipeline.simulate.actions import Action, Outcome
from pipeline.simulate.estate import Role
from pipeline.simulate.rows import rows
from pipeline.simulate.scenario import HOUR, SECOND

if TYPE_CHECKING:
    from pipeline.simulate.stage import Stage


class Level(NamedTuple):
    """Accounts, places they are tried from, hours it takes."""

    accounts: int
    sources: int
    hours: float


LEVELS = {"easy": Level(300, 5, 1), "medium": Level(150, 15, 3), "hard": Level(300, 60, 12), "near": Level(30, 30, 24)}


def plan(stage: Stage) -> tuple[int, np.ndarray]:
    """Some names exist and some do not; the one that fits reads two of its own secrets. To blame: that account."""
    level = LEVELS[stage.difficulty]
    length = int(level.hours * HOUR)
    start = stage.moment(length)
    users = [p for p in stage.estate.of_role(Role.HUMAN).tolist() if _by_password(stage, p)]
    victim = int(stage.rng.choice(users or stage.estate.of_role(Role.HUMAN)))
    accounts = [_account(stage, users) for _ in range(level.accounts)]
    tries = np.repeat(np.array(accounts), stage.rng.integers(1, 3, len(accounts)))
    places = np.array([stage.outside() for _ in range(level.sources)])
    pick = stage.rng.integers(0, len(places), len(tries))
    agents = np.array([stage.agent("ci") for _ in places])
    nobody = int(stage.estate.of_role(Role.NOBODY)[0])
    when = stage.spread(start, length, len(tries))
    stage.parts.append(
        rows(
            len(tries), t=when, action=Action.LOGIN_USER, outcome=Outcome.DENIED, principal=nobody, object=tries,
            ip=places[pick], agent=agents[pick],
        )
    )  # fmt: skip
    token = stage.open(victim, start + int(length * 0.8), int(places[0]), int(agents[0]))
    own = stage.own(victim)[:2]
    stage.act(
        token, start + int(length * 0.8) + stage.soon(2) + stage.spread(0, 6 * SECOND, len(own)), Action.READ, own
    )
    return victim, own


def _by_password(stage: Stage, person: int) -> bool:
    return stage.estate.mounts[int(stage.estate.principals["mount"][person])].type == "userpass"


def _account(stage: Stage, users: list[int]) -> int:
    if users and stage.rng.random() < 0.4:
        return int(stage.estate.principals["login"][int(stage.rng.choice(users))])
    first = names.PEOPLE[int(stage.rng.integers(len(names.PEOPLE)))]
    last = names.SURNAMES[int(stage.rng.integers(len(names.SURNAMES)))]
    return stage.estate.intern("auth/userpass/", f"{first}.{last}")
