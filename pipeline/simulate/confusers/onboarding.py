"""Services that did not exist before start work, with secrets of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.simulate.scenario import DAY

if TYPE_CHECKING:
    from pipeline.simulate.setting import Setting


def prepare(setting: Setting) -> None:
    """One in a hundred services is born on a working day, about noon."""
    fresh = setting.rng.choice(setting.services(), max(1, len(setting.services()) // 100), replace=False)
    at = setting.day_at(setting.workday(), setting.rng.uniform(9, 16))
    setting.estate.principals["born"][fresh] = at
    setting.say("onboarding", fresh, at, min(at + 7 * DAY, setting.scenario.end_ns))
