"""The first half of the line, for one of several workers of a group: what came is stored, and passed on to be judged.

A worker sees some partitions; who asks for what is spread over all of them. So nothing that counts, compares or
remembers across streams runs here: the worker decodes, gives leaves, keeps the raw bytes, says what its partitions
show of their own wholeness, and passes the events on in the same commit. `judging.py` is the second half.

`Report` goes with every commit: which partitions the worker has, and which of them it has read to their end for now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.core.schema import EVENT, INTEGRITY, OPERATION, empty
from pipeline.line import Line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.model import Frames, Position
    from pipeline.core.ports import Stateful
    from pipeline.parts import Parts, Quiet

REPORT: Final = "report"
_STREAMS: Final = pl.Schema(
    {
        "stream": pl.String(), "mine": pl.Boolean(), "ended": pl.Boolean(), "final": pl.Boolean(), "at": pl.Int64(),
        "epoch": pl.Int64(),
    }
)  # fmt: skip


class Report:
    """One row a stream of the topics: `mine` this worker has it, `ended` read to its end, `final` it reads no more.

    What was said later is told by `sequence`, the number of the lake's newest commit: workers' clocks differ, and step.
    """

    def __init__(self, streams: Iterable[str], sequence: Callable[[], int], epoch: int) -> None:
        self._streams, self._sequence, self._epoch = tuple(streams), sequence, epoch
        self._said: dict[str, tuple[bool, bool, bool]] = {}
        self._at = 0

    def say(self, live: Mapping[str, bool], *, final: bool) -> bool:
        """Take note of the streams this worker has; whether that is news."""
        said = {
            stream: (stream in live, not live.get(stream, True), final) for stream in sorted({*self._streams, *live})
        }
        news = said != self._said
        if news:
            self._said, self._at = said, self._sequence()
        return news

    def snapshot(self) -> Frames:
        """The rows; `at` is the commit after which they last changed, `epoch` that of the process which says so."""
        rows = [(stream, *said, self._at, self._epoch) for stream, said in self._said.items()]
        return {"streams": pl.DataFrame(rows, schema=_STREAMS, orient="row")}

    def restore(self, frames: Frames) -> None:
        """A worker that comes back has to say anew what it has."""


class ReadingLine(Line):
    """Stores and passes on."""

    def __init__(
        self,
        parts: Parts,
        positions: Sequence[Position],
        streams: Iterable[str],
        sequence: Callable[[], int],
        epoch: int,
    ) -> None:
        super().__init__(parts, positions)
        self._report = Report(streams, sequence, epoch)
        self._final = False
        self._passed: list[pl.DataFrame] = []  # verdicts since the last commit

    def _judge(self, stream: str, events: pl.DataFrame, verdicts: pl.DataFrame) -> None:
        self._pass_on(events, verdicts)
        if stream in self._shares.newest:
            self.parts.metrics.last_event.set(self._shares.newest[stream] / 1e6)

    def _pass_on(self, events: pl.DataFrame, verdicts: pl.DataFrame) -> None:
        for table, frame in (("passed_events", events), ("passed_verdicts", verdicts)):
            if len(frame):
                self.parts.lake.write(table, frame)
                self._dirty = True
        self._passed.append(verdicts)
        self._count(empty(OPERATION), verdicts)

    def heard(self, quiet: Quiet) -> None:
        """See Line."""
        self._live = quiet.live

    def idle(self, seconds: float) -> None:
        """Event time is whoever judges' matter."""

    def finish(self) -> None:
        """The topic is read to where it ended when the run began."""
        self._pass_on(empty(EVENT), self.parts.continuity.finish())
        self._final = True

    def commit(self, *, wait: bool = True) -> Sequence[Position]:
        """See Line.commit. What this worker has and how far it is goes along."""
        if self._report.say(self._live, final=self._final):
            self._dirty = True
        return super().commit(wait=wait)

    def _shown(self, revise: Frames) -> Frames:
        passed, self._passed = self._passed, []
        return {**revise, "integrity": pl.concat([empty(INTEGRITY), *passed])}

    def stateful(self) -> dict[str, Stateful]:
        """What is remembered of single streams."""
        return {"continuity": self.parts.continuity, REPORT: self._report}
