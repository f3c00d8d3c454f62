"""What people see: tables and summaries on stdout, notes and progress on stderr. Escapes what a terminal would obey."""

from __future__ import annotations

import csv
import datetime as dt
import json
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pipeline.ledger.verify import Report
    from pipeline.line import Line
    from pipeline.verification import Pinned

_err = Console(stderr=True, highlight=False, soft_wrap=True)
SEVERITY_STYLE = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan", "informational": "dim"}


def note(message: str) -> None:
    """One line for the person at the terminal."""
    _err.print(Text(clean(message)))


def clean(text: str) -> str:
    """Text that can do nothing to a terminal: control and formatting characters become a dot."""
    return "".join(c if c.isprintable() or c == "\n" else "·" for c in text)


@contextmanager
def progress() -> Iterator[Callable[[Line], None]]:
    """A line on stderr that is rewritten as work goes on; nothing when stderr is no terminal."""
    if not _err.is_terminal:
        yield lambda _line: None
        return
    last = [0.0]
    with _err.status("reading") as status:

        def update(line: Line) -> None:
            now = time.monotonic()
            if now - last[0] > 0.2:
                last[0] = now
                status.update(f"{line.totals.entries:,} entries, {line.totals.operations:,} operations")

        yield update


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Progress of something that can count: done of all. None when stderr is no terminal."""
    if not _err.is_terminal:
        yield None
        return
    with _err.status(what) as status:
        yield lambda done, size: status.update(f"{what}: {done:,} of {size:,}")


def verification(report: Report, pinned: Pinned, style: str) -> None:
    """What was proven and what was not; rows for programs."""
    if style != "table":
        table(report.rows, style)
        return
    out = Console(highlight=False, soft_wrap=True)
    out.print(Text(f"{report.leaves:,} rows, {report.size:,} leaves, root {report.root.hex()}"))
    out.print(Text(f"key         {pinned.verifier.vkey()}\n            from {pinned.origin}"))
    for text in report.notes:
        out.print(Text("note        " + clean(text)))
    if not report.exit_code:
        out.print(Text("verified    every row, tile and head holds", style="green"))
        return
    table(report.rows.filter(pl.col("verdict") != "ok").drop("uid", "known", strict=False), style)


def value(item: Any) -> Any:
    """One cell as JSON and CSV print it: times RFC 3339 in UTC, bytes as hexadecimal."""
    if isinstance(item, dt.datetime):
        text = item.astimezone(dt.UTC).isoformat(timespec="microseconds")
        return text.replace("+00:00", "Z")
    if isinstance(item, (dt.date, dt.time, dt.timedelta)):
        return str(item)
    if isinstance(item, bytes):
        return item.hex()
    if isinstance(item, list):
        return [value(part) for part in item]
    if isinstance(item, dict):
        return {key: value(part) for key, part in item.items()}
    return item


def rows(items: Sequence[Mapping[str, Any]], style: str) -> None:
    """Rows as a table, CSV, or one JSON object a line."""
    names = list(items[0]) if items else []
    _print(names, [list(item.values()) for item in items], style)


def table(frame: pl.DataFrame, style: str) -> None:
    """A query's result."""
    _print(frame.columns, frame.iter_rows(), style)


def lines(texts: Iterable[str]) -> None:
    """Ready-made lines, flushed: somebody may be following."""
    for text in texts:
        sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _print(names: Sequence[str], data: Iterable[Sequence[Any]], style: str) -> None:
    if style == "json":
        for row in data:
            sys.stdout.write(json.dumps(dict(zip(names, map(value, row), strict=True)), ensure_ascii=False) + "\n")
    elif style == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        for row in data:
            writer.writerow([_csv_cell(value(item)) for item in row])
    else:
        _table(names, data)


def _csv_cell(item: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    if isinstance(item, (list, dict)):
        item = json.dumps(item, ensure_ascii=False)
    if isinstance(item, str) and item[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + item
    return "" if item is None else item


def _table(names: Sequence[str], data: Iterable[Sequence[Any]]) -> None:
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        drawn.add_column(clean(name), overflow="fold")
    for row in data:
        drawn.add_row(*(Text(_cell(item)) for item in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    console.print(drawn)


def _cell(item: Any) -> str:
    if item is None:
        return ""
    if isinstance(item, list):
        return ", ".join(_cell(part) for part in item)
    if isinstance(item, float):
        return f"{item:.6g}"
    return clean(str(value(item)))


def summary(result: Mapping[str, Any], lake: Path, *, as_json: bool) -> None:
    """The end of a run: what was read, what it proves, what was odd, and what to do next."""
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")
        return
    out = Console(highlight=False, soft_wrap=True)
    rejected, integrity = result["rejected"], result["integrity"]
    out.print(Text(f"{result['entries']:,} entries, {result['operations']:,} operations in {result['seconds']:.1f} s "
                   f"({result['entries_per_second']:,} entries/s)"))  # fmt: skip
    out.print(Text("rejected    " + (_counts(rejected) or "none")))
    out.print(
        Text("integrity   " + (_counts(integrity) or "ok: nothing missing, altered or torn that this log can show"))
    )
    for name, sli in result["slis"].items():
        out.print(Text(f"{name:<11} {_sli(name, sli)}"))
    alerts = [(name, count) for name, count in reversed(list(result["alerts"].items()))]
    line = Text("alerts      ")
    for name, count in alerts:
        line.append(f"{count} {name}  ", style=SEVERITY_STYLE[name])
    out.print(line if alerts else Text("alerts      none"))
    for line_text in (
        f"\nnext        keytrail alerts --lake {lake}",
        f"            keytrail query 'SELECT * FROM integrity' --lake {lake}",  # noqa: S608  shown, not run
        "            keytrail detectors explain invariant",
    ):
        out.print(Text(line_text))


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _sli(name: str, sli: Mapping[str, Any]) -> str:
    total, value = sli["total"], sli["value"]
    met = {True: ": met", False: ": NOT met", None: ""}[sli["met"]]
    if value is None:
        return "nothing to measure"
    if name == "M1":
        return f"retrieval success  {value:.3%} of {total:,.0f} reads, objective {sli['objective']:.2%}{met}"
    if name == "M2":
        limit = f"{sli['objective']:g} ms"
        return f"retrieval latency  {value:.2%} of {total:,.0f} operations within {limit}, objective 95 %{met}"
    if name == "M4":
        return f"denied             {value:,.0f} of {total:,.0f} operations"
    return f"access rate        {value:,.1f} operations a minute"


def alerts(frame: pl.DataFrame, style: str) -> None:
    """The feed: a block an alert for people, one JSON object a line for programs."""
    if style != "table":
        _print(frame.columns, frame.iter_rows(), "json")
        sys.stdout.flush()
        return
    out = Console(highlight=False, soft_wrap=True)
    for row in frame.iter_rows(named=True):
        head = Text(f"{row['last_time']:%Y-%m-%d %H:%M:%S}  ")
        head.append(f"{row['severity']:<13}", style=SEVERITY_STYLE[row["severity"]])
        who = "  ".join(part for part in (row["principal"], row["secret"]) if part)
        times = f"  x{row['count']}" if row["count"] > 1 else ""
        head.append(clean(f" {row['route']:<6} {row['state']:<10} {row['title']}{times}  "))
        head.append(clean(who), style="bold")
        out.print(head)
        out.print(Text("    " + clean(row["message"] or "").replace("\n", " ")))
        if row["suppression"]:
            out.print(Text("    suppressed: " + clean(row["suppression"])))
    sys.stdout.flush()
