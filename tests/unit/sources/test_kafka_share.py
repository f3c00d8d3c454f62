"""How much of each partition goes into a batch: all of them come equally far in event time."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sources.kafka.share import Share

SIZE: Final = 1 << 20
HOUR: Final = 3_600_000_000


class Logs:
    """Streams of steady rates (bytes a second), read by what a Share says; `at` is how far each is, in µs."""

    def __init__(self, rates: dict[str, int], at: dict[str, int] | None = None) -> None:
        self.rates = rates
        self.at = at or dict.fromkeys(rates, 0)
        self.share = Share(SIZE)

    def read(self) -> dict[str, int]:
        """One batch: the bytes taken of each stream."""
        self.share.learn(self.at)
        sizes = self.share.sizes(sorted(self.rates, key=lambda name: (self.at[name], name)))
        for name, size in sizes.items():
            self.share.took(name, size)
            self.at[name] += size * 1_000_000 // self.rates[name]
        return sizes

    @property
    def ahead(self) -> float:
        """How much lies ahead of the stream that is furthest behind, in batches."""
        first = min(self.at.values())
        return sum((at - first) * self.rates[name] for name, at in self.at.items()) / 1e6 / SIZE


def test_of_the_unknown_all_get_the_same() -> None:
    """Before anything is known of their rates, streams share alike, and all of it."""
    assert Share(SIZE).sizes(["a", "b", "c", "d"]) == dict.fromkeys("abcd", SIZE // 4)


@given(st.lists(st.integers(1_000, 1_000_000), min_size=1, max_size=8))
def test_streams_come_to_lie_together(rates: list[int]) -> None:
    """Whatever their rates, after some batches little more than one batch lies ahead of the last of them."""
    logs = Logs({f"{number}": rate for number, rate in enumerate(rates)})
    for _ in range(60):
        logs.read()
    assert logs.ahead < 1.2


def test_who_is_ahead_waits() -> None:
    """A stream an hour ahead gets nothing until the others have come up to it."""
    logs = Logs({"a": 10_000, "b": 10_000}, {"a": HOUR, "b": 0})
    logs.read()
    while logs.at["b"] < logs.at["a"] - 60_000_000:
        assert "a" not in logs.read() or logs.at["b"] > logs.at["a"] - 200_000_000
    assert set(logs.read()) == {"a", "b"}


def test_a_batch_is_about_full() -> None:
    """Shares come to the size of a batch, however rates differ."""
    logs = Logs({"a": 1_000, "b": 90_000, "c": 500})
    for _ in range(5):
        logs.read()
    assert sum(logs.read().values()) == pytest.approx(SIZE, rel=0.1)


@given(st.dictionaries(st.sampled_from("abcd"), st.integers(-HOUR, HOUR), min_size=1))
def test_the_furthest_behind_is_always_read(jumps: dict[str, int]) -> None:
    """Whatever the clocks of the streams do, the first one gets something, and nobody less than nothing."""
    share = Share(SIZE)
    names, at = list("abcd"), dict.fromkeys("abcd", 0)
    for _ in range(4):
        share.learn(at)
        sizes = share.sizes(names)
        assert sizes[names[0]] > 0
        assert all(size > 0 for size in sizes.values())
        for name, size in sizes.items():
            share.took(name, size)
        at = {name: at[name] + jumps.get(name, 1_000) for name in names}
        names.sort(key=at.__getitem__)
