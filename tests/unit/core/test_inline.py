"""Work called from within a query is the same work."""

from __future__ import annotations

import threading

import polars as pl
import pytest

from pipeline.core.inline import inline


@inline
def doubled(frame: pl.DataFrame, *, add: int = 0) -> tuple[int, int]:
    """The doubled sum, and the thread it was made in."""
    rows = frame.with_columns(pl.col("n") * 2).group_by("key", maintain_order=True).agg(pl.col("n").sum())
    return int(rows["n"].sum()) + add, threading.get_ident()


def test_result_arguments_and_thread() -> None:
    """Arguments go in, the result comes out, and no other thread ran it."""
    frame = pl.DataFrame({"key": ["a", "b", "a"], "n": [1, 2, 3]})
    assert doubled(frame, add=5) == (17, threading.get_ident())


@pytest.mark.parametrize("error", [KeyError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_what_is_raised_comes_out_as_it_is(error: BaseException) -> None:
    """Also within one another, and the next call works."""

    @inline
    def inner() -> None:
        raise error

    @inline
    def outer() -> None:
        inner()

    for call in (inner, outer):
        with pytest.raises(type(error)) as caught:
            call()
        assert caught.value is error
    assert doubled(pl.DataFrame({"key": ["a"], "n": [4]}))[0] == 8


def test_threads_do_not_disturb_each_other() -> None:
    """Two threads inside at once, each with queries of its own."""
    both = threading.Barrier(2, timeout=30)
    found: list[int] = []

    @inline
    def meet(n: int) -> None:
        both.wait()
        found.append(doubled(pl.DataFrame({"key": ["a"] * n, "n": range(n)}))[0])
        both.wait()

    threads = [threading.Thread(target=meet, args=(n,)) for n in (10, 100_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == [90, 9_999_900_000]
