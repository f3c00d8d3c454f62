"""The line: one batch through every stage, then the commit. Start reading here.

    raw         = source.poll()                 records with positions
    decoded     = decoder.decode(raw)           EVENT rows, and what is no event with its reason
    events      = enricher.resolve(decoded)     who asked, from which network
    released    = sequencer.release()           one canonical order over all streams
    paired      = pairing.push(released)        request + response -> operation
    verdicts    = continuity                    what the stream proves or belies of its own wholeness
    findings    = detectors                     each operation at once, each window when it is whole; then learn
    alerts      = router.push(findings)         fold, group, suppress, route
  1 lake.commit()                               rows, positions, state, outbox, ledger head: all or nothing
  2 outbox delivery                             idempotent by event id
  3 source.commit(positions)                    always last

Between poll and commit everything is a function of (batch, state, config): no clock, no I/O but the lake's own files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from pipeline import edition, handover, rows, suite
from pipeline.committing import BASELINES, Committer, Snapshots, Still, name_of
from pipeline.core import faults
from pipeline.core.clock import ALWAYS, NEVER
from pipeline.core.inline import inline
from pipeline.core.model import Commit, Position, Window
from pipeline.core.schema import CACHE, INTEGRITY, OPERATION, empty
from pipeline.integrity.pairing import of_others, of_store
from pipeline.integrity.topics import by_topic, told_by_topics
from pipeline.shares import Shares
from pipeline.told import Told
from pipeline.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.core.model import Decoded, Frames, RawBatch
    from pipeline.core.ports import Stateful
    from pipeline.handover import Place
    from pipeline.parts import Parts, Quiet, RecallPort, Taken


UPKEEP_ROUNDS = 3  # merging, folding and forgetting wait for each other; what is left over waits for the next commit
STRETCH = 20_000  # events that go through the stages behind the order together, about: calls for few cost as much
AUDITED = "vault"  # the store that writes by audit devices
TURN_US = 1_000_000  # event time goes this far past a turn, so that what is whole is handed on


class Line:
    """Owns the order of the stages and what is not committed yet."""

    def __init__(self, parts: Parts, positions: Sequence[Position]) -> None:
        self.parts = parts
        self.totals = Totals(parts.metrics)
        self.uncommitted_bytes = 0
        self._shares = Shares(positions, self.stateful)
        self._revise: dict[str, list[pl.DataFrame]] = {}
        self._live: Mapping[str, bool] = {}
        self._last_us = NEVER  # newest order_time released
        self._corrected: list[pl.DataFrame] = []  # corrections not committed yet, newest last
        self._dirty = False
        self._fresh = 0  # events that came since event time went on last
        self._verdicts: list[pl.DataFrame] = []  # on the streams, since then
        self._consumed: list[str] = []  # files that others passed on, judged since the last commit
        self._viewed_us = NEVER  # until when the baselines in the lake have learned
        self.recent: dict[str, Sequence[int]] = {}  # the last event times of each stream, µs, as the reader knew them
        self._commits = Committer(parts)
        self._still = Still(parts.detectors)
        self._telling = Told(parts, self.totals)
        parts.metrics.expect(detector.info.name for detector in parts.detectors)

    @inline
    def step(self, taken: Sequence[Taken]) -> None:
        """Batches of different streams, decoded together, through every stage up to the alerts."""
        leaves = None if self.parts.ledger is None else self._commits
        placed = [rows.place(one.sealed.result(), leaves) for one in taken]
        events = rows.events(taken[0].resolved.result(), taken, placed)
        self.parts.lake.write("raw", rows.raw(taken, placed))
        self.parts.lake.write("events", events)
        first = 0
        for one in taken:
            mine = events.slice(first, len(one.decoded.events))
            first += len(mine)
            self.recent[one.raw.stream] = one.recent
            self._live = one.live
            self._judge(one.raw.stream, mine, self._take_in(one.raw, one.decoded, mine))

    def _take_in(self, raw: RawBatch, decoded: Decoded, events: pl.DataFrame) -> pl.DataFrame:
        """Note what came of a stream; the verdicts on it. Needs nothing of other streams."""
        rejected = rows.rejected(raw, decoded, events, self._shares.newest.get(raw.stream))
        if len(events):
            self._shares.newest[raw.stream] = int(events["time"].to_physical()[-1])
        self.parts.lake.write("rejected", rejected)
        newest = self._shares.newest.get(raw.stream)
        verdicts = self.parts.continuity.stream(
            raw.stream, events, rejected, raw.fault, raw.file, raw.partition, raw.lost, newest
        )
        self._note(raw, decoded, rejected)
        return verdicts

    def _judge(self, stream: str, events: pl.DataFrame, verdicts: pl.DataFrame) -> None:
        """Everything that looks at all streams together."""
        if self.parts.whole:
            self.parts.counters.stream(stream, events)
        self._verdicts.append(verdicts)
        self._fresh += len(events)
        rest = self.parts.sequencer.push(stream, events)
        while len(rest):
            self._turn(stream, int(rest["time"].to_physical()[0]))
            rest = self.parts.sequencer.push(stream, rest)
        if self._fresh >= STRETCH:
            self._catch_up()

    def _catch_up(self) -> None:
        """Let event time go on as far as the streams allow it."""
        if self._verdicts:
            self.advance(self.parts.sequencer.watermark(self._live))

    def _turn(self, stream: str, to_us: int) -> None:
        """A clock was set back to `to_us` for good: what came before is over, event time goes on from there."""
        parts = self.parts
        self.advance(parts.sequencer.progress()[stream] + TURN_US)
        findings = [rows.no_findings()]
        findings += [self._watch(window) for window in parts.windows.turn()]
        self._route(pl.concat(findings), self._last_us, hold=True)
        for part in (parts.pairing, parts.devices, parts.slis, parts.baselines):
            part.turn(to_us)
        self._still.all_moved()
        self._last_us = to_us

    def advance(self, watermark: int, *, final: bool = False) -> None:
        """Let everything with memory see what no stream can still precede. `watermark` is event time in µs."""
        for mark in self.parts.sequencer.marks(watermark, STRETCH):
            self._advance(mark, final=False)
        self._advance(watermark, final=final)

    def _advance(self, watermark: int, *, final: bool) -> None:
        parts = self.parts
        verdicts, self._verdicts, self._fresh = self._verdicts, [], 0
        released = parts.sequencer.release(watermark)
        paired = parts.pairing.push(released, watermark)
        # What a device must hold to is known of this store alone: others write late, again, and in no order.
        written, own = of_store(released, AUDITED), paired.of(AUDITED)
        seen = pl.concat(
            [
                empty(INTEGRITY),
                *verdicts,
                parts.clocks.push(written, own, watermark),
                parts.continuity.operations(own),
                parts.devices.push(own, written.filter("probe")),
                parts.canaries.push(self._counted(released), watermark),
                parts.counters.judge(watermark),
                *((parts.devices.finish(), parts.continuity.finish()) if final else ()),
            ]
        )
        if len(released):
            self._last_us = max(self._last_us, int(released["order_time"].to_physical().to_numpy()[-1]))
        parts.lake.write("operations", paired.operations)
        self._corrected.append(paired.changed)
        self._replace("operations", paired.changed)
        self._replace("integrity", seen)
        vouched = pl.concat([parts.canaries.evidence(), parts.counters.evidence()])
        told = paired.operations if parts.whole else told_by_topics(paired.operations)
        self._replace("coverage", parts.coverage.push(told, seen if parts.whole else by_topic(seen), vouched))
        reached = self._last_us if watermark >= ALWAYS else watermark
        asked = of_others(paired.operations, CACHE)  # what a cache is asked is no access to a store
        findings = [self._inspect(self._chunk(asked, seen), "operation")]
        findings += [self._watch(window) for window in parts.windows.push(asked, reached)]
        if final and (current := parts.windows.current()) is not None:
            findings.append(self._watch(current))
        findings.append(self._slis(parts.slis.push(paired.operations, reached)))
        self._route(pl.concat(findings), reached, hold=not final)
        self._count(paired.operations, seen)

    def _counted(self, released: pl.DataFrame) -> pl.DataFrame:
        """The events under the names of their devices; of topics, the lines are counted here."""
        if self.parts.whole:
            return released
        devices = by_topic(released)
        for (name,), lines in devices.group_by("source", maintain_order=True):
            self.parts.counters.stream(str(name), lines)
        return devices

    @inline
    def finish(self) -> None:
        """The streams have ended: pair what waits, judge the open window without learning from it."""
        self.parts.sequencer.confirm()
        self.advance(ALWAYS, final=True)
        self._note_slis(self.parts.slis.flush())

    def heard(self, quiet: Quiet) -> None:
        """Nothing came for a moment."""

    @inline
    def idle(self, seconds: float) -> None:
        """Nothing came for `seconds`: event time goes on by as much, and holds nobody back."""
        self.parts.sequencer.confirm()  # the first entries of a stream wait for this, too
        newest = max(self.parts.sequencer.progress().values(), default=NEVER)
        if newest > NEVER:
            self.advance(newest + int(seconds * 1e6))

    def recall(self, lake: RecallPort, ids: pl.Series, low_us: int, high_us: int) -> pl.DataFrame:
        """Operations handed on before, the newest version of each; the lake knows all but the last corrections."""
        self._commits.wait()  # what it holds is in the lake then, and no more in the way
        stored = lake.recall(ids, low_us, high_us)
        held = [frame.filter(pl.col("correlation_uid").is_in(ids.implode())) for frame in self._corrected]
        return pl.concat([stored.select(OPERATION.names()), *held]).unique("uid", keep="last", maintain_order=True)

    def last_request(self, taken: Sequence[Any]) -> object:
        """The id of the last request in what was taken."""
        events = taken[-1].decoded.events
        return events["correlation_uid"][-1] if len(events) else None

    @property
    def dirty(self) -> bool:
        """Whether something waits for a commit, or for the end of one."""
        return self._dirty or self._commits.under_way

    @property
    def known_until_us(self) -> int:
        """Operations up to this time may stand in the lake already."""
        return self._last_us

    def commit(self, *, wait: bool = True) -> Sequence[Position]:
        """Begin to make everything since the last commit durable at once; gives the positions that are safe by now.

        With `wait` that is all of it, and what the lake's upkeep then changes is told by the ledger in further commits.
        """
        safe = self.settle()
        begun = self._begin()
        for _ in range(UPKEEP_ROUNDS if wait else 0):
            safe = self.settle() or safe
            self.parts.lake.take_up(wait=True)
            if not begun or self.parts.ledger is None or not self.parts.lake.unsealed():
                break
            begun = self._begin()
        return (self.settle() if wait else ()) or safe

    def settle(self) -> Sequence[Position]:
        """Wait for the commit under way, if there is one: the positions that are safe with it. Raises its failure."""
        return self._commits.settle()

    def close(self) -> None:
        """Wait for the commit under way; raises its failure."""
        self._commits.close()

    @property
    def settled(self) -> bool:
        """Whether a commit has ended that `settle` has not told of yet."""
        return self._commits.ended

    @property
    def committing(self) -> bool:
        """Whether a commit is under way."""
        return self._commits.under_way

    @inline
    def _begin(self) -> bool:
        parts = self.parts
        self._catch_up()
        parts.lake.take_up(wait=False)
        expired = parts.lake.expired() if parts.ledger is not None else []
        if not (self._dirty or expired or (parts.ledger is not None and parts.lake.unsealed())):
            return False
        faults.point("line.before_commit")
        revise = {table: pl.concat(frames) for table, frames in self._revise.items()}
        positions = self._shares.positions()
        snapshot = {}
        if parts.baselines.learned_until_us != self._viewed_us:
            self._viewed_us = parts.baselines.learned_until_us
            snapshot[BASELINES] = parts.baselines.view()
        take = {name: part.snapshot for name, part in self._still.left(self.stateful()).items()}
        take |= {"line": self.snapshot, "set_aside": self._shares.set_aside}
        take[edition.PART] = edition.written
        seal = parts.ledger.telling(positions, self._shown(revise)) if parts.ledger is not None else None
        consumed, messages = tuple(self._consumed), self._telling.take()
        self._commits.begin(
            Commit(
                positions, revise, snapshot, Snapshots(take), messages, expired=expired, seal=seal, consumed=consumed
            )
        )
        self._revise, self._corrected = {}, []
        self._shares.committed()
        self._consumed = []
        self._dirty, self.uncommitted_bytes = False, 0
        return True

    def _shown(self, revise: Frames) -> Frames:
        """What a commit's verdicts say of what was read, for the ledger."""
        return revise

    def stateful(self) -> dict[str, Stateful]:
        """Every part with memory, by the name its state is kept under."""
        parts = self.parts
        named: dict[str, Any] = {
            "order": parts.sequencer, "pairing": parts.pairing, "continuity": parts.continuity,
            "clocks": parts.clocks, "devices": parts.devices, "canaries": parts.canaries, "counters": parts.counters,
            "coverage": parts.coverage,
            "windows": parts.windows, "baselines": parts.baselines, "slis": parts.slis, "router": parts.router,
        }  # fmt: skip
        named |= {name_of(d): d for d in parts.detectors if hasattr(d, "snapshot")}
        return named

    def snapshot(self) -> Frames:
        """The line's own memory."""
        newest = {"stream": list(self._shares.newest), "time_us": list(self._shares.newest.values())}
        return {
            "newest": pl.DataFrame(newest, schema={"stream": pl.String, "time_us": pl.Int64}),
            "told": self._telling.snapshot(),
            "recent": pl.DataFrame(
                {"stream": list(self.recent), "times_us": [list(times) for times in self.recent.values()]},
                schema={"stream": pl.String, "times_us": pl.List(pl.Int64)},
            ),
            "last": pl.DataFrame({"time_us": [self._last_us]}, schema={"time_us": pl.Int64}),
            "places": handover.places(self._shares.here.values()),
        }

    def restore(self, states: Mapping[str, Frames]) -> None:
        """Continue from the states of the last commit."""
        if "line" in states:
            self._shares.newest = dict(states["line"]["newest"].iter_rows())
            self._telling.restore(states["line"]["told"])
            self._last_us = int(states["line"]["last"]["time_us"][0])
            self.recent = dict(states["line"]["recent"].iter_rows())
        for name, part in self.stateful().items():
            if name in states:
                part.restore(states[name])
        self._still.all_moved()
        self.totals.exported.known_until_us = self.parts.slis.closed_until_us

    def resume(self, states: Mapping[str, Frames]) -> None:
        """Continue, with partitions that may have moved meanwhile: theirs is set aside until `take_over`."""
        self.restore(states)
        self._shares.resume(states)

    def give_up(self, place: Place) -> None:
        """A partition leaves this process. The next commit is the last to move it, and keeps its state for the next."""
        self._catch_up()
        self._live = {name: more for name, more in self._live.items() if name != place[0]}
        self._dirty |= self._shares.give_up(place)

    def take_over(self, position: Position, states: Mapping[str, Frames] | None) -> None:
        """A partition comes, to be read on from `position`. `states` are those of the worker it came from; None: ours.

        The next commit claims it.
        """
        self._shares.take_over(position, states)
        if self.parts.ledger is not None:
            self.parts.ledger.taken(position, ours=states is None)
        if states is not None:
            self.parts.pairing.lake_until_us = max(self.parts.pairing.lake_until_us, handover.known_until(states))
        self._dirty = True

    def forget(self, others: Iterable[Place]) -> None:
        """Others own these partitions now: what was set aside for whoever came is of no more use."""
        self._shares.forget(others)

    def _chunk(self, operations: pl.DataFrame, verdicts: pl.DataFrame) -> Window:
        return suite.chunk(operations, verdicts, self.parts.baselines)

    def _inspect(self, window: Window, cadence: str) -> pl.DataFrame:
        return suite.inspect(self.parts.detectors, window, cadence, self.parts.baselines)

    def _watch(self, window: Window) -> pl.DataFrame:
        """What is odd in a window; one that is whole is then learned from."""
        found = self._inspect(window, "window")
        if window.closed:
            self.parts.baselines.learn(window)
        self._still.moved(suite.asked(self.parts.detectors, window, "window"), learned=window.closed)
        return found

    def _route(self, findings: pl.DataFrame, watermark: int, *, hold: bool) -> None:
        self._replace("alerts", self._telling.route(findings, watermark, hold=hold))

    def _replace(self, table: str, frame: pl.DataFrame) -> None:
        if len(frame):
            self._revise.setdefault(table, []).append(frame)
            self._dirty = True

    def _slis(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Note SLI rows, and what the detectors find in those of closed windows."""
        self._note_slis(frame)
        return suite.slis(self.parts.detectors, frame, self.parts.baselines)

    def _note_slis(self, frame: pl.DataFrame) -> None:
        self._replace("slis", frame)
        self.totals.measured(frame)

    def _note(self, raw: RawBatch, decoded: Decoded, rejected: pl.DataFrame) -> None:
        offset = raw.lost.resume if raw.lost is not None else None
        if len(raw):
            offset = int(raw.after[decoded.consumed - 1]) if decoded.consumed else int(raw.positions[0])
        if offset is not None:
            self._shares.here[raw.stream, raw.partition] = Position(raw.stream, raw.partition, offset, dict(raw.state))
        size = int(decoded.pieces.ends[-1] - decoded.pieces.starts[0]) if len(decoded.pieces.starts) else 0
        pieces = len(decoded.pieces.starts) - len(decoded.brackets)
        self.uncommitted_bytes += size
        self._dirty = True
        self.totals.took(pieces, size, rejected)

    def _count(self, operations: pl.DataFrame, verdicts: pl.DataFrame) -> None:
        self.totals.judged(operations, verdicts)
        if self._last_us > NEVER:
            self.parts.metrics.last_event.set(self._last_us / 1e6)
