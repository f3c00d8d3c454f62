"""The alerts that may still change: by what they group by, by who is in them, and by when they are due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.core.clock import DAY_US
from pipeline.routing.alert import LIVE, Live, pack, unpack
from pipeline.routing.memory import Timers

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

    from pipeline.routing.config import Config

Key = tuple[str, str, str]
_LONGEST_US: Final = 7 * DAY_US  # that an incident lasts which a rule tells again and again


class Book:
    """Alerts that are open, and those that are done while the same incident may still come back to them.

    At most `open_max` of either.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._live: dict[str, Live] = {}
        self._by_key: dict[Key, list[str]] = {}
        self._open_of: dict[str, set[str]] = {}
        self._closing = Timers()
        self._leaving = Timers()

    def find(self, key: Key, time_us: int) -> Live | None:
        """The alert of the same incident: same key, begun within the group window on either side.

        What a rule tells again and again is one incident, for a week at most: a pause may be half as long again, so
        that what comes once a day belongs together however late it is.
        """
        for uid in reversed(self._by_key.get(key, [])):
            alert = self._live[uid]
            if abs(time_us - alert.anchor_us) < self._config.group_us or self._goes_on(alert, time_us):
                return alert
        return None

    def _goes_on(self, alert: Live, time_us: int) -> bool:
        begun, paused = time_us - alert.anchor_us, time_us - alert.last_us
        return bool(alert.group) and 0 <= begun < _LONGEST_US and paused < self._config.pause_us

    def open_of(self, principal: str, *, but: str) -> Iterator[Live]:
        """The open alerts of a principal, in the order of their uids, without the one of uid `but`."""
        for uid in sorted(self._open_of.get(principal, set()) - {but}):
            yield self._live[uid]

    def add(self, alert: Live) -> None:
        """A new one; it is neither open nor done before it is said to be."""
        self._live[alert.uid] = alert
        self._by_key.setdefault((alert.kind, alert.key, alert.group), []).append(alert.uid)

    def wake(self, alert: Live) -> None:
        """It is open: it is due when nothing more comes."""
        alert.done = False
        self._leaving.drop(alert.uid)
        self.wait(alert)
        for principal in alert.principals:
            self._open_of.setdefault(principal, set()).add(alert.uid)

    def wait(self, alert: Live) -> None:
        """Have it taken by `due` at its deadline."""
        self._closing.set(alert.uid, self.due_us(alert))

    def due_us(self, alert: Live) -> int:
        """When it was quiet for long enough, or its suppression ends before."""
        quiet_us = alert.heard_us + self._config.quiet_us
        return min(quiet_us, alert.expires_us) if alert.state == "suppressed" else quiet_us

    def due(self, now_us: int | None = None) -> Live | None:
        """The open alert whose time is up first, if it is by `now_us` (None: whenever); maybe one that spoke again."""
        uid = self._closing.take(now_us)
        return None if uid is None else self._live[uid]

    def retire(self, alert: Live) -> None:
        """It is done, but the same incident may still come back to it."""
        alert.done = True
        self._closing.drop(alert.uid)
        until_us = alert.last_us + self._config.pause_us if alert.group else alert.anchor_us + self._config.group_us
        self._leaving.set(alert.uid, until_us)
        for principal in alert.principals:
            open_of = self._open_of.get(principal, set())
            open_of.discard(alert.uid)
            if not open_of:
                self._open_of.pop(principal, None)

    def forget(self, now_us: int) -> None:
        """Drop those that nothing can come back to any more, and of too many that are done the oldest."""
        while (uid := self._leaving.take(now_us)) is not None:
            self._drop(uid)
        while len(self._leaving) > self._config.open_max and (uid := self._leaving.take()) is not None:
            self._drop(uid)

    def crowded(self) -> bool:
        """Whether more are open than may be."""
        return len(self._closing) > self._config.open_max

    def _drop(self, uid: str) -> None:
        alert = self._live.pop(uid)
        key = (alert.kind, alert.key, alert.group)
        self._by_key[key].remove(uid)
        if not self._by_key[key]:
            del self._by_key[key]

    def snapshot(self) -> pl.DataFrame:
        """The alerts as a frame of schema LIVE."""
        return pack(list(self._live.values()))

    def restore(self, frame: pl.DataFrame) -> None:
        """The inverse of `snapshot`, into an empty book; of an earlier version's, which may lack columns."""
        for alert in unpack(frame.select(name for name in LIVE if name in frame.columns)):
            self.add(alert)
            (self.retire if alert.done else self.wake)(alert)
