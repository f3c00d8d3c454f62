"""Reports: each a folder with `query.sql` and `template.html`; the SQL is the report, the rest is how it looks.

The first lines of `query.sql` are comments `-- title: …` and `-- about: …`. `$from` and `$to` are the period, in UTC.
What is written can be derived again by anyone: the SQL stands in the page as it was asked (`keytrail query -` takes
it), with the place of the ledger it was asked at. The manifest has the SHA-256 of each file; what is signed is the
manifest (`manifest.py` reads it back). A template fills the body of `base.html` and may import `parts.html`.
"""

from __future__ import annotations

import csv
import datetime as dt
import decimal
import hashlib
import importlib.resources
import io
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import jinja2

from pipeline.core import plugins
from pipeline.core.errors import ConfigError
from pipeline.core.text import inert, visible

if TYPE_CHECKING:
    from pathlib import Path

ROOM: Final = "pipeline.reports"
MANIFEST: Final = ".manifest.json"  # after the report's name
NOTE: Final = ".manifest.note"
_WHOLE: Final = 1 << 30  # characters of a cell: all of them


@dataclass(frozen=True, slots=True)
class Report:
    """One report: its name is its folder."""

    name: str
    title: str
    about: str
    sql: str
    template: str

    def between(self, start: dt.datetime, end: dt.datetime) -> str:
        """The SQL for one period [start, end)."""
        times = {"from": start, "to": end}
        return re.sub(
            r"\$(from|to)\b", lambda found: f"TIMESTAMPTZ '{_time(times[found[1]], 'microseconds')}'", self.sql
        )


@dataclass(frozen=True, slots=True)
class Made:
    """What a report found: the SQL as asked, its columns and rows.

    `facts` stand at the head of the page, `record` in the manifest: what is needed to derive the report again.
    """

    sql: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    facts: Mapping[str, str]
    record: Mapping[str, Any]


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
    report: Report, made: Made, out: Path, sign: Callable[[bytes], bytes | None] = lambda _manifest: None
) -> list[Path]:
    """NAME.html for people, NAME.csv and NAME.json for machines, NAME.manifest.json with the SHA-256 of each, and
    NAME.manifest.note: what `sign` gives for the manifest. None: nobody signs, and no older note stays.

    The files are private to the user. Gives their paths; raises OSError.
    """
    plain = [[_plain(cell) for cell in row] for row in made.rows]
    texts = {f"{report.name}.html": _html(report, made, plain), **machine_texts(report.name, made.columns, made.rows)}
    files = {name: text.encode() for name, text in texts.items()}
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    manifest = _json({"report": report.name, **made.record, "sql": made.sql, "sha256": sums}).encode()
    files[f"{report.name}{MANIFEST}"] = manifest
    note = sign(manifest)
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    if note is None:
        (out / f"{report.name}{NOTE}").unlink(missing_ok=True)
    else:
        files[f"{report.name}{NOTE}"] = note
    for name, data in files.items():
        _keep(out / name, data)
    return [out / name for name in files]


def machine_texts(name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, str]:
    """NAME.csv and NAME.json of what the SQL found: they follow from it alone."""
    plain = [[_plain(cell) for cell in row] for row in rows]
    objects = [dict(zip(columns, row, strict=True)) for row in plain]
    return {f"{name}.csv": _csv(columns, plain), f"{name}.json": _json(objects)}


def _keep(path: Path, data: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)


def _plain(cell: Any) -> Any:
    if isinstance(cell, dt.datetime):
        return _time(cell, "seconds")
    if isinstance(cell, decimal.Decimal):
        return int(cell) if cell == cell.to_integral_value() else float(cell)
    if isinstance(cell, list):
        return [_plain(part) for part in cell]
    return cell


def _time(moment: dt.datetime, unit: str) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec=unit).replace("+00:00", "Z")


def _json(value: Any) -> str:
    """Indented, in ASCII alone: what a name may hold is an escape here, and means the same."""
    return json.dumps(value, indent=1) + "\n"


def _text(cell: Any) -> str:
    text = ", ".join(map(str, cell)) if isinstance(cell, list) else "" if cell is None else str(cell)
    return visible(text, _WHOLE)


def _html(report: Report, made: Made, rows: Sequence[Sequence[Any]]) -> str:
    shared = {name: _shared(name) for name in ("base.html", "parts.html")}
    loader = jinja2.DictLoader({**shared, "page.html": report.template})
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, finalize=_shown)
    named = [dict(zip(made.columns, row, strict=True)) for row in rows]
    page = environment.get_template("page.html")
    return page.render(report=report, columns=made.columns, rows=named, facts=made.facts, sql=made.sql.splitlines())


def _shown(value: Any) -> Any:
    """What a page prints; markup made by the template itself is left as it is."""
    return value if hasattr(value, "__html__") or isinstance(value, (int, float)) else _text(value)


def _shared(name: str) -> str:
    return importlib.resources.files(ROOM).joinpath(name).read_text("utf-8")


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([[_csv_cell(cell) for cell in row] for row in rows])
    return buffer.getvalue()


def _csv_cell(cell: Any) -> Any:
    if isinstance(cell, bool):
        return str(cell).lower()
    return cell if isinstance(cell, (int, float)) else inert(_text(cell))
