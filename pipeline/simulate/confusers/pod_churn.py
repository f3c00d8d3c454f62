"""A service does not come up: it starts, logs in, reads, dies, and again, for an hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.simulate.estate import Role
from pipeline.simulate.scenario import HOUR, MINUTE
from pipeline.simulate.sessions import Shift

if TYPE_CHECKING:
    from pipeline.simulate.setting import Setting


def prepare(setting: Setting) -> None:
    """A restart every five minutes, a new address each."""
    pods = setting.estate.of_role(Role.POD)
    if len(pods) == 0:
        return
    service = setting.rng.choice(pods, 1)
    at = setting.day_at(setting.night(), setting.rng.uniform(0, 22))
    for round_ in range(12):
        start = at + round_ * 5 * MINUTE
        setting.shifts.append(Shift(service, start, start + 5 * MINUTE, spread=MINUTE))
    setting.say("pod_churn", service, at, at + HOUR)
