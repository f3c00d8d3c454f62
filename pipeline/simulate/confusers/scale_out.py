"""A service grows: more reads, and pods on nodes that did not exist before, to the end of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.simulate import network
from pipeline.simulate.sessions import Shift

if TYPE_CHECKING:
    from pipeline.simulate.setting import Setting

NEW_NODES = network.PODS + (2 << 16)


def prepare(setting: Setting) -> None:
    """Two to ten times as much, in new /24s."""
    services = setting.rng.choice(setting.services(), max(1, len(setting.services()) // 100), replace=False)
    at, end = setting.day_at(setting.workday(), 10), setting.scenario.end_ns
    setting.boost(services, at, end - at, float(setting.rng.uniform(2, 10)))
    setting.shifts.append(Shift(services, at, end, zone=NEW_NODES))
    setting.say("scale_out", services, at, end)
