"""`keytrail query`, `alerts`, `outbox` and `report`: what a lake holds, told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline import commands, named, tables, vouching
from pipeline import config as conf
from pipeline.cli import show
from pipeline.cli.options import (
    DEFAULT_LAKE,
    AlertFormat,
    ConfigOption,
    Format,
    FormatOption,
    LakeOption,
    Severity,
)
from pipeline.cli.running import stop_on_signals
from pipeline.store import letters

outbox = typer.Typer(invoke_without_command=True, help="What waits for sinks, what they refused; replay or drop it.")


def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT, or - to read it from stdin.")],
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Read-only SQL on the lake, also while run writes."""
    conf.load(config).allow(named.TABLES)
    text = sys.stdin.read() if sql == "-" else sql
    tables.table(commands.query(lake, text), format.value)


def alerts(  # noqa: PLR0917
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    follow: Annotated[bool, typer.Option("--follow", help="Keep printing new states.")] = False,
    since: Annotated[str | None, typer.Option(help="RFC 3339 time, or a span such as 24h.", metavar="TIME")] = None,
    min_severity: Annotated[Severity, typer.Option(help="Leave out what is below.")] = Severity.informational,
    format: Annotated[AlertFormat, typer.Option(help="How to print.")] = AlertFormat.table,  # noqa: A002
) -> None:
    """The alert feed."""
    conf.load(config).allow(named.TABLES)
    feed = commands.AlertFeed(lake, since, min_severity)
    stop_on_signals(feed.stop)
    for rows in feed.follow() if follow else [feed.read()]:
        if format is AlertFormat.ocsf:
            show.lines(commands.ocsf(rows))
        elif format is AlertFormat.json:
            tables.table(commands.in_view(rows), format.value)
        else:
            show.alerts(rows)


def report(  # noqa: PLR0917
    name: Annotated[str, typer.Argument(metavar="NAME", help="A report's name, or list.")],
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    start: Annotated[
        str | None, typer.Option("--from", help="RFC 3339 time, or a span back such as 30d.", metavar="TIME")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="The same; default: the last entry.", metavar="TIME")] = None,
    out: Annotated[Path, typer.Option("--out", help="Where the files go.", metavar="DIR")] = Path("out"),
    signing_key: Annotated[Path | None, typer.Option(help="The ledger's private key.", metavar="FILE")] = None,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Write a report as HTML, CSV and JSON, signed by the ledger."""
    settings = conf.load(config)
    settings.allow(named.TABLES)
    if name == "list":
        tables.rows(commands.report_rows(), format.value)
        return
    voucher = vouching.voucher(lake, settings.table(conf.LedgerConfig, "ledger"), signing_key)
    for path in commands.report(lake, name, (start, end), out, voucher):
        sys.stdout.write(f"{path}\n")
    if voucher.reason:
        show.note(f"the report is not signed: {voucher.reason}")


@outbox.callback()
def outbox_sinks(
    context: typer.Context,
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """What waits for each sink, and what it refused."""
    if context.invoked_subcommand is None:
        conf.load(config).allow(named.TABLES)
        tables.table(letters.sinks(lake), format.value)


@outbox.command("refused")
def outbox_refused(lake: LakeOption = DEFAULT_LAKE, format: FormatOption = Format.table) -> None:  # noqa: A002
    """What sinks refused for good, with their reasons."""
    tables.table(letters.refused(lake), format.value)


@outbox.command("replay")
def outbox_replay(
    sink: Annotated[str, typer.Argument(metavar="SINK", help="Its name in [sinks.NAME].")],
    lake: LakeOption = DEFAULT_LAKE,
) -> None:
    """Let what a sink refused wait for it again."""
    count = letters.replay(lake, sink)
    show.note(f"{count:,} refused by {sink} wait for it again")


@outbox.command("drop")
def outbox_drop(
    sink: Annotated[str, typer.Argument(metavar="SINK", help="Its name in [sinks.NAME].")],
    event_ids: Annotated[list[str] | None, typer.Argument(metavar="EVENT_ID", help="Default: all it refused.")] = None,
    lake: LakeOption = DEFAULT_LAKE,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Give up what a sink refused, and say what that was."""
    gone = letters.drop(lake, sink, event_ids or ())
    tables.table(gone, format.value)
    show.note(f"{len(gone):,} refused by {sink} dropped")
