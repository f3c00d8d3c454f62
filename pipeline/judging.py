"""The second half of the line, once for all workers of a group: what they passed on, in one order, through every stage.

Events come out of the lake, where the workers' commits put them, and leave that queue in the commit that holds what
they became: neither a worker's death nor this process's loses or doubles one. `desk.py` hands them out. From here on
all is as in a run by one process, since everything behind the canonical order is a function of that order alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pipeline import handover
from pipeline.core.schema import INTEGRITY
from pipeline.line import Line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.core.model import Frames
    from pipeline.desk import Judged


class JudgingLine(Line):
    """Everything behind the canonical order."""

    def step(self, taken: Sequence[Judged]) -> None:  # type: ignore[override]
        """Commits of workers through every stage up to the alerts."""
        for judged in taken:
            self._step(judged)

    def _step(self, judged: Judged) -> None:
        self.recent |= judged.recent
        verdicts = {str(name): part for (name,), part in judged.verdicts.group_by("source", maintain_order=True)}
        events = {str(name): part for (name,), part in judged.events.group_by("source", maintain_order=True)}
        names, none = sorted({*events, *verdicts}), judged.events.clear()
        for at, stream in enumerate(names, start=1):
            self._live = {**judged.live, **dict.fromkeys(names[at:], True)}
            self._judge(stream, events.get(stream, none), verdicts.get(stream, pl.DataFrame(schema=INTEGRITY)))
        self._consumed += [*judged.passed.events, *judged.passed.verdicts]
        self._dirty = True
        self.uncommitted_bytes += int(judged.events.estimated_size())
        self.totals.entries += len(judged.events)

    def last_request(self, taken: Sequence[Judged]) -> object:
        """See Line."""
        events = taken[-1].events
        return events["correlation_uid"][-1] if len(events) else None

    def restore(self, states: Mapping[str, Frames]) -> None:
        """Continue. What a run by one process had set aside of partitions it gave up is judged here as well."""
        super().restore(states)
        for moved in handover.unpacked(states.get("set_aside", {})).values():
            self._shares.newest |= handover.put_back(self.stateful(), moved)
