"""What people see: summaries and the alert feed on stdout, notes and progress on stderr."""

from __future__ import annotations

import shlex
import sys
import textwrap
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl
from rich.console import Console
from rich.text import Text

from pipeline import tables
from pipeline.core.schema import BROKEN_VERDICTS, SEVERITIES
from pipeline.core.text import visible
from pipeline.summary import broken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pipeline.ledger.verify import Report
    from pipeline.line import Line
    from pipeline.scanning import Scan
    from pipeline.verification import Verified

SEVERITY_STYLE: Final = {
    "critical": "bold red", "high": "red", "medium": "yellow", "low": "cyan", "informational": "dim",
}  # fmt: skip
_MARGIN: Final = 12  # columns of a summary's first word
_NOTE_MAX: Final = 20_000


def note(message: str) -> None:
    """One message for the person at the terminal."""
    lines = (visible(line, _NOTE_MAX) for line in message.splitlines())
    _console(stderr=True).print(Text("\n".join(lines)))


def _console(*, stderr: bool = False) -> Console:
    return Console(stderr=stderr, highlight=False, soft_wrap=True)


@contextmanager
def progress() -> Iterator[Callable[[Line], None]]:
    """A line on stderr that is rewritten as work goes on; nothing when stderr is no terminal."""
    console = _console(stderr=True)
    if not console.is_terminal:
        yield lambda _line: None
        return
    last = [0.0]
    with console.status("reading") as status:

        def update(line: Line) -> None:
            now = time.monotonic()
            if now - last[0] > 0.2:
                last[0] = now
                status.update(f"{line.totals.entries:,} entries, {line.totals.operations:,} operations")

        yield update


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Progress of something that can count: done of all. None when stderr is no terminal."""
    console = _console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with console.status(what) as status:
        yield lambda done, size: status.update(f"{what}: {done:,} of {size:,}")


def lines(texts: Iterable[str]) -> None:
    """Ready-made lines, flushed: somebody may be following."""
    for text in texts:
        sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _entry(name: str, *parts: str | tuple[str, str]) -> Text:
    """A summary's line: a word in the margin, then text, some of it styled."""
    return Text.assemble(f"{name:<{_MARGIN}}", *parts)


def verification(results: Sequence[Verified], style: str) -> None:
    """What was proven and what was not, ledger by ledger; rows for programs."""
    if style != "table":
        tables.table(pl.concat([_shown(result.report) for result in results]), style)
        return
    for result in results:
        _verification(result)


def _shown(report: Report) -> pl.DataFrame:
    return report.rows.drop("uid", "known", strict=False)


def _verification(result: Verified) -> None:
    out, report, pinned = _console(), result.report, result.pinned
    out.print(_entry("ledger", f"{report.size:,} leaves, root {report.root.hex()}"))
    if result.folder != "ledger":
        out.print(_entry("", f"in {visible(result.folder)}"))
    out.print(_entry("lake", f"{report.leaves:,} rows"))
    out.print(_entry("key", visible(pinned.verifier.vkey())))
    out.print(_entry("", f"from {visible(pinned.origin)}"))
    for text in report.notes:
        out.print(_entry("note", visible(text)))
    if not report.exit_code:
        out.print(_entry("verified", ("every row, tile and head holds", "green")))
        return
    out.print(_entry("verified", ("NO: what does not hold is below", "bold red")))
    tables.table(_shown(report).filter(pl.col("verdict") != "ok"), "table")


def leaks(job: Scan) -> None:
    """The end of a scan, on stderr: what was found, in how much, and what was not searched."""
    for text in job.notes:
        note(text)
    for file, why in job.unread.items():
        note(f"not searched: {file}: {why}")
    total, files = sum(job.severities.values()), f"{job.searched:,} {'file' if job.searched == 1 else 'files'}"
    searched = f"{files}, {job.bytes / 1e6:,.1f} MB" if job.bytes >= 1e5 else f"{files}, {job.bytes:,} bytes"
    if not total:
        note(f"no leaks in {searched}")
        return
    grave = {name: job.severities[name] for name in reversed(SEVERITIES) if name in job.severities}
    kept = f"; {job.new:,} new in the lake" if job.keeps else ""
    note(f"{total:,} {'leak' if total == 1 else 'leaks'} in {len(job.files):,} of {searched}: {_counts(grave)}{kept}")
    note(", ".join(f"{count:,} {rule}" for rule, count in job.rules.most_common()))


def summary(result: Mapping[str, Any], lake: Path, *, as_json: bool) -> None:
    """The end of a run: what was read, what it proves, what was odd, and what to do next."""
    if as_json:
        sys.stdout.write(tables.json_line(result))
        return
    out = _console()
    entries, rate = result["entries"], result["entries_per_second"]
    out.print(_entry("read", f"{entries:,} entries, {result['operations']:,} operations in {result['seconds']:.1f} s "
                     f"({rate:,} entries/s)"))  # fmt: skip
    if not entries:
        out.print(_entry("", "nothing new: what these logs say is in the lake already"))
    else:
        _results(out, result)
    out.print()
    for at, hint in enumerate(_hints(result, lake)):
        out.print(_entry("" if at else "next", hint))


