"""The disaster test: for two hours everything runs at the other site, then comes home."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.simulate import network
from pipeline.simulate.scenario import HOUR
from pipeline.simulate.sessions import Shift

if TYPE_CHECKING:
    from pipeline.simulate.setting import Setting

SITE = network.PODS + (8 << 16)


def prepare(setting: Setting) -> None:
    """On a weekend where there is one."""
    days = [d for d in range(setting.scenario.days) if d not in setting.workdays()] or [setting.scenario.days - 1]
    at = setting.day_at(int(setting.rng.choice(days)), setting.rng.uniform(6, 12))
    services = setting.services()
    setting.shifts.append(Shift(services, at, at + 2 * HOUR, zone=SITE))
    setting.shifts.append(Shift(services, at + 2 * HOUR, at + 3 * HOUR))
    setting.say("dr_test", services, at, at + 3 * HOUR)
