"""What confusers may change before the ordinary run is laid out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.simulate.calendar import weekday
from pipeline.simulate.estate import Estate, Role
from pipeline.simulate.scenario import DAY, HOUR
from pipeline.simulate.traffic import Boost, Clock, Trouble

if TYPE_CHECKING:
    from pipeline.simulate.scenario import Scenario
    from pipeline.simulate.sessions import Shift

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Happening:
    """One confuser's label before it has times as text: who and from when to when."""

    name: str
    principals: tuple[int, ...]
    start: int
    end: int


@dataclass
class Setting:
    """Boosts, shifts, troubles and storms gathered so far."""

    scenario: Scenario
    estate: Estate
    rng: np.random.Generator
    boosts: list[Boost] = field(default_factory=list)
    shifts: list[Shift] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    clocks: list[Clock] = field(default_factory=list)
    storms: list[tuple[int, Ints]] = field(default_factory=list)  # day of the run, teams whose secrets are all rotated
    happenings: list[Happening] = field(default_factory=list)

    def day_at(self, day: int, hour: float) -> int:
        """The instant that many days and hours into the run."""
        return self.scenario.start_ns + day * DAY + int(hour * HOUR)

    def workdays(self) -> list[int]:
        """Days of the run that are Monday to Friday."""
        return [d for d in range(self.scenario.days) if weekday(self.day_at(d, 0)) < 5]

    def workday(self) -> int:
        """One of them, or the first day of a run that has none."""
        days = self.workdays()
        return int(self.rng.choice(days)) if days else 0

    def night(self) -> int:
        """Any day of the run."""
        return int(self.rng.integers(0, self.scenario.days))

    def team(self) -> int:
        """A team with services."""
        found = np.unique(self.estate.principals["team"][self.services()])
        return int(self.rng.choice(found))

    def services(self, team: int | None = None) -> Ints:
        """Pods and machines, of one team or of all."""
        mine = np.isin(self.estate.principals["role"], (Role.POD, Role.MACHINE))
        return np.flatnonzero(mine if team is None else mine & (self.estate.principals["team"] == team))

    def boost(self, principals: Ints, start: int, length: int, factor: float) -> None:
        """Multiply their rates for a while."""
        self.boosts.append(Boost(principals, start, start + length, factor))

    def say(self, name: str, principals: Ints, start: int, end: int) -> None:
        """Label what was done."""
        self.happenings.append(Happening(name, tuple(int(p) for p in principals), start, end))
