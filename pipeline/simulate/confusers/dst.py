"""The clocks change: half of the fleet follows local time, so its day begins an hour earlier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.simulate.traffic import Clock

if TYPE_CHECKING:
    from pipeline.simulate.setting import Setting


def prepare(setting: Setting) -> None:
    """From the night after the middle of the run on."""
    services = setting.services()
    local = services[setting.rng.random(len(services)) < 0.5]
    at = setting.day_at(setting.scenario.days // 2, 1)
    setting.clocks.append(Clock(local, at, -1.0))
    setting.say("dst", local, at, setting.scenario.end_ns)
