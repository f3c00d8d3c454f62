"""A client library is upgraded everywhere: another user agent, fleet-wide, within a day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate.names import USER_AGENTS
from pipeline.simulate.scenario import DAY
from pipeline.simulate.sessions import Shift

if TYPE_CHECKING:
    from pipeline.simulate.setting import Setting


def prepare(setting: Setting) -> None:
    """All services that use the commonest client get another one."""
    agents = setting.estate.principals["agent"]
    services = setting.services()
    common = int(np.bincount(agents[services]).argmax())
    upgraded = services[agents[services] == common]
    at, end = setting.day_at(setting.workday(), 9), setting.scenario.end_ns
    fresh = (common + 1) % len(USER_AGENTS)
    setting.shifts.append(Shift(upgraded, at, end, agent=fresh, spread=min(DAY, end - at)))
    setting.say("sdk_upgrade", upgraded, at, end)
