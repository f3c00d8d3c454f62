"""What a profile says of a key at a moment: frames out of the rows of a table."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.baselines import season
from pipeline.baselines.exposure import DAY, HOUR, MONDAY, exposure, exposure_of
from pipeline.baselines.sketch import REGISTERS, bits_count, hll_count
from pipeline.baselines.table import SUCCEEDED, Table
from pipeline.baselines.update import shape_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.baselines.config import Config
    from pipeline.baselines.season import Floats
    from pipeline.baselines.sketch import Rows

ANSWER: Final = pl.Schema(
    {
        "known": pl.Boolean(),
        "first_us": pl.Int64(),
        "last_us": pl.Int64(),
        "operations": pl.Int64(),
        "expected_per_hour": pl.Float64(),
        "alpha": pl.Float64(),
        "beta": pl.Float64(),
        "days_active": pl.Int64(),
        "distinct_secrets": pl.Int64(),
        "distinct_ips": pl.Int64(),
        "distinct_principals": pl.Int64(),
        "succeeded": pl.Boolean(),
    }
)
Asked = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]  # hours of the day, weekdays from Monday
EVERY: Final[Asked] = (np.arange(24), np.arange(7))
_RATES: Final = frozenset(("expected_per_hour", "alpha", "beta"))
_TIMES: Final = frozenset(("first_us", "last_us"))  # null for a key that is not there
_BLOCK = 16_384  # rows at once: the season of each takes a few hundred bytes


def half_life_us(config: Config) -> int:
    """The half-life in microseconds."""
    return round(config.half_life_days * DAY)


def answer(
    config: Config, scope: str, table: Table, slots: Rows, at_us: int, *, columns: Sequence[str] = ANSWER.names()
) -> pl.DataFrame:
    """The `columns` of ANSWER for `slots`, in their order; -1 asks about a key that is not there.

    An unknown key has no times, no operations and the prior for its rate. `alpha` and `beta` are those of that very
    hour: their quotient is `expected_per_hour`, and the hour's count is negative binomial with them as they stand.
    """
    if len(slots) > _BLOCK:
        blocks = range(0, len(slots), _BLOCK)
        return pl.concat([answer(config, scope, table, slots[i : i + _BLOCK], at_us, columns=columns) for i in blocks])
    known = slots >= 0
    rates = _rates(config, table, slots[known], at_us) if not _RATES.isdisjoint(columns) else {}
    told = rates | {name: _told(name, scope, table, slots[known]) for name in columns if name not in _RATES}
    if not known.all():
        told = {name: _with_strangers(values, known, _stranger(config)[name]) for name, values in told.items()}
    frame = pl.DataFrame([pl.Series(name, told[name], ANSWER[name]) for name in columns])
    times = [name for name in columns if name in _TIMES]
    return frame.with_columns(pl.when(pl.Series(known)).then(pl.col(times))) if times and not known.all() else frame


def _with_strangers(values: npt.NDArray[np.generic], known: npt.NDArray[np.bool_], other: float) -> Any:
    whole = np.full(len(known), other, values.dtype)
    whole[known] = values
    return whole


def _rates(config: Config, table: Table, slots: Rows, at_us: int) -> dict[str, Floats]:
    alpha, beta = posterior(config, table, slots, at_us)
    beta /= _factor_at(config, table, slots, at_us)
    return {"expected_per_hour": alpha / beta, "alpha": alpha, "beta": beta}


def _told(name: str, scope: str, table: Table, slots: Rows) -> npt.NDArray[np.generic]:
    """A column that needs no rate. A principal has secrets for peers, a secret principals; an edge has one of each."""
    match name:
        case "known":
            return np.ones(len(slots), bool)
        case "succeeded":
            return np.asarray((table["flags"][slots] & SUCCEEDED) > 0)
        case "days_active":
            return days_active(table, slots)
        case "distinct_ips":
            return distinct_ips(table, slots)
        case "distinct_secrets" | "distinct_principals":
            mine = {"principal": "distinct_secrets", "secret": "distinct_principals"}.get(scope) == name
            return table["peers"][slots].astype(np.int64) if mine else np.ones(len(slots), np.int64)
        case _:
            return table[name.removesuffix("_us")][slots]


@lru_cache(8)
def _stranger(config: Config) -> dict[str, float]:
    alpha, beta = config.prior_operations, config.prior_hours
    return dict.fromkeys(ANSWER, 0) | {"expected_per_hour": alpha / beta, "alpha": alpha, "beta": beta}


def posterior(config: Config, table: Table, slots: Rows, at_us: int) -> tuple[Floats, Floats]:
    """Gamma shape and rate (hours) of the mean hourly rate at `at_us`, without the season."""
    half_life = half_life_us(config)
    alpha = config.prior_operations + shape_at(table, slots, at_us, half_life)
    return alpha, config.prior_hours + exposure(table["first"][slots], at_us, half_life)


def factors(config: Config, table: Table, slots: Rows, at_us: int, asked: Asked = EVERY) -> tuple[Floats, Floats]:
    """How many times the mean rate the hours and the weekdays `asked` for see: n x 24 and n x 7 unless fewer.

    A cell's share of the operations over its share of the time watched, both with a prior, is drawn towards 1 until
    the cell has been watched, and the key was active, a few times: one loud hour is no habit.
    """
    cells, first = table["season"][slots], table["first"][slots]
    days, watched = days_active(table, slots), exposure(first, at_us, half_life_us(config))
    answers = []
    for total, at, width, pull in zip(season.totals(cells), asked, (1, 24), _pulls(config), strict=True):
        spent = exposure_of(first, at_us, half_life_us(config), width, at)
        due = np.maximum(spent / np.maximum(watched, 1e-9)[:, None], 1e-9)
        prior = config.shrink_operations
        counted = season.counts(cells, at if width == 1 else at + season.WEEKDAYS.start)
        ratio = (counted + prior * due) / ((total + prior)[:, None] * due)
        times = np.minimum(spent / width, days[:, None])
        answers.append(1.0 + times / (times + pull) * (ratio - 1.0))
    return answers[0], answers[1]


def _pulls(config: Config) -> tuple[float, float]:
    return config.shrink_days, config.shrink_weeks


def _factor_at(config: Config, table: Table, slots: Rows, at_us: int) -> Floats:
    hours = np.array([at_us // HOUR + MONDAY])
    by_hour, by_weekday = factors(config, table, slots, at_us, (hours % 24, hours // 24 % 7))
    return np.asarray((by_hour * by_weekday)[:, 0])


def days_active(table: Table, slots: Rows) -> Rows:
    """Days (UTC) with at least one operation."""
    return np.asarray(np.bitwise_count(table["days"][slots]) + table["older"][slots].astype(np.int64))


def distinct_ips(table: Table, slots: Rows) -> Rows:
    """Estimated number of client addresses."""
    spread = table["spread"][slots]
    return hll_count(spread) if spread.shape[1] == REGISTERS else bits_count(spread)


def hours_of_week(config: Config, table: Table, slots: Rows, at_us: int) -> Floats:
    """Factors of the 168 hours from Monday 00:00 UTC on (n x 168)."""
    by_hour, by_weekday = factors(config, table, slots, at_us)
    return (by_weekday[:, :, None] * by_hour[:, None, :]).reshape(len(slots), 168)


def expected_since_last(config: Config, table: Table, slots: Rows, at_us: int) -> Floats:
    """Operations each key would have made from its last one to `at_us`, at the rate it had when it was last seen."""
    if len(slots) > _BLOCK:
        blocks = range(0, len(slots), _BLOCK)
        return np.concatenate([expected_since_last(config, table, slots[i : i + _BLOCK], at_us) for i in blocks])
    half_life = half_life_us(config)
    touched = table["touched"][slots].astype(np.int64) * 1_000_000
    shape = config.prior_operations + table["shape"][slots].astype(np.float64)
    first, last = table["first"][slots], table["last"][slots]
    hours = config.prior_hours + exposure(first, touched, half_life)
    by_hour, by_weekday = factors(config, table, slots, at_us)
    spent = _elapsed(by_hour, by_weekday, np.full(len(slots), at_us)) - _elapsed(by_hour, by_weekday, last)
    return np.asarray(shape / hours * np.maximum(spent, 0.0))


def _elapsed(by_hour: Floats, by_weekday: Floats, time_us: Rows) -> Floats:
    """The season's hours from a Monday in 1969 to each time: whole weeks, then days, then hours, then the rest."""
    hours = time_us / HOUR + MONDAY
    whole = np.floor(hours).astype(np.int64)
    day, hour, rows = whole // 24 % 7, whole % 24, np.arange(len(time_us))
    today = _before(by_hour)[rows, hour] + (hours - whole) * by_hour[rows, hour]
    a_day, a_week = by_hour.sum(axis=1), by_weekday.sum(axis=1)
    days = whole // 168 * a_week + _before(by_weekday)[rows, day]
    return np.asarray(a_day * days + by_weekday[rows, day] * today)


def _before(factors: Floats) -> Floats:
    """Sums of what comes before each place of a row."""
    return np.asarray(np.cumsum(factors, axis=1) - factors)
