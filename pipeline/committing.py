"""Commits beside the line: while one is being made durable, the next batches go through the stages.

What a commit holds is taken when it begins, in the line's own thread: files are cut, states packed. From there another
takes it through the steps in their order (files, ledger, one transaction, the signed head), one commit at a time.
Leaves go into the ledger with their commit; until then only their numbers are given out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from pipeline.core import faults
from pipeline.ledger.log import LeafBatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.core.model import Commit, Frames, Position
    from pipeline.core.ports import Detector, Stateful
    from pipeline.ledger.leaf import Leaves
    from pipeline.parts import Parts


BASELINES: Final = "baselines"


class Snapshots(Mapping[str, "Frames"]):
    """What parts remember, each taken when it is asked for: never the snapshots of all at once."""

    def __init__(self, take: Mapping[str, Callable[[], Frames]]) -> None:
        self._take = take

    def __getitem__(self, name: str) -> Frames:
        return self._take[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._take)

    def __len__(self) -> int:
        return len(self._take)


class Still:
    """Which parts remember just what the last commit has of them, and need not be taken again.

    Detectors of windows and the baselines learn when a window is whole, not with every commit; with many keys they are
    nearly all of what there would be to pack.
    """

    def __init__(self, detectors: Iterable[Detector]) -> None:
        self._rarely = {BASELINES, *(name_of(d) for d in detectors if d.info.cadence == "window")}
        self._still: set[str] = set()

    def all_moved(self) -> None:
        """Anything may differ from what was committed."""
        self._still.clear()

    def moved(self, detectors: Iterable[Detector], *, learned: bool) -> None:
        """These were shown a window; with `learned` the baselines took it in."""
        self._still -= {name_of(detector) for detector in detectors} | ({BASELINES} if learned else set())

    def left(self, parts: Mapping[str, Stateful]) -> dict[str, Stateful]:
        """The parts a commit that begins now has to take."""
        taken = {name: part for name, part in parts.items() if name not in self._still}
        self._still = self._rarely & parts.keys()
        return taken


def name_of(detector: Detector) -> str:
    """The name a detector's state is kept under."""
    return f"detector.{detector.info.name}"


class Committer:
    """Owns the thread, and the leaves that wait for their commit."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._pool = ThreadPoolExecutor(1, "keytrail-commit")
        self._under_way: Future[Sequence[Position]] | None = None
        self._leaves: list[Leaves] = []
        self._size = 0 if parts.ledger is None else parts.ledger.size  # with those that wait

    def add(self, leaves: Leaves) -> LeafBatch:
        """Number leaves; the next commit appends them."""
        first = self._size
        self._size += len(leaves)
        self._leaves.append(leaves)
        return LeafBatch(first, leaves.salts, leaves.entries)

    @property
    def under_way(self) -> bool:
        """Whether there is a commit whose end `settle` has not told."""
        return self._under_way is not None

    @property
    def ended(self) -> bool:
        """Whether it has ended, for better or worse."""
        return self._under_way is not None and self._under_way.done()

    def begin(self, commit: Commit) -> None:
        """Take what is to be committed and let the line go on. Only when none is under way."""
        assert self._under_way is None, "one commit at a time"  # noqa: S101  the line's own order
        cut = self._parts.lake.cut(commit)
        leaves, self._leaves = self._leaves, []
        self._size += bool(commit.expired)  # the record of what expired is a leaf, too
        self._under_way = self._pool.submit(self._through, commit, cut, leaves)

    def settle(self) -> Sequence[Position]:
        """Wait for the commit under way: the positions that are safe with it. Raises what it ran into."""
        if self._under_way is None:
            return ()
        ended = self._under_way
        ended.exception()
        self._under_way = None
        return ended.result()

    def wait(self) -> None:
        """Wait for the commit under way; `settle` still tells of it."""
        if self._under_way is not None:
            self._under_way.exception()

    def close(self) -> None:
        """End the thread. Raises what the last commit ran into, if nobody has been told."""
        try:
            self.settle()
        finally:
            self._pool.shutdown()

    def _through(self, commit: Commit, cut: Any, leaves: Sequence[Leaves]) -> Sequence[Position]:
        parts = self._parts
        with parts.metrics.commit_seconds.time():
            if parts.ledger is not None:
                for some in leaves:
                    parts.ledger.add(some)
                if commit.expired:
                    parts.ledger.expire(commit.expired, authority="store.retention_days")
            parts.lake.commit(commit, cut=cut)
            faults.point("line.after_commit")
            if parts.ledger is not None:
                parts.ledger.publish()
        now_ns = parts.clock()
        parts.metrics.last_commit.set(now_ns / 1e9)
        parts.metrics.delays(
            {
                m.alert_uid: max(now_ns / 1e9 - m.alert["last_time"].timestamp(), 0.0)  # a sum of these must not fall
                for m in commit.messages
                if m.revision == 1
            }
        )
        return commit.positions
