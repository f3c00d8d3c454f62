"""What is to be measured: which estates, for how long, which incidents on them."""

from __future__ import annotations

import math

import msgspec

from pipeline.core.errors import ConfigError
from pipeline.simulate import DIFFICULTIES, PRESETS, Attack, Scenario, attacks, known

BUDGETS = (1.0, 3.0, 5.0, 10.0, 20.0, 50.0)  # alerts a day per 1,000 principals
LADDER = ("easy", "medium", "hard")  # the mix of a headline, a third each; `near` is asked for
BYTES = ("audit_cut",)  # to be seen in the bytes of the log alone
# Younger than the published figures, whose seeds go on drawing what they drew.
YOUNGER = ("dead_token", "forged_certificate", "kept_token", "spilled_password", "unhashed")
ASKED = (*BYTES, *YOUNGER)  # staged where they are named, and not otherwise
DEVICES = 2
MOST_SKEW = 30.0  # minutes; hours are cut one ahead
MOST_INCIDENTS = 10_000.0  # a day


class Plan(msgspec.Struct, frozen=True):
    """`seeds` estates of one preset. The first `learn_days` are quiet, incidents fall into the `test_days` after them.

    `per_day` incidents a day and 1,000 principals, each attack and difficulty in turn, so that over the seeds all come
    equally often. `attacks` are NAME or NAME:DIFFICULTY; none means all of the catalogue but `ASKED`.

    What is measured under worse conditions: `loss` is the share of operations that no device told of; the clocks of a
    cluster's nodes lie evenly within `skew_minutes` of the true time; `spoiled` is the number of incidents in the days
    before, as a share of the principals, which nobody knew of and which count for nothing. Without `naive` the suite is
    alone, without `suite` the naive methods are.
    """

    seeds: tuple[int, ...] = (1,)
    preset: str = "s"
    learn_days: int = 14
    test_days: int = 28
    per_day: float = 1.0
    attacks: tuple[str, ...] = ()
    difficulties: tuple[str, ...] = LADDER
    rate: float = 1.0
    loss: float = 0.0
    skew_minutes: float = 0.0
    spoiled: float = 0.0
    naive: bool = True
    suite: bool = True

    def __post_init__(self) -> None:
        """Raises ConfigError, naming what is allowed."""
        if self.preset not in PRESETS:
            raise ConfigError(f"unknown preset {self.preset!r}; there are: {', '.join(PRESETS)}")
        if min(self.learn_days, self.test_days) < 1 or not (self.seeds and self.difficulties):
            raise ConfigError("learn days and test days must be at least 1, seeds and difficulties given")
        if not 0 < self.per_day <= MOST_INCIDENTS:
            raise ConfigError(f"{self.per_day:g} incidents a day; above 0, at most {MOST_INCIDENTS:g}")
        if not (self.naive or self.suite):
            raise ConfigError("neither the suite nor naive methods are to be measured")
        if not 0 <= self.loss < 1:
            raise ConfigError(f"a loss of {self.loss:g} is no share of operations; at least 0, below 1")
        if not 0 <= self.skew_minutes <= MOST_SKEW:
            raise ConfigError(f"clocks off by {self.skew_minutes:g} minutes; at least 0, at most {MOST_SKEW:g}")
        if not 0 <= self.spoiled <= 1:
            raise ConfigError(f"incidents before by {self.spoiled:g} of the principals; at least 0, at most 1")
        named = list(map(_split, self.attacks))
        for name, _ in named:
            if name not in known(attacks):
                raise ConfigError(f"unknown attack {name!r}; there are: {', '.join(known(attacks))}")
        for difficulty in (*self.difficulties, *(given for _, given in named if given)):
            if difficulty not in DIFFICULTIES:
                raise ConfigError(f"unknown difficulty {difficulty!r}; there are: {', '.join(DIFFICULTIES)}")

    @property
    def days(self) -> int:
        """Length of a run."""
        return self.learn_days + self.test_days

    def roster(self) -> list[Attack]:
        """Every attack and difficulty once: those asked for, else the catalogue without `ASKED`."""
        asked = self.attacks or tuple(name for name in known(attacks) if name not in ASKED)
        pairs = [(name, [given] if given else self.difficulties) for name, given in map(_split, asked)]
        rungs = max(len(each) for _, each in pairs)
        return [Attack(name, each[i]) for i in range(rungs) for name, each in pairs if i < len(each)]

    def scenario(self, nth: int) -> Scenario:
        """The run of the n-th seed: it goes on in the roster where the one before it stopped."""
        roster, size = self.roster(), self.per_day * principals(self.preset) / 1000
        count = max(1, round(self.test_days * size))
        before = math.ceil(self.spoiled * principals(self.preset))
        chosen = [roster[(nth * count + i) % len(roster)] for i in range(count + before)]
        for i in range(before):  # they are none of those that count, as long as the roster is long enough
            one = chosen[count + i]
            chosen[count + i] = Attack(one.name, one.difficulty, (i + 0.5) * self.learn_days / before)
        return Scenario(
            days=self.days, preset=self.preset, seed=self.seeds[nth], rate=self.rate, attacks=tuple(chosen),
            history=self.learn_days / self.days, devices=DEVICES,
        )  # fmt: skip


def principals(preset: str) -> int:
    """About how many there are: services, jobs, builds and people."""
    size = PRESETS[preset]
    return size.services + size.cron + size.ci + size.humans


def _split(text: str) -> tuple[str, str]:
    name, _, difficulty = text.partition(":")
    return name, difficulty
