"""A full disk under a run that follows: nothing is taken in until there is room, then it goes on from the last commit.

What a commit that failed had taken is not kept for another try: lake, ledger, source and stages are closed, and opened
again as after a death, so that there is one way back and not two.
"""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, Final

from pipeline.store import room

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.core.metrics import Metrics

FIRST_SECONDS, MAX_SECONDS = 1.0, 30.0  # between two looks for room; each is twice the one before
_TURN_SECONDS: Final = 0.1  # so soon a signal is heard
REASON: Final = "disk"


class Pause:
    """From the failure of a commit to the next that stands. `tell` is for the person who started the run."""

    def __init__(self, lake: Path, metrics: Metrics, tell: Callable[[str], None], stopping: Callable[[], bool]) -> None:
        self._lake, self._metrics, self._tell, self._stopping = lake, metrics, tell, stopping
        self._seconds = FIRST_SECONDS
        self._paused = False

    def wait(self, why: str) -> bool:
        """Until a trial file can be written, and at least as long as the time before asks for; False when stopped.

        `why` is what failed. Everything the run had open is to be closed by now.
        """
        if not self._paused:
            self._paused = True
            self._metrics.pausing(REASON, now=True)
            self._tell(f"the disk is full, nothing is read until there is room: {why}")
        gc.unfreeze()  # the reader has frozen what was open: without this it would stay for good
        gc.collect()
        while self._rest() and not room.has_room(self._lake):
            pass
        return not self._stopping()

    def over(self) -> None:
        """A commit stands, or there is nothing to commit and the lake could be opened for writing."""
        if self._paused:
            self._paused, self._seconds = False, FIRST_SECONDS
            self._metrics.pausing(REASON, now=False)
            self._tell("there is room again: it went on from the last commit")

    def _rest(self) -> bool:
        """Sleep a while, longer each time; False when the run is to stop."""
        end = time.monotonic() + self._seconds
        self._seconds = min(2 * self._seconds, MAX_SECONDS)
        while not self._stopping() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _TURN_SECONDS))
        return not self._stopping()
