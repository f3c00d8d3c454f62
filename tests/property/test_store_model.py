"""The lake against a plain dictionary, over any order of steps."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.store import Lake, StoreConfig, query
from tests.unit.store.store_frames import at, commit_of, events, operations, raw, slis

CONFIG = StoreConfig(
    publish_seconds=1e9, compact_files=2, fold_files=2, compact_rows=64, group_rows=7, keep_removed_seconds=0,
    keep_unpublished_seconds=0,
)  # fmt: skip

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(1, 25)),
        st.tuples(st.just("commit"), st.just(0)),
        st.tuples(st.just("correct"), st.integers(0, 60)),
        st.tuples(st.just("measure"), st.integers(0, 4)),
        st.tuples(st.just("compact"), st.just(0)),
        st.tuples(st.just("retain"), st.integers(0, 60)),
        st.tuples(st.just("reopen"), st.just(0)),
    ),
    min_size=1,
    max_size=14,
)


class Model:
    """What the lake should hold: event numbers, outcomes by operation number, sli values by hour."""

    def __init__(self) -> None:
        self.next = 0
        self.entries: set[int] = set()
        self.outcomes: dict[int, str] = {}
        self.slis: dict[int, float] = {}


class Pair:
    """The lake and its model, taken through the same steps."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.turn = 0
        self.model = Model()
        self.waiting: list[range] = []
        self.revise: dict[str, pl.DataFrame] = {}
        self.pending = Model()
        self.lake = self._open()

    def _open(self) -> Lake:
        return Lake.open(self.path, CONFIG, writer=True, clock=lambda: 1)

    def write(self, count: int) -> None:
        numbers = range(self.model.next, self.model.next + count)
        for name, frame in (("events", events(numbers)), ("operations", operations(numbers)), ("raw", raw(numbers))):
            self.lake.write(name, frame)
        self.model.next = numbers.stop
        self.pending.entries |= set(numbers)

    def correct(self, number: int) -> None:
        known = sorted(self.model.outcomes)
        if known:
            chosen = known[number % len(known)]
            self.pending.outcomes[chosen] = f"turn {self.turn}"

    def measure(self, hour: int) -> None:
        self.pending.slis[hour] = float(self.turn)

    def commit(self, _: int) -> None:
        pending, self.pending = self.pending, Model()
        revise = {}
        if pending.outcomes:
            revise["operations"] = pl.concat(
                [operations(range(n, n + 1)).with_columns(outcome=pl.lit(o)) for n, o in pending.outcomes.items()]
            )
        if pending.slis:
            revise["slis"] = pl.concat([slis(range(h, h + 1), good) for h, good in pending.slis.items()])
        self.lake.commit(commit_of(self.model.next, revise=revise))
        self.model.entries |= pending.entries
        self.model.outcomes |= {n: "success" for n in pending.entries if n % 2 == 0} | pending.outcomes
        self.model.slis |= pending.slis

    def compact(self, _: int) -> None:
        self.lake.compact()

    def retain(self, number: int) -> None:
        """Pending corrections of what is forgotten would bring it back: they are committed first, as the line does."""
        self.commit(0)
        self.lake.retain(at(number))
        self.model.entries = {n for n in self.model.entries if n >= number}
        self.model.outcomes = {n: o for n, o in self.model.outcomes.items() if n >= number}

    def reopen(self, _: int) -> None:
        """Rows that were not committed are gone, and are read again."""
        self.lake.close()
        self.lake = self._open()
        self.pending = Model()
        self.model.next = sum(place.offset for place in self.lake.positions())

    def check(self) -> None:
        for table in ("events", "raw"):
            found = query(self.path, f"SELECT leaf_index FROM {table} ORDER BY 1")["leaf_index"].to_pylist()
            assert found == sorted(self.model.entries)
        found = query(self.path, "SELECT epoch_us(time) AS t, outcome FROM operations ORDER BY 1").to_pylist()
        assert [(row["t"], row["outcome"]) for row in found] == [
            (at(n), o) for n, o in sorted(self.model.outcomes.items())
        ]
        values = query(self.path, "SELECT good FROM slis ORDER BY window_start")["good"].to_pylist()
        assert values == [value for _, value in sorted(self.model.slis.items())]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_the_lake_equals_a_dictionary(steps: list[tuple[str, int]]) -> None:
    """Whatever the order of writes, commits, corrections, compactions, retention and reopening, the views are right."""
    with tempfile.TemporaryDirectory() as folder:
        pair = Pair(Path(folder) / "lake")
        try:
            for pair.turn, (step, number) in enumerate(steps):
                getattr(pair, step)(number)
            pair.check()
            pair.commit(0)
            pair.check()
            assert pair.lake.upkeep_failure == ""
        finally:
            pair.lake.close()
