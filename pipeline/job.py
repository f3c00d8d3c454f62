"""One run of the main job: take, step, commit, deliver, until the input ends or somebody stops it."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from pipeline import config as conf
from pipeline import edition, named, summary
from pipeline.app import App
from pipeline.core import heap
from pipeline.core.clock import Spaced, system_clock
from pipeline.core.errors import FencedError, ReplacedError, StoreError
from pipeline.core.model import Handover
from pipeline.core.ports import Hearing, Lagging
from pipeline.ledger.cosigning import Cosigning
from pipeline.ledger.sealed import SealedLedger
from pipeline.parts import Quiet
from pipeline.pausing import Pause
from pipeline.routing import Deliverer, OutboxConfig
from pipeline.store import Lake, StoreConfig, room

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.app import RunOptions
    from pipeline.core.clock import Clock
    from pipeline.core.model import Position
    from pipeline.core.ports import Source
    from pipeline.line import Line

FENCED_MAX = 100  # a group that takes partitions from each other so often will not come to rest
REST_SECONDS = 3600.0  # without that it has come to rest, and the count begins anew
FRESH_SECONDS = 0.1  # what was so longer ago need not be so any more
DRAIN_SECONDS = 10.0  # how long a run that ends waits for its sinks; the rest stays in the outbox


class Run:
    """One run of the main job, from open lake to summary."""

    def __init__(self, options: RunOptions, settings: conf.Settings, clock: Clock = system_clock) -> None:
        self.options, self.settings, self.clock = options, settings, clock
        self._app = App(options, settings, clock)
        self.line_config = self._app.line_config
        self.stopping = False
        self.undelivered: dict[str, int] = {}
        self.fenced = 0  # how often this run began again because a partition, or a file to merge, was another's
        self._unrest, self._fenced_at = 0, 0.0
        self._gauging = Spaced()
        self._cosigning: Cosigning | None = None
        self._pause: Pause | None = None
        self.notes = self._app.notes  # what the person who started the run should know besides the summary

    def execute(
        self, progress: Callable[[Line], None] | None = None, tell: Callable[[str], None] = lambda _: None
    ) -> dict[str, Any]:
        """Read to the end (or until stopped), committing as it goes. Gives the summary. Raises KeytrailError.

        `tell` is given at once what the person who started the run should know before its end.
        """
        started = time.monotonic()
        heap.give_back()
        while True:
            try:
                return self._session(started, progress, tell)
            except (FencedError, ReplacedError) as error:
                self._begin_again(error)
                continue
            except (StoreError, OSError) as error:
                if not (self._waits_for_room and room.is_full(error, self.options.lake)):
                    raise
                full = str(error)  # the error itself would keep all that was open
            self._pause = self._pause or Pause(self.options.lake, self._app.metrics, tell, lambda: self.stopping)
            if not self._pause.wait(full):
                raise StoreError(f"stopped while the disk is full; the next run goes on from the last commit: {full}")

    def _begin_again(self, error: FencedError | ReplacedError) -> None:
        """What is not committed is read again, or another has read on from there. Raises what cannot be begun again."""
        repeatable = self.options.kafka if isinstance(error, FencedError) else self._rereads
        if not repeatable or self.stopping:
            raise error
        self.fenced += 1
        now = time.monotonic()
        self._unrest = 1 if now - self._fenced_at > REST_SECONDS else self._unrest + 1
        self._fenced_at = now
        if self._unrest > FENCED_MAX:
            raise error

    @property
    def _rereads(self) -> bool:
        """Whether what was read and not committed can be read again: what came out of a pipe cannot."""
        return self.options.paths != ("-",)

    @property
    def _waits_for_room(self) -> bool:
        return self.options.follow and self._rereads and not self.stopping

    def _session(
        self, started: float, progress: Callable[[Line], None] | None, tell: Callable[[str], None]
    ) -> dict[str, Any]:
        """From the last commit to the end of the run, or to where another worker turns out to have gone on."""
        options = self.options
        with Lake.open(
            options.lake,
            self.settings.table(StoreConfig, "store"),
            writer=True,
            clock=self.clock,
            worker=options.worker,
            inherit=not options.reads_only,
        ) as lake:
            positions = lake.positions()
            sinks = named.build_sinks(self.settings)
            lake.set_sinks(tuple(sinks))
            deliverer = Deliverer(lake, sinks, self.settings.table(OutboxConfig, "outbox"), self.clock)
            source = self._app.source(lake, positions)
            if missing := getattr(source, "waits_for", ""):
                tell(f"{missing}; waiting for the first log")
            if options.listen:
                tell(f"listening on {', '.join(source.streams())}")
            try:
                line = self._app.line(lake, source, positions)
                try:
                    if isinstance(line.parts.ledger, SealedLedger):
                        self._cosigning = Cosigning(line.parts.ledger.entries)
                    if self.options.follow:
                        deliverer.start()
                    self._loop(line, source, progress, deliverer, lake)
                finally:
                    line.close()
            finally:
                source.close()
                deliverer.close()
                if self._cosigning is not None:
                    self._cosigning.close()
            self.undelivered = {name: depth for name in sinks if (depth := lake.depth(name))}
            self.notes += summary.notes(source, line, lake, self.undelivered)
        return summary.summary(line, time.monotonic() - started)

    def stop(self) -> None:
        """Finish what was taken, commit it and end."""
        self.stopping = True

    def _loop(
        self, line: Line, source: Source, progress: Callable[[Line], None] | None, deliverer: Deliverer, lake: Lake
    ) -> None:
        last_commit = last_news = time.monotonic()
        with closing(self._app.reader(source, line, lake).batches()) as batches:
            for taken in batches:
                now = time.monotonic()
                if self._act(line, source, taken, now - last_news, lake, deliverer):
                    last_news = now
                if line.settled:
                    self._settle(line, source, deliverer)
                seconds = self.line_config.commit_seconds
                due = now - last_commit > seconds and not (seconds and line.committing)
                if due or line.uncommitted_bytes > self.line_config.commit_bytes:
                    self._commit(line, source, deliverer, wait=False)
                    last_commit = time.monotonic()
                deliverer.check()
                self._gauge(line, source, deliverer, lake)
                if progress is not None:
                    progress(line)
                self._make_room(line, source, deliverer, lake)
                if self.stopping:
                    break
        if not (self.options.follow or self.stopping):
            line.finish()
        self._commit(line, source, deliverer)
        if self._cosigning is not None:
            self._cosigning.finish(DRAIN_SECONDS)
            self.notes += [f"witness {name} did not sign: {why}" for name, why in self._cosigning.refused.items()]
        if not self.options.follow:
            deliverer.drain(DRAIN_SECONDS)

    def _make_room(self, line: Line, source: Source, deliverer: Deliverer, lake: Lake) -> None:
        """Take in nothing while the outbox is full. A run that does not follow has no threads that deliver: it does so
        here, and raises StoreError where nothing leaves for `DRAIN_SECONDS`.
        """
        if not deliverer.blocked:
            return
        line.parts.metrics.pausing("outbox", now=True)
        try:
            self._deliver_some(line, source, deliverer, lake)
        finally:
            line.parts.metrics.pausing("outbox", now=False)

    def _deliver_some(self, line: Line, source: Source, deliverer: Deliverer, lake: Lake) -> None:
        moved = time.monotonic()
        while not self.stopping and deliverer.blocked:
            if not self.options.follow and deliverer.step():
                moved = time.monotonic()
            elif not self.options.follow and time.monotonic() - moved > DRAIN_SECONDS:
                stuck = ", ".join(deliverer.waiting())
                raise StoreError(
                    f"the outbox is full ([outbox] max_bytes), and nothing of it can be delivered to {stuck}"
                )
            else:
                time.sleep(0.1)
            deliverer.check()
            self._gauge(line, source, deliverer, lake)

    def _act(  # noqa: PLR0917
        self, line: Line, source: Source, taken: Any, quiet_seconds: float, lake: Lake, deliverer: Deliverer
    ) -> bool:
        """What the reader handed over, through the line; whether it was news."""
        if isinstance(taken, Handover):
            self._hand_over(line, source, taken, lake, deliverer)
            return False
        if isinstance(taken, Quiet):
            line.heard(taken)
            if self._pause is not None and not line.dirty:
                self._pause.over()
            if self.options.reads_only and not line.dirty and time.monotonic() - taken.at < FRESH_SECONDS:
                lake.beat()
            waited_for = any(taken.live.values())  # a stream that may still bring what comes before the others' newest
            if self.options.follow and not waited_for and quiet_seconds > self.line_config.idle_seconds:
                line.idle(quiet_seconds)
            return False
        begun = time.monotonic()
        line.step(taken)
        line.parts.metrics.batch(time.monotonic() - begun, line.last_request(taken))
        return True

    def _commit(self, line: Line, source: Source, deliverer: Deliverer, *, wait: bool = True) -> None:
        self._settle(line, source, deliverer)
        if self._cosigning is not None:
            self._cosigning.attach()
        self._told(line.commit(wait=wait), source, deliverer)

    def _settle(self, line: Line, source: Source, deliverer: Deliverer) -> None:
        """Hear how the commit under way ended, if there is one."""
        begun = line.committing
        self._told(line.settle(), source, deliverer)
        if begun and self._pause is not None:
            self._pause.over()

    def _told(self, safe: Sequence[Position], source: Source, deliverer: Deliverer) -> None:
        """What follows when a commit stands."""
        if self._cosigning is not None:
            self._cosigning.ask()
        if safe:
            deliverer.wake()
            source.commit(safe)

    def _gauge(self, line: Line, source: Source, deliverer: Deliverer, lake: Lake) -> None:
        """Once a second, what is told by the state of things and not by what happens; less often where that is long."""
        if self._gauging.due:
            with self._gauging.asking():
                self._measure(line, source, deliverer, lake)

    def _measure(self, line: Line, source: Source, deliverer: Deliverer, lake: Lake) -> None:
        metrics, circuits, now_ns = line.parts.metrics, deliverer.open_circuits(), self.clock()
        if isinstance(source, Hearing):
            metrics.listening(source.heard())
        if isinstance(source, Lagging):
            metrics.lag.set(sum(source.lag_entries().values()))
        for name, counts in deliverer.counts.items():
            oldest = lake.oldest_ns(name)
            age = 0.0 if oldest is None else max((now_ns - oldest) / 1e9, 0.0)  # the clock may have been set back
            done = {"delivered": counts.delivered, "dead": counts.dead, "failed": counts.failed}
            metrics.outbox(name, lake.depth(name), age, done, circuit=name in circuits)

    def _hand_over(self, line: Line, source: Any, moved: Handover, lake: Lake, deliverer: Deliverer) -> None:
        """Partitions move: what was read of them is committed, then they are let go of, or taken over and claimed."""
        for place in moved.gone:
            line.give_up(place)
        self._commit(line, source, deliverer)
        positions = {(p.stream, p.partition): p for p in lake.positions()}
        owners = lake.owners()
        me = self.options.worker
        line.forget(place for place, owner in owners.items() if owner != me and place not in moved.come)
        for place in moved.come:
            if place in positions:
                theirs = None if owners[place] == me else lake.states(owners[place])
                edition.check(theirs or {}, f"{place[0]}, by worker {owners[place]},")
                line.take_over(positions[place], theirs)
        self._commit(line, source, deliverer)
        source.handed_over(positions)
