"""Rows on stdout: a table for people, CSV, or one JSON object a line. Nothing in a cell acts on what shows it."""

from __future__ import annotations

import csv
import datetime as dt
import decimal
import itertools
import json
import math
import sys
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pyarrow as pa
from rich.cells import cell_len
from rich.console import Console

from pipeline.core.text import inert, json_shown, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

Row = tuple[Any, ...]

_INFINITE: Final = {(1 << 31) - 1, (1 << 63) - 1}  # what DuckDB gives for a date, for a time
_CYCLE_DAYS: Final = 146_097  # 400 years, after which the calendar repeats
_A_SECOND: Final = {"s": 1, "ms": 1_000, "us": 1_000_000}
_WHOLE: Final = 1 << 30  # characters of a cell: all of them


def rows(items: Sequence[Mapping[str, Any]], style: str) -> None:
    """Rows that all have the keys of the first."""
    write(list(items[0]) if items else [], (tuple(item.values()) for item in items), style)


def table(found: pa.Table | pl.DataFrame, style: str) -> None:
    """A query's result."""
    whole = found.to_arrow() if isinstance(found, pl.DataFrame) else found
    write(whole.column_names, records(whole), style)


def records(found: pa.Table) -> Iterator[Row]:
    """The rows of a result of any type, two columns of one name included.

    Nanoseconds are cut to microseconds; a time that Python has none for, past the year 9999 or infinite, is text.
    """
    for batch in found.to_batches(max_chunksize=4096):
        columns = [_items(_micros(column)) for column in batch.columns]
        yield from zip(*columns, strict=True)


def _micros(column: pa.Array) -> pa.Array:
    fine = pa.types.is_timestamp(column.type) and column.type.unit == "ns"
    return column.cast(pa.timestamp("us", column.type.tz), safe=False) if fine else column


def _items(column: pa.Array) -> list[Any]:
    try:
        return list(column.to_pylist())
    except OverflowError:
        return [_item(scalar) for scalar in column]


def _item(scalar: Any) -> Any:
    """One value, with each time in it that is out of Python's range as text."""
    if not scalar.is_valid:
        return None
    if isinstance(scalar, pa.MapScalar):
        return [tuple(_item(pair[name]) for name in pair) for pair in scalar.values]
    if isinstance(scalar, (pa.ListScalar, pa.LargeListScalar, pa.FixedSizeListScalar)):
        return [_item(part) for part in scalar.values]
    if isinstance(scalar, pa.StructScalar):
        return {name: _item(part) for name, part in scalar.items()}
    try:
        return scalar.as_py()
    except OverflowError:
        return _far(scalar)


def _far(scalar: Any) -> str:
    if abs(scalar.value) in _INFINITE:
        return "infinity" if scalar.value > 0 else "-infinity"
    timed = pa.types.is_timestamp(scalar.type)
    kind = pa.timestamp(scalar.type.unit, "UTC") if timed else scalar.type
    cycle = _CYCLE_DAYS * (86_400 * _A_SECOND[kind.unit] if timed else 1)
    cycles, within = divmod(scalar.value, cycle)  # Arrow's own words are wrong from the year 32768 on
    year, rest = str(pa.scalar(within, kind).cast(pa.string()).as_py()).replace(" ", "T").split("-", 1)
    there = int(year) + 400 * cycles
    return f"{'-' if there < 0 else ''}{abs(there):04}-{rest}"


def write(names: Sequence[str], data: Iterable[Row], style: str) -> None:
    """Names and rows in the style asked for: table, csv or json."""
    {"json": _json, "csv": _csv}.get(style, _table)(names, data)
    sys.stdout.flush()


def value(item: Any) -> Any:
    """A cell as JSON has it: times RFC 3339 in UTC, spans ISO 8601, bytes hexadecimal, fractions it cannot say null."""
    for kind, form in _FORMS:
        if isinstance(item, kind):
            return form(item)
    return item


def _moment(item: dt.datetime) -> str:
    known = item.replace(tzinfo=dt.UTC) if item.tzinfo is None else item.astimezone(dt.UTC)
    return known.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _span(item: pa.MonthDayNano) -> str:
    return f"P{item.months}M{item.days}DT{decimal.Decimal(item.nanoseconds) / 1_000_000_000:f}S"


