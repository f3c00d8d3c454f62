"""The counters' memory as frames, each row with the stream it belongs to, and back."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.integrity.scrapes import Scrape
from pipeline.integrity.tallies import Mark, Tally

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.core.model import Frames


@dataclass(slots=True)
class Book:
    """What was judged of one stream (µs): up to which scrape, the last one found in it, since when it is counted, what
    was told missing, since when it is proven."""

    judged_us: int = -1
    fenced_us: int = -1
    since: int = -1
    told: int = 0
    proven_us: int = -1


_NUMBER: Final = pl.Int64()
_TALLIES: Final = pl.Schema(
    {
        "source": pl.String(), "requests": _NUMBER, "responses": _NUMBER, "first_us": _NUMBER, "newest_us": _NUMBER,
        "starts": _NUMBER, "begins": pl.Boolean(), "started": pl.Boolean(), "name": pl.String(),
    }
)  # fmt: skip
_MARKS: Final = pl.Schema(
    {
        "source": pl.String(), "time": _NUMBER, "request": pl.String(), "phase": pl.String(), "requests": _NUMBER,
        "responses": _NUMBER, "position": _NUMBER, "file": pl.String(), "starts": _NUMBER,
    }
)  # fmt: skip
_BELOW: Final = pl.Schema({"source": pl.String(), "scrape": _NUMBER, "row": pl.List(_NUMBER)})
_BOOKS: Final = pl.Schema(
    {"source": pl.String(), **dict.fromkeys(("judged_us", "fenced_us", "since", "told", "proven_us"), _NUMBER)}
)
_SCRAPES: Final = pl.Schema(
    {
        "name": pl.String(), "start_us": _NUMBER, "end_us": _NUMBER, "process_start": pl.Float64(),
        "device": pl.String(), "phase": pl.String(), "calls": _NUMBER, "failures": _NUMBER,
    }
)  # fmt: skip

Below = dict[tuple[str, int | None], list[int]]


def packed(tallies: Mapping[str, Tally], books: Mapping[str, Book], timed: Sequence[Scrape]) -> dict[str, pl.DataFrame]:
    """Everything remembered: tallies, marks, below, books, scrapes."""
    held = [tallies[name] for name in sorted(tallies)]
    counted = [
        (s.name, s.start_us, s.end_us, s.process_start, device, phase, count, s.failures.get((device, phase)))
        for s in timed
        for (device, phase), count in s.calls.items()
    ]
    below = [
        (t.source, scrape.start_us, row)
        for t in held
        for scrape, row in zip(timed, t.below.tolist(), strict=False)
    ]  # fmt: skip
    return {
        "tallies": pl.DataFrame(
            [
                (t.source, t.requests, t.responses, t.first_us, t.newest_us, t.starts, t.begins, t.started, t.name)
                for t in held
            ],
            schema=_TALLIES,
            orient="row",
        ),
        "marks": pl.DataFrame([(t.source, *m) for t in held for m in t.marks], schema=_MARKS, orient="row"),
        "below": pl.DataFrame(below, schema=_BELOW, orient="row"),
        "books": pl.DataFrame([(n, *astuple(b)) for n, b in sorted(books.items())], schema=_BOOKS, orient="row"),
        "scrapes": pl.DataFrame(counted, schema=_SCRAPES, orient="row"),
    }


def unpacked(frames: Frames) -> tuple[dict[str, Tally], dict[str, Book], list[Scrape], Below]:
    """The opposite of `packed`; what stood before each scrape by stream and scrape."""
    tallies = {row["source"]: Tally(**row) for row in frames["tallies"].to_dicts()}
    for source, *mark in frames["marks"].iter_rows():
        tallies[source].marks.append(Mark(*mark))
    books = {source: Book(*numbers) for source, *numbers in frames["books"].iter_rows()}
    below = {(source, scrape): row for source, scrape, row in frames["below"].iter_rows()}
    scrapes: dict[int, Scrape] = {}
    for name, start, end, process, device, phase, calls, failures in frames["scrapes"].iter_rows():
        scrape = scrapes.setdefault(start, Scrape(name, start, end, process_start=process))
        scrape.calls[device, phase] = calls
        if failures is not None:
            scrape.failures[device, phase] = failures
    return tallies, books, list(scrapes.values()), below
