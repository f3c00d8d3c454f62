"""What keeps the lake small and its folders clean, between commits: nothing here can lose a committed row."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from pipeline.core import faults
from pipeline.core.clock import steady_clock
from pipeline.core.errors import StoreError
from pipeline.store.compact import Compactor
from pipeline.store.files import guarded, remove
from pipeline.store.retain import Retention
from pipeline.store.steps import DATA, STATE, Exchange, unmake
from pipeline.store.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pipeline.core.clock import Clock
    from pipeline.store.catalogue import Catalogue
    from pipeline.store.config import StoreConfig
    from pipeline.store.segment import Segment
    from pipeline.store.steps import Span, Steps

_HOUR_NS: Final = 3_600 * 10**9
_RETRY_NS: Final = 60 * 10**9
_DAY_US: Final = 86_400 * 10**6
_DAY_NS: Final = _DAY_US * 1000
_KEPT: Final = tuple(name for name, table in TABLES.items() if not table.passing)


class Upkeep:
    """Compaction, retention, removal. A failure is kept, counted, and tried again a minute later.

    What retention removes is gone for good, so a clock that goes forward by more than a day during a run is believed a
    day later. `steady` measures that.
    """

    def __init__(  # noqa: PLR0917
        self, lake: Path, config: StoreConfig, clock: Clock, catalogue: Catalogue, steps: Steps,
        steady: Clock = steady_clock,
    ) -> None:  # fmt: skip
        self._lake = lake
        self._config = config
        self._clock = clock
        self._catalogue = catalogue
        self._steps = steps
        self._retained_ns: int | None = None
        self._folded = False  # replacement rows, for the retention that is due
        self._failed_ns: int | None = None
        self._steady = steady
        self._ahead_ns, self._doubted_ns = clock() - steady(), 0  # of the clock before the steady one; until when
        self._pool = ThreadPoolExecutor(1, "keytrail-upkeep")
        self._aside: Future[None] | None = None
        self._ready: list[Exchange] | None = None  # what is made aside; None: exchanged at once
        self.failures = 0
        self.failure = ""

    def run(self, useless: Sequence[Path], *, stage: bool = False) -> None:
        """What is due after a commit; `useless` are files that nothing names.

        With `stage`, and where nobody else writes, it goes on in a thread of its own, which commits do not wait for.
        Files are then exchanged by a commit that comes after `take_up`, one kind of upkeep at a time: the lake never
        holds a file that its ledger does not name.
        """
        try:
            with guarded("removing state files"):
                remove(useless)
        except StoreError as failure:
            self._note(failure)
        if self._aside is not None:
            return
        if stage and self._steps.alone:
            self._ready = []
            self._aside = self._pool.submit(self._work)
        else:
            self._work()

    def take_up(self, *, wait: bool = False) -> None:
        """Has the next commit exchange what was made aside, if that is done by now. With `wait` it will be.

        When another worker has come meanwhile, who may have changed the same files, it is undone. Raises once what
        nobody foresaw.
        """
        if self._aside is None or not (wait or self._aside.done()):
            return
        unforeseen = self._aside.exception()
        ready, self._aside, self._ready = self._ready or [], None, None
        if unforeseen is None and self._steps.alone:
            self._steps.staged += ready
        else:
            unmake(self._lake, ready)
            self._retained_ns, self._folded = None, False
        if unforeseen is not None:
            raise unforeseen

    def discard(self) -> None:
        """Wait for what goes on aside, and undo it."""
        self.take_up(wait=True)
        self._steps.discard()

    def close(self) -> None:
        """The same, for good."""
        try:
            self.discard()
        finally:
            self._pool.shutdown()

    def _work(self) -> None:
        now_ns = self._clock()
        if _within(_RETRY_NS, self._failed_ns, now_ns):
            return
        failures = self.failures
        try:
            self.expire(now_ns)
            self.compact()
            if not self._ready:
                self._retain(now_ns)
            if self.failures == failures:  # else something failed in the commit meanwhile
                self.failure = ""
        except StoreError as failure:
            if self._ready:
                unmake(self._lake, self._ready)
                self._ready.clear()
            self._folded = False
            self._note(failure)

    def _note(self, failure: StoreError) -> None:
        self.failures += 1
        self.failure = str(failure)
        self._failed_ns = self._clock()

    def _swap(self, dropped: Sequence[str], added: Sequence[Segment], owner: str, digests: Mapping[str, str]) -> bool:
        return self._swap_all(dropped, {owner or self._steps.worker: added}, {}, digests)

    def _swap_all(
        self, dropped: Sequence[str], added: Mapping[str, Sequence[Segment]], expired: Mapping[str, Sequence[Span]],
        digests: Mapping[str, str],
    ) -> bool:  # fmt: skip
        """As `Steps.swap_all`, or later; then the ledger is told of the digests, too."""
        if self._ready is not None:
            self._ready.append(Exchange(dropped, added, expired, digests=digests))
            return True
        return self._steps.swap_all(dropped, added, expired)

    def compact(self, *, everything: bool = False) -> int:
        """One pass over the tables that have come to a limit, or over all; the number of files replaced."""
        crowded = _KEPT if everything else self._crowded()
        compactor = Compactor(self._lake, self._config, self._steps.name, self._swap)
        replaced = 0
        if crowded:
            replaced = compactor.run(self._catalogue.files(*crowded), everything=everything)
            faults.point("store.compact.committed")
        return replaced

    def retain(self, cut_us: int) -> int:
        """Removes what is older than `cut_us`. Replacement rows are folded in first, so that they age with the rest."""
        self._fold()
        return self._forget(cut_us)

    def expire(self, now_ns: int) -> int:
        """Deletes dropped files whose time is over."""
        with self._catalogue.reading() as sql:
            paths = [path for (path,) in sql.execute("SELECT path FROM removed WHERE until_ns <= ?", (now_ns,))]
        if paths:
            with guarded("removing files"):
                remove(self._lake / path for path in paths)
            faults.point("store.expired")
            with self._catalogue.changing() as sql:
                sql.executemany("DELETE FROM removed WHERE path = ?", [(path,) for path in paths])
        return len(paths)

    def _crowded(self) -> tuple[str, ...]:
        with self._catalogue.reading() as sql:
            rows = sql.execute(
                "SELECT tbl FROM files GROUP BY tbl HAVING count(*) FILTER (WHERE kind = 'revision') >= ? "
                "OR count(*) FILTER (WHERE kind = 'rows' AND rows < ? AND size < ?) > ?",
                (
                    self._config.fold_files,
                    self._config.small_rows,
                    self._config.small_bytes,
                    self._config.compact_files,
                ),
            ).fetchall()
        return tuple(name for (name,) in rows if not TABLES[name].passing)

    def _retain(self, now_ns: int) -> None:
        days = self._config.retention_days
        if days is None or _within(_HOUR_NS, self._retained_ns, now_ns):
            return
        self._believe(now_ns)
        if not self._folded:
            self._fold()
            self._folded = True
        if not self._ready:  # else once they are folded in; what comes meanwhile is folded and ages the next time
            self._forget(now_ns // 1000 - days * _DAY_US)
            self._retained_ns, self._folded = now_ns, False

    def _believe(self, now_ns: int) -> None:
        """Raises StoreError while the clock is not to be believed."""
        steady_ns = self._steady()
        leap_ns, self._ahead_ns = now_ns - steady_ns - self._ahead_ns, now_ns - steady_ns
        if leap_ns < -_DAY_NS:
            self._doubted_ns = 0
        elif leap_ns > _DAY_NS:
            self._doubted_ns = steady_ns + _DAY_NS
        if steady_ns < self._doubted_ns:
            raise StoreError("the clock went forward by more than a day: retention waits for a day to see it stay so")

    def _fold(self) -> None:
        operations = self._catalogue.files("operations")
        if any(file.segment.kind == "revision" for file in operations):
            Compactor(self._lake, self._config, self._steps.name, self._swap).run(operations, everything=True)

    def _forget(self, cut_us: int) -> int:
        holds = tuple(self._catalogue.holds().values())
        retention = Retention(self._lake, self._config, self._steps.name, cut_us, holds)
        replaced = retention.run(self._catalogue.files(), self._swap_all)
        faults.point("store.retain.committed")
        return replaced


def _within(span_ns: int, then_ns: int | None, now_ns: int) -> bool:
    """Whether it is so short a time ago. What lies ahead is so since the clock was set back, and does not count."""
    return then_ns is not None and 0 <= now_ns - then_ns < span_ns


def orphans(lake: Path, worker: str, catalogue: Catalogue) -> list[Path]:
    """Files of `worker` that no commit names: what a death between writing and committing left."""
    with catalogue.reading() as sql:
        named = {
            path
            for (path,) in sql.execute(
                "SELECT path FROM files UNION SELECT path FROM removed UNION SELECT path FROM states"
            )
        }
    made = [*lake.glob(f"{DATA}/*/*--{worker}.parquet"), *lake.glob(f"{STATE}/*--{worker}.arrows")]
    return [file for file in made if str(file.relative_to(lake)) not in named]
