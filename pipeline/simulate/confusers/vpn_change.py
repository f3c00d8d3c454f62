"""Somebody travels, or changes provider: another network from then on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.simulate import network
from pipeline.simulate.estate import Role
from pipeline.simulate.sessions import Shift

if TYPE_CHECKING:
    from pipeline.simulate.setting import Setting


def prepare(setting: Setting) -> None:
    """One person in a hundred."""
    people = setting.estate.of_role(Role.HUMAN)
    who = setting.rng.choice(people, max(1, len(people) // 100), replace=False)
    at, end = setting.day_at(setting.workday(), 6), setting.scenario.end_ns
    zone = int(network.outside_zones(setting.rng, 1)[0])
    setting.shifts.append(Shift(who, at, end, restart=False, zone=zone))
    setting.say("vpn_change", who, at, end)
