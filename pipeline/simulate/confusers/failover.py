"""The leader changes: requests fail and drag for some minutes, then everybody logs in again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.simulate.scenario import MINUTE, SECOND
from pipeline.simulate.sessions import Shift
from pipeline.simulate.traffic import Trouble

if TYPE_CHECKING:
    from pipeline.simulate.setting import Setting


def prepare(setting: Setting) -> None:
    """Three in a hundred fail for ten minutes, four to ten times the requests follow for a quarter of an hour."""
    at = setting.day_at(setting.night(), setting.rng.uniform(0, 23))
    services = setting.services()
    setting.troubles.append(Trouble(at, at + 10 * MINUTE, 0.03, slow=5.0))
    setting.boost(services, at + 2 * MINUTE, 15 * MINUTE, float(setting.rng.uniform(4, 10)))
    setting.shifts.append(Shift(services, at + MINUTE, at + 10 * MINUTE, spread=240 * SECOND))
    setting.say("failover", services, at, at + 20 * MINUTE)
