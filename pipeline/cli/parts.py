"""The parts of an investigation on stdout: short tables for people, objects for programs."""

from __future__ import annotations

import datetime as dt
import sys
from typing import TYPE_CHECKING, Any, Final

from rich.cells import cell_len
from rich.console import Console

from pipeline import tables
from pipeline.cli import show
from pipeline.core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.inquiry import Part

_TOLD_ALONE: Final = frozenset({"subject", "clock"})  # whose notes say it all
_NOTHING: Final[tuple[Any, ...]] = (None, "", [], {})  # columns that have no more are left out
_SAYING: Final = frozenset({"what", "title", "did", "state", "severity", "client_ip"})  # cut last
_FEW: Final = 2  # of a list that a cell names
_BEFORE: Final = 3  # rows before the one that matters
_HASH: Final = 8  # characters of a session that are shown
_LISTS: Final = frozenset({"consumers", "addresses"})  # cut at their ends, names in their middle
_NARROWEST: Final = 12
_LONGEST: Final = 1 << 30


def objects(found: Iterable[Part], limit: int | None) -> None:
    """One object a row, named by `part`; what people are told besides is `note`."""
    for part in found:
        for row in part.rows[:limit]:
            sys.stdout.write(tables.json_line({"part": part.name, **row}))
        for text in part.notes if part.name != "clock" else ():
            sys.stdout.write(tables.json_line({"part": "note", "about": part.name, "text": text}))
    sys.stdout.flush()


def pages(found: Iterable[Part], limit: int) -> None:
    """A heading, what is to be known, and a table, part by part."""
    for nth, part in enumerate(found):
        sys.stdout.write(("\n" if nth else "") + _heading(part) + "\n")
        for text in part.notes:
            sys.stdout.write(f"  {visible(text, _LONGEST)}\n")
        if not part.rows and part.empty:
            sys.stdout.write(f"  {part.empty}\n")
        start = _start(part, limit)
        kept = part.rows[start : start + limit]
        if kept and part.name not in _TOLD_ALONE:
            table([{key: value for key, value in row.items() if key not in part.hidden} for row in kept])
        if len(kept) < len(part.rows):
            left = ((start, "before"), (len(part.rows) - start - len(kept), "more"))
            told = ", ".join(f"{count:,} {word}" for count, word in left if count)
            sys.stdout.write(f"  … {told} (--limit {len(part.rows)})\n")
    sys.stdout.flush()


def documents(texts: Sequence[tuple[Sequence[str], Sequence[str]]]) -> None:
    """Policies on stdout, what they cannot hold on stderr."""
    for nth, (lines, notes) in enumerate(texts):
        show.lines([""] * bool(nth) + list(lines))
        for text in notes:
            show.note(text)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    """A table that fits the terminal: the middle of long names is left out there, and nowhere else.

    Columns in which there is nothing are left out; of no rows at all `columns` are the heading.
    """
    known = list(rows[0]) if rows else list(columns)
    names = [name for name in known if not rows or any(row[name] not in _NOTHING for row in rows)]
    years = {row[name].year for row in rows for name in names if isinstance(row[name], dt.datetime)}
    moment = "%m-%d " if len(years) == 1 else "%Y-%m-%d "
    cells = [[_cell(name, row[name], moment) for name in names] for row in rows]
    heads = [name.replace("_", " ") for name in names]
    console = Console()
    if console.is_terminal:
        texts = [at for at, name in enumerate(names) if any(isinstance(row[name], (str, list)) for row in rows)]
        for some in ([at for at in texts if names[at] not in _SAYING], texts):
            cells = _fitting(heads, cells, some, console.width)
    tables.write(heads, map(tuple, cells), "table")


def _heading(part: Part) -> str:
    console = Console(highlight=False)
    text = visible(part.title if part.name == "subject" else part.title.upper(), _LONGEST)
    return f"\x1b[1m{text}\x1b[0m" if console.is_terminal and not console.no_color else text


def _start(part: Part, limit: int) -> int:
    """The first row that people are shown, when they are shown so many."""
    return max(min(part.anchor - min(_BEFORE, limit // 3), len(part.rows) - limit), 0)


def _cell(name: str, value: Any, moment: str) -> Any:
    """A cell for people: short times and lists, words for flags."""
    if isinstance(value, bool):
        return (name if value else "") if name == "new" else value
    if isinstance(value, dt.datetime):
        return f"{value:{moment}%H:%M:%S}" if name == "time" else f"{value:{moment}%H:%M}"
    if isinstance(value, (list, tuple)):
        few = 1 if name == "addresses" else _FEW
        more = f" +{len(value) - few}" if len(value) > few else ""
        return visible(", ".join(map(str, value[:few])), _LONGEST) + more
    if isinstance(value, dict):
        return ", ".join(f"{count:,} {key}" for key, count in value.items())
    if name == "session" and isinstance(value, str):
        value = value.removeprefix("hmac-sha256:")
        return visible(value[:_HASH]) + "…" * (len(value) > _HASH)
    return visible(value, _LONGEST) if isinstance(value, str) else value


def _fitting(names: Sequence[str], rows: Sequence[Sequence[Any]], texts: Sequence[int], width: int) -> list[list[Any]]:
    """The cells with the widest of some columns cut in their middle until a row is no wider than that."""
    widths = [max([cell_len(name), *(cell_len(str(row[at])) for row in rows)]) for at, name in enumerate(names)]
    least = [max(_NARROWEST, cell_len(name)) for name in names]
    while sum(widths) + 2 * len(widths) > width and any(widths[at] > least[at] for at in texts):
        widest = max((at for at in texts if widths[at] > least[at]), key=lambda at: widths[at])
        widths[widest] -= 1
    if sum(widths) + 2 * len(widths) > width:
        return [list(row) for row in rows]
    return [[_cut(cell, widths[at], names[at]) for at, cell in enumerate(row)] for row in rows]


def _cut(cell: Any, width: int, name: str) -> Any:
    if not isinstance(cell, str) or cell_len(cell) <= width:
        return cell
    if name in _LISTS:
        return cell[: max(width - 1, 0)] + "…"
    tail = (width - 1) * 2 // 3  # names differ at their ends
    return cell[: max(width - 1 - tail, 0)] + "…" + cell[len(cell) - tail :]
