"""Looks at a window that goes on: when somebody does far more than ever, and the same however the stream is cut."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from detectors import denials
from pipeline import suite
from pipeline.baselines import Baselines, Config
from pipeline.core.model import Window
from pipeline.core.schema import INTEGRITY, OPERATION, empty
from pipeline.windows import Windows, count

if TYPE_CHECKING:
    from pipeline.core.model import Frames

HOUR, MINUTE = 3_600_000_000, 60_000_000


def operations(
    times_us: np.ndarray, who: str, secrets: int = 1, outcome: str = "success", **given: str
) -> pl.DataFrame:
    """OPERATION rows of one principal at these times, over so many secrets of a `folder` in turn, from a `zone`.

    Reads, where no other `operation` is given.
    """
    folder, zone = given.get("folder", "kv/app/"), given.get("zone", "10.1.2.0/24")
    count = len(times_us)
    return pl.DataFrame(
        {
            "uid": [f"{who}-{at}" for at in times_us.tolist()],
            "complete_time": times_us,
            "time": times_us,
            "principal": [who] * count,
            "secret": [f"{folder}{i % secrets}" for i in range(count)],
            "zone": [zone] * count,
            "operation": [given.get("operation", "read")] * count,
            "outcome": [outcome] * count,
        }
    ).select(
        pl.col(name).cast(kind) if name in ("complete_time", "time") else pl.col(name)
        if name in ("uid", "principal", "secret", "operation", "outcome", "zone") else pl.lit(None, kind).alias(name)
        for name, kind in OPERATION.items()
    )  # fmt: skip


def spread(hour: float, minutes: float, count: int) -> np.ndarray:
    """That many moments, evenly from `hour` on."""
    return (hour * HOUR + np.arange(count) * minutes * MINUTE / count).astype(np.int64)


def told(windows: Windows, rows: pl.DataFrame, watermark_us: int) -> list[tuple[int, int | None, int]]:
    """Start in hours, minute of the look, operations of each window."""
    return [
        (w.start_us // HOUR, None if w.looked_us is None else (w.looked_us - w.start_us) // MINUTE,
         int(w.operations["n"].sum()))
        for w in windows.push(rows, watermark_us)
    ]  # fmt: skip


def in_order(*parts: pl.DataFrame) -> pl.DataFrame:
    return pl.concat(parts).sort("complete_time", "uid")


DAYS = 4  # of quiet: before two, everything is new, and before three, everything somebody does
LAST = 24 * DAYS
QUIET = [operations(spread(hour, 60, 30), "approle/shop", 5) for hour in range(LAST)]


@cache
def quiet() -> Frames:
    """The state after days of quiet, in which nothing was looked at."""
    windows = Windows(3600, 300)
    assert told(windows, in_order(*QUIET), LAST * HOUR) == [(hour, None, 30) for hour in range(LAST)]
    return windows.snapshot()


def after_quiet() -> Windows:
    windows = Windows(3600, 300)
    windows.restore(quiet())
    return windows


def shown(*burst: pl.DataFrame) -> list[tuple[int | None, int]]:
    """After days of quiet: minute of the look, and operations, of what is shown of the next hour."""
    every = told(after_quiet(), in_order(*burst), (LAST + 1) * HOUR)
    assert {hour for hour, _, _ in every} == {LAST}
    return [(minute, count) for _, minute, count in every]


def test_what_is_usual_is_not_looked_at() -> None:
    """As many as in the hours before, however they are spaced."""
    assert shown(operations(spread(LAST, 4, 42), "approle/shop", 5)) == [(None, 42)]


@pytest.mark.parametrize(
    ("burst", "count"),
    [
        (operations(spread(LAST + 0.1, 3, 80), "approle/shop", 5), 80),
        (operations(spread(LAST + 0.1, 3, 20), "approle/shop", 20), 20),
        (operations(spread(LAST + 0.1, 3, 12), "approle/shop", 5, "denied"), 12),
        (operations(spread(LAST + 0.1, 3, 12), "approle/shop", 5, "not_found"), 12),
        (operations(spread(LAST + 0.1, 3, 2), "approle/shop", 1, "denied"), 2),
        (operations(spread(LAST + 0.1, 3, 1), "approle/shop", folder="kv/other/"), 1),
        (operations(spread(LAST + 0.1, 3, 1), "approle/shop", zone="203.0.113.0/24"), 1),
        (operations(spread(LAST + 0.1, 3, 12), "approle/newcomer", 12), 12),
    ],
)
def test_far_more_than_ever_is_shown_within_five_minutes(burst: pl.DataFrame, count: int) -> None:
    """Operations, secrets, refusals, misses, one secret refused twice, a new folder, a new network; and at the end."""
    assert shown(burst) == [(10, count), (None, count)]


@pytest.mark.parametrize(("later", "look"), [(0.1, [10]), (12.1, [10]), (13.1, [])])
def test_of_a_secret_written_lately_the_first_refusal_is_shown(later: float, look: list[int]) -> None:
    """For twelve hours after; of another secret, or after longer, one is nothing."""
    written = operations(spread(LAST, 1, 1), "approle/rotator", operation="write")
    since = [operations(spread(LAST + hour, 60, 30), "approle/shop", 5) for hour in range(14)]
    refused = operations(spread(LAST + later, 1, 1), "approle/shop", 1, "denied")
    for rows, minutes in ((in_order(written, *since, refused), look), (in_order(*since, refused), [])):
        shown = told(after_quiet(), rows, (LAST + 14) * HOUR)
        assert [minute for _, minute, _ in shown if minute is not None] == minutes


def test_a_refusal_before_the_write_has_nothing_to_do_with_it() -> None:
    """Though both were there when the hour was looked at."""
    refused = operations(spread(LAST + 0.1, 1, 1), "approle/shop", 1, "denied")
    for minute, looks in ((5, [10, None]), (7, [None])):
        written = operations(spread(LAST + minute / 60, 1, 1), "approle/rotator", operation="write")
        assert [look for look, _ in shown(written, refused)] == looks


def test_each_further_refusal_of_it_is_shown_while_they_are_few() -> None:
    """One to five in turn, though the same one was refused as often in the hour before."""
    before, written, refused = (
        operations(spread(LAST + 0.1, 25, 5), "approle/shop", 1, "denied"),
        operations(spread(LAST + 1, 1, 1), "approle/rotator", operation="write"),
        operations(spread(LAST + 1.1, 25, 5), "approle/shop", 1, "denied"),
    )
    for rows, minutes in ((in_order(before, written, refused), [10, 15, 20, 25, 30]), (in_order(before, refused), [])):
        windows = told(after_quiet(), rows, (LAST + 2) * HOUR)
        assert [minute for hour, minute, _ in windows if hour == LAST + 1] == [*minutes, None]


def test_somebody_back_after_a_week_is_shown() -> None:
    """And not one who was there yesterday."""
    for hours, minutes in ((24, [None]), (8 * 24, [5, None])):
        before = operations(np.array([10 * MINUTE]), "userpass/ann")
        quiet = [operations(spread(hour, 60, 30), "approle/shop", 5) for hour in range(hours)]
        back = operations(np.array([hours * HOUR + MINUTE]), "userpass/ann")
        windows = told(Windows(3600, 300), in_order(before, *quiet, back), (hours + 1) * HOUR)
        assert [minute for hour, minute, _ in windows if hour == hours] == minutes


def test_it_is_shown_again_when_it_has_doubled() -> None:
    """A flood that goes on is looked at a few times, not twelve."""
    minutes = [minute for minute, _ in shown(operations(spread(LAST, 60, 600), "approle/shop", 5))]
    assert minutes == [5, 10, 20, 40, None]


@pytest.mark.parametrize(
    ("rises", "found"), [({"refused", "places"}, 1), ({"logins"}, 1), ({"places", "own", "stale"}, 0)]
)
def test_those_are_asked_who_go_by_what_has_risen(rises: set[str], found: int) -> None:
    """Refusals and log-ins are what `denials` goes by."""
    rows, detector = (
        operations(spread(0.1, 30, 30), "approle/shop", 30, "denied"),
        denials.create(denials.Config(p=0.5)),
    )
    window = Window(
        0, HOUR, count(rows), empty(INTEGRITY), None, closed=False, looked_us=50 * MINUTE, rises=frozenset(rises)
    )
    assert len(suite.inspect([detector], window, "window", Baselines(Config()))) == found


def log_ins(times_us: np.ndarray, address: str) -> pl.DataFrame:
    """OPERATION rows of refused log-ins from one address, each to another account."""
    one = [
        operations(times_us[i : i + 1], f"userpass/u{i}", outcome="denied", zone="198.51.100.0/24")
        for i in range(len(times_us))
    ]
    return pl.concat(one).with_columns(operation=pl.lit("auth"), secret=pl.lit(""), client_ip=pl.lit(address))


def test_guessing_is_shown_though_nobody_is_refused_twice() -> None:
    """A dozen accounts tried from one address; as many from a dozen addresses are not one who guesses."""
    moments = spread(LAST + 0.1, 3, 12)
    assert shown(log_ins(moments, "198.51.100.7")) == [(10, 12), (None, 12)]
    apart = [log_ins(moments, f"198.51.100.{i}")[i : i + 1] for i in range(12)]
    assert shown(*apart) == [(10, 12), (None, 12)]


def test_guessing_that_takes_its_time_is_shown_in_the_hour_in_which_it_is_enough() -> None:
    """Four accounts an hour are below what is worth a look; what the hours before have left of theirs counts."""
    slow = log_ins((LAST * HOUR + np.arange(8) * 15 * MINUTE).astype(np.int64), "198.51.100.7")
    assert told(after_quiet(), slow, (LAST + 2) * HOUR) == [
        (LAST, None, 4), (LAST + 1, 5, 1), (LAST + 1, 35, 3), (LAST + 1, 50, 4), (LAST + 1, None, 4)
    ]  # fmt: skip


def test_guessing_that_never_ends_is_not_looked_at_again_and_again() -> None:
    """Three an hour for three days stay about as many; twice as many in an hour are shown."""
    noise = np.concatenate([spread(LAST + hour, 60, 3) for hour in range(72)])
    windows = after_quiet()
    told(windows, log_ins(noise, "198.51.100.7"), (LAST + 72) * HOUR)
    assert told(windows, log_ins(spread(LAST + 72, 60, 3), "198.51.100.7"), (LAST + 73) * HOUR) == [
        (LAST + 72, None, 3)
    ]
    more = told(windows, log_ins(spread(LAST + 73, 60, 24), "198.51.100.7"), (LAST + 74) * HOUR)
    assert more[0][1] is not None
    assert len(more) <= 3


def test_log_ins_refused_where_the_accounts_are_at_home_are_not_shown() -> None:
    """A dozen typing errors are no attack."""
    homes = [operations(spread(hour, 60, 1), f"userpass/u{hour}", zone="198.51.100.0/24") for hour in range(12)]
    windows = Windows(3600, 300)
    told(windows, in_order(*QUIET[:72], *homes), 72 * HOUR)
    typed = log_ins(spread(72.1, 3, 12), "198.51.100.7")
    assert told(windows, typed, 73 * HOUR) == [(72, None, 12)]


def test_looks_do_not_depend_on_the_cuts() -> None:
    """Cut anywhere, with a restart at every cut, the same windows are shown with the same rows."""
    rows = in_order(
        operations(spread(LAST + 0.02, 50, 300), "approle/shop", 40),
        operations(spread(LAST + 0.3, 9, 40), "userpass/ann", 3, "denied"),
        operations(spread(LAST + 1.9, 20, 200), "userpass/ann", 30, folder="kv/other/", zone="203.0.113.0/24"),
        operations(spread(LAST + 2.1, 20, 20), "approle/shop", 9, folder="kv/third/", zone="203.0.113.0/24"),
        operations(spread(LAST + 0.5, 1, 1), "approle/rotator", operation="write"),
        operations(spread(LAST + 3.2, 10, 2), "approle/shop", 1, "denied"),
        log_ins(spread(LAST + 3.6, 20, 40), "198.51.100.7"),
    )
    end = (LAST + 5) * HOUR
    whole = told(after_quiet(), rows, end)
    assert sum(minute is not None for _, minute, _ in whole) > 12
    times = rows["complete_time"].to_physical().to_numpy()
    rng = np.random.default_rng(7)
    for pieces in (2, 7, 60):
        windows, seen = after_quiet(), []
        cuts = [0, *sorted(rng.choice(len(rows), pieces, replace=False).tolist()), len(rows)]
        for low, high in pairwise(cuts):
            reached = int(times[high]) if high < len(rows) else end
            seen += told(windows, rows[low:high], reached)
            again = Windows(3600, 300)
            again.restore(windows.snapshot())
            windows = again
        assert seen == whole
