"""A team ships. Its services restart and read 3 to 15 times as much for an hour, on a working day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.scenario import HOUR
from pipeline.simulate.sessions import Shift

if TYPE_CHECKING:
    from pipeline.simulate.setting import Setting


def prepare(setting: Setting) -> None:
    """About 1.2 times per team and working day (in the smallest estate far less), between 09 and 18 h."""
    for day in setting.workdays():
        for team, count in enumerate(
            setting.rng.poisson(setting.scenario.size.deploys, len(setting.estate.teams)).tolist()
        ):
            services = setting.services(team)
            for _ in range(count if len(services) else 0):
                at = setting.day_at(day, setting.rng.uniform(9, 17))
                factor = float(np.exp(setting.rng.uniform(np.log(3), np.log(15))))
                setting.boost(services, at, HOUR, factor)
                setting.shifts.append(Shift(services, at, at + HOUR))
                setting.say("deploy", services, at, at + HOUR)
