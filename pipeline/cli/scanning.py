"""`keytrail scan`: leaked secrets in logs of any kind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline import config as conf
from pipeline import named, tables
from pipeline.cli import show
from pipeline.cli.options import ConfigOption, Format, FormatOption
from pipeline.core.schema import SEVERITIES
from pipeline.leaks import COLUMNS
from pipeline.scanning import Scan


def _stream(job: Scan, style: Format) -> None:
    """Rows as they are found; who reads no further does not keep the rest from the lake."""
    rows = job.rows()
    try:
        tables.write(COLUMNS, rows, style.value)
    except BrokenPipeError:
        for _ in rows if job.keeps else ():
            pass
        raise


def scan(  # noqa: PLR0917  one parameter an option
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Files, folders, or - for stdin.")],
    lake: Annotated[Path | None, typer.Option(help="Keep the leaks in this lake, too.", metavar="DIR")] = None,
    config: ConfigOption = None,
    signing_key: Annotated[
        Path | None, typer.Option(help="With --lake: the ledger's private key.", metavar="FILE")
    ] = None,
    exit_severity: Annotated[bool, typer.Option("--exit-severity", help="Exit 11-15 by the gravest leak.")] = False,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Find leaked secrets in any text log."""
    settings = conf.load(config)
    settings.allow(named.TABLES)
    job = Scan(paths, settings, lake, signing_key)
    if format is Format.table:
        with show.counting("scanning") as update:
            rows = list(job.rows(update))
        if rows:
            tables.write(COLUMNS, rows, format.value)
    else:
        _stream(job, format)
    show.leaks(job)
    if exit_severity and job.severities:
        raise typer.Exit(11 + max(map(SEVERITIES.index, job.severities)))
    if job.unread:
        raise typer.Exit(1)
