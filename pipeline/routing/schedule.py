"""Whether something comes at its time of day, by the quarters of an hour in which it came on the days before."""

from __future__ import annotations

from typing import Final

from pipeline.core.clock import DAY_US, HOUR_US

_SCHEDULED: Final = 10  # days before at the same hour, that a schedule must have been seen on
_OFTEN: Final = 4  # days suffice, where what came on them comes to as many times
_EXACT: Final = 4  # days running suffice, too, where it came in one quarter of an hour of each, the same or the next
_WEEKLY: Final = 3  # or weeks before, at the same hour of the same weekday
_QUARTER_US: Final = HOUR_US // 4
_QUARTERS: Final = 96  # of a day
_NEAR: Final = range(-2, 3)  # quarters of an hour
_CLOCKS: Final = (4, -4)  # quarters by which clocks are changed, in spring and in autumn
_AROUND: Final = tuple(sum(1 << (at + shift) % _QUARTERS for shift in _NEAR) for at in range(_QUARTERS))
_MOST: Final = 0.4  # of a day may be near the times of a schedule
_SHARE: Final = 0.8  # of the days before, that must lie near this hour


def on_schedule(before: dict[int, int], at_us: int) -> bool:
    """Whether the days before, or the same weekday of the weeks before, mostly had it near this hour.

    What comes at nearly any hour has no schedule: it would excuse everything.
    """
    if _exact(before, at_us):
        return True
    days = list(before.values())
    often = len(days) >= _OFTEN and sum(times.bit_count() for times in days) >= _SCHEDULED
    if len(days) < _SCHEDULED and not often:
        today = at_us // DAY_US
        days = [times for day, times in before.items() if (today - day) % 7 == 0]
        if len(days) < _WEEKLY or len(before) > 2 * len(days):
            return False
    quarter = at_us // _QUARTER_US % _QUARTERS
    now = _AROUND[quarter]
    if not any(_near(days, now | _AROUND[(quarter + shift) % _QUARTERS]) for shift in _CLOCKS):
        return False
    part = _nearby(days)  # dear, and most hits are near nothing
    return part * (len(_CLOCKS) + 1) <= _MOST or (part <= _MOST and _near(days, now))


def _exact(before: dict[int, int], at_us: int) -> bool:
    """Whether it came in one quarter of an hour of each day of late, always within a quarter of this moment's."""
    today, quarter = at_us // DAY_US, at_us // _QUARTER_US % _QUARTERS
    around = sum(1 << (quarter + shift) % _QUARTERS for shift in (-1, 0, 1))
    late = all(today - back in before for back in range(1, _EXACT + 1))
    return late and all(times & around and times.bit_count() == 1 for times in before.values())


def _near(days: list[int], around: int) -> bool:
    """Whether enough of the days had it in one of those quarters of an hour."""
    return sum(bool(times & around) for times in days) >= _SHARE * len(days)


def _nearby(days: list[int]) -> float:
    """What part of a day is near the times of enough of the days."""
    return sum(_near(days, around) for around in _AROUND) / _QUARTERS


def bit(at_us: int) -> int:
    """The quarter of an hour, of its day."""
    return 1 << (at_us // _QUARTER_US % _QUARTERS)
