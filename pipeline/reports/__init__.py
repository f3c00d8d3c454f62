"""Reports: each a folder with `query.sql` and `template.html`; the SQL is the report, the rest is how it looks.

The first lines of `query.sql` are comments `-- title: …` and `-- about: …`. `$from` and `$to` are the period, in UTC.
What is written can be derived again by anyone: the SQL stands in the page, with the place of the ledger it was read at.
"""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import importlib.resources
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jinja2

from pipeline.core import plugins
from pipeline.core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

ROOM = "pipeline.reports"


@dataclass(frozen=True, slots=True)
class Report:
    """One report: its name is its folder."""

    name: str
    title: str
    about: str
    sql: str
    template: str


def names() -> tuple[str, ...]:
    """Every report there is; underscores in folder names read as hyphens."""
    return tuple(name.replace("_", "-") for name in plugins.kinds(ROOM))


def load(name: str) -> Report:
    """The report of that name. Raises ConfigError, naming what there is."""
    if name not in names():
        raise ConfigError(f"there is no report {name!r}; there are: {', '.join(names())}")
    folder = importlib.resources.files(f"{ROOM}.{name.replace('-', '_')}")
    sql = folder.joinpath("query.sql").read_text("utf-8")
    head = dict(re.findall(r"^-- (title|about): (.+)$", sql, re.MULTILINE))
    return Report(name, head["title"], head["about"], sql, folder.joinpath("template.html").read_text("utf-8"))


def write(
    report: Report, columns: Sequence[str], rows: Sequence[Sequence[Any]], facts: Mapping[str, str], out: Path
) -> list[Path]:
    """NAME.html for people, NAME.csv and NAME.json for machines, and MANIFEST.json with the SHA-256 of each.

    `facts` is told at the head of the page (period, lake, ledger position). Gives the files written.
    """
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    plain = [[_plain(cell) for cell in row] for row in rows]
    texts = {
        f"{report.name}.html": _html(report, columns, plain, facts),
        f"{report.name}.csv": _csv(columns, plain),
        f"{report.name}.json": json.dumps([dict(zip(columns, row, strict=True)) for row in plain], indent=1) + "\n",
    }
    sums = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    texts[f"{report.name}.manifest.json"] = json.dumps({**facts, "sql": report.sql, "sha256": sums}, indent=1) + "\n"
    for name, text in texts.items():
        (out / name).write_text(text, "utf-8")
    return [out / name for name in texts]


def _plain(cell: Any) -> Any:
    if isinstance(cell, dt.datetime):
        return cell.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(cell, list):
        return [_plain(part) for part in cell]
    return cell


def _text(cell: Any) -> str:
    return ", ".join(map(str, cell)) if isinstance(cell, list) else "" if cell is None else str(cell)


def _html(report: Report, columns: Sequence[str], rows: Sequence[Sequence[Any]], facts: Mapping[str, str]) -> str:
    loader = jinja2.DictLoader({"base.html": _base(), "page.html": report.template})
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["text"] = _text
    named = [dict(zip(columns, row, strict=True)) for row in rows]
    return environment.get_template("page.html").render(report=report, columns=columns, rows=named, facts=facts)


def _base() -> str:
    return importlib.resources.files(ROOM).joinpath("base.html").read_text("utf-8")


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([[inert(_text(cell)) for cell in row] for row in rows])
    return buffer.getvalue()


def inert(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return "'" + text if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