_FORMS: Final[tuple[tuple[Any, Callable[[Any], Any]], ...]] = (
    (dt.datetime, _moment),
    (pa.MonthDayNano, _span),
    ((dt.date, dt.time, dt.timedelta), str),
    (float, lambda item: item if math.isfinite(item) else None),
    (decimal.Decimal, lambda item: int(item) if item == item.to_integral_value() else float(item)),
    (bytes, bytes.hex),
    ((list, tuple), lambda item: [value(part) for part in item]),
    (dict, lambda item: {key: value(part) for key, part in item.items()}),
)


def _json(names: Sequence[str], data: Iterable[Row]) -> None:
    keys = _distinct(names)
    for row in data:
        sys.stdout.write(json_line(dict(zip(keys, row, strict=True))))


def json_line(item: Mapping[str, Any]) -> str:
    """One object on a line of its own."""
    return json_shown(json.dumps(value(dict(item)), ensure_ascii=False, allow_nan=False)) + "\n"


def _distinct(names: Sequence[str]) -> list[str]:
    """Names that an object can have side by side: a second `a` is `a_2`."""
    found: list[str] = []
    for name in names:
        tries = (name if n == 1 else f"{name}_{n}" for n in itertools.count(1))
        found.append(next(word for word in tries if word not in found))
    return found


def _csv(names: Sequence[str], data: Iterable[Row]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([inert(visible(name, _WHOLE)) for name in names])
    for row in data:
        writer.writerow([_csv_cell(value(item)) for item in row])


def _csv_cell(item: Any) -> Any:
    if item is None:
        return ""
    if isinstance(item, (list, dict)):
        item = json.dumps(item, ensure_ascii=False)
    return inert(visible(item, _WHOLE)) if isinstance(item, str) else item


def _table(names: Sequence[str], data: Iterable[Row]) -> None:
    """Aligned columns; on a terminal too narrow for them, one cell a line and a blank line after each row."""
    head = [visible(name, _WHOLE) for name in names]
    kept = list(data)
    body = [[_cell(item) for item in row] for row in kept]
    numeric = [_numeric(column) for column in zip(*kept, strict=True)] or [False] * len(head)
    widths = [max(map(cell_len, column)) for column in zip(head, *body, strict=True)]
    console = Console(highlight=False)
    bold = ("\x1b[1m", "\x1b[0m") if console.is_terminal and not console.no_color else ("", "")
    if console.is_terminal and sum(widths) + 2 * len(widths) > console.width:
        label = max(map(cell_len, head))
        for row in body:
            cells = zip(head, row, strict=True)
            sys.stdout.writelines(f"{bold[0]}{_padded(name, label)}{bold[1]}  {cell}\n" for name, cell in cells)
            sys.stdout.write("\n")
        return
    sys.stdout.write(bold[0] + _line(head, widths, numeric) + bold[1] + "\n")
    sys.stdout.writelines(_line(row, widths, numeric) + "\n" for row in body)


def _numeric(column: Iterable[Any]) -> bool:
    return all(isinstance(item, (int, float, decimal.Decimal)) or item is None for item in column)


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    parts = zip(cells, widths, numeric, strict=True)
    return "  ".join(_padded(cell, width, right=right) for cell, width, right in parts).rstrip()


def _padded(cell: str, width: int, *, right: bool = False) -> str:
    space = " " * (width - cell_len(cell))
    return space + cell if right else cell + space


def _cell(item: Any) -> str:
    """A cell for people: no trailing zeroes in times, six digits in fractions."""
    if item is None:
        return ""
    if isinstance(item, dt.datetime):
        return str(value(item)).replace(".000000Z", "Z")
    if isinstance(item, bool):
        return str(item).lower()
    if isinstance(item, list):
        return ", ".join(map(_cell, item))
    if isinstance(item, float):
        return f"{item:.6g}" if abs(item) < 1e6 or not math.isfinite(item) else f"{item:.0f}"
    return visible(value(item), _WHOLE)