def _results(out: Console, result: Mapping[str, Any]) -> None:
    rejected = result["rejected"]
    out.print(_entry("rejected", _counts(rejected) or "none"))
    unread = not result["operations"] and sum(rejected.values()) >= result["entries"]
    if unread:
        out.print(_entry("", ("not one line could be read as an audit entry", "bold red")))
        if not result["alerts"] and not broken(result):
            return
    out.print(_integrity(result["integrity"]))
    for name, sli in result["slis"].items():
        out.print(_sli(name, sli))
    counts = [(f"{count} {name}", SEVERITY_STYLE[name]) for name, count in reversed(list(result["alerts"].items()))]
    between: list[str | tuple[str, str]] = [part for pair in counts for part in (", ", pair)][1:]
    out.print(_entry("alerts", *(between or ["none"])))
    if told := _findings(result["findings"], sum(result["alerts"].values())):
        out.print(_entry("findings", told))


def _findings(counts: Mapping[str, int], alerts: int) -> str:
    """What alerts saved their reader of; empty where nothing was found."""
    folded, held, suppressed = (counts[name] for name in ("folded", "held", "suppressed"))
    if not folded + held:
        return ""
    parts = [f"{folded:,} folded into {alerts:,} {'alerts' if alerts != 1 else 'alert'}"]
    parts += [f"{held:,} held as not worth one"] if held else []
    parts += [f"{suppressed:,} suppressed by the configuration"] if suppressed else []
    return f"{', '.join(parts)}: {max(1 - alerts / (folded + held), 0):.0%} fewer to look at"


def _integrity(found: Mapping[str, int]) -> Text:
    broken = {verdict: count for verdict, count in found.items() if verdict in BROKEN_VERDICTS}
    other = {verdict: count for verdict, count in found.items() if verdict not in broken}
    if broken:
        also = f"; also {_counts(other)}" if other else ""
        return _entry("integrity", ("BROKEN", "bold red"), f": {_counts(broken)} (exit code 10){also}")
    return _entry("integrity", _counts(other) or "nothing missing, altered or torn that these logs can show")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


_SLIS: Final = {
    "M1": "{value:.3%} of {total:,.0f} reads succeeded",
    "M2": "{value:.2%} of {total:,.0f} operations answered within {objective:g} ms",
    "M3": "{value:.2%} of {total:,.0f} rotations done",
    "M4": "{value:,.0f} of {total:,.0f} operations denied",
    "M5": "{value:,.0f} of {total:,.0f} reads were of secrets past their lifetime",
    "M8": "{minutes:,.0f} minutes until what leaked was of no more use, {note}",
    "M9": "{value:,.1f} operations a minute",
    "M10": "{value:.2%} of {total:,.0f} reads needed, no cache had them (estimate)",
}
_MEASURED: Final = "{value:.2%} of {total:,.0f} lookups answered by a cache"  # M10, where a cache's own log tells it


def _sli(name: str, sli: Mapping[str, Any]) -> Text:
    if sli["value"] is None:
        return _entry(name, "nothing to measure")
    form = _MEASURED if name == "M10" and not sli["estimate"] else _SLIS[name]
    told = form.format_map({**sli, "minutes": sli["value"] / 60})
    if sli["met"] is None:
        return _entry(name, told)
    objective = {"M2": "95%", "M5": f"{sli['objective']:g}", "M8": f"{sli['objective'] / 60:g} min"}.get(
        name, f"{sli['objective'] * 100:.6g}%"
    )
    verdict = ("met", "green") if sli["met"] else ("NOT met", "bold red")
    return _entry(name, f"{told}; objective {objective}: ", verdict)


def _hints(result: Mapping[str, Any], lake: Path) -> list[str]:
    """Commands worth running next, the lake named where it is not the default."""
    at = "" if lake == Path("lake") else f" --lake {shlex.quote(str(lake))}"
    where = (
        "SELECT source, verdict, evidence FROM integrity" if broken(result)
        else "SELECT source, completeness, count(*) AS hours FROM coverage GROUP BY ALL"
    )  # fmt: skip
    return [
        f"keytrail alerts --min-severity medium{at}",
        f'keytrail query "{where}"{at}',
        f"keytrail report access-review{at}",
        "keytrail detectors explain invariant",
    ]


_DETAILS: Final = (
    ("", "message"), ("observed", "observed"), ("expected", "expected"), ("next", "next_step"),
    ("suppressed", "suppression"),
)  # fmt: skip


def alerts(frame: pl.DataFrame) -> None:
    """The feed as blocks, one an alert; `frame` has every stored column."""
    out = _console()
    for row in frame.iter_rows(named=True):
        out.print(_alert(row))
        for name, column in _DETAILS:
            if row[column]:
                out.print(Text(_indented(name, visible(row[column]), out.width if out.is_terminal else _NOTE_MAX)))
    sys.stdout.flush()


def _indented(name: str, text: str, width: int) -> str:
    first = f"    {name:<10}" if name else "    "
    return textwrap.fill(
        text, max(width, 40), initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False
    )


def _alert(row: Mapping[str, Any]) -> Text:
    times = f" x{row['count']}" if row["count"] > 1 else ""
    return Text.assemble(
        f"{row['last_time']:%Y-%m-%d %H:%M:%S}  ",
        (f"{row['severity']:<13}", SEVERITY_STYLE[row["severity"]]),
        f"  {row['route']:<6}  {row['state']:<10}  ",
        (visible(row["title"]) + times, "bold"),
    )
