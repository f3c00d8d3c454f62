"""The secrets of several teams are rotated in one night; their readers fetch the new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.scenario import HOUR

if TYPE_CHECKING:
    from pipeline.simulate.setting import Setting


def prepare(setting: Setting) -> None:
    """Writes at 03 h, reads six times the usual for an hour after."""
    teams = setting.rng.choice(len(setting.estate.teams), min(len(setting.estate.teams), 8), replace=False)
    day = setting.night()
    setting.storms.append((day, teams))
    at = setting.day_at(day, 3.1)
    readers = np.concatenate([setting.services(int(team)) for team in teams.tolist()])
    setting.boost(readers, at, HOUR, 6.0)
    setting.say("rotation_storm", readers, at, at + HOUR)
