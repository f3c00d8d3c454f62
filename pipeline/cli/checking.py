"""`keytrail check` and `probe`: the configuration, and the way from a live store to the lake."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from pipeline import commands, named, probing, tables
from pipeline import config as conf
from pipeline.cli import show
from pipeline.cli.options import DEFAULT_LAKE, ConfigOption, Format, FormatOption, LakeOption
from pipeline.core.errors import ConfigError


def probe(  # noqa: PLR0917
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    address: Annotated[
        str | None, typer.Option(help="The store; default BAO_ADDR or VAULT_ADDR.", metavar="URL")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many canaries.", metavar="N")] = 1,
    interval: Annotated[float | None, typer.Option(min=0, help="Between two.", metavar="SECONDS")] = None,
    timeout: Annotated[float | None, typer.Option(min=0, help="To wait for each; 0: not.", metavar="SECONDS")] = None,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Canaries to a live store, timed until they are back."""
    settings = conf.load(config)
    settings.allow(named.TABLES)
    asked = {"address": address, "interval_seconds": interval, "timeout_seconds": timeout}
    results = []
    with show.counting("probing") as update:
        for result in probing.probe(lake, settings, count, asked):
            results.append(result)
            if format is Format.json:
                tables.rows([dataclasses.asdict(result)], "json")
            if update is not None:
                update(len(results), count)
    if format is not Format.json:
        tables.rows([dataclasses.asdict(result) for result in results], format.value)
    if not all(result.good or (timeout == 0 and result.outcome == "success") for result in results):
        raise typer.Exit(1)


def check(config: ConfigOption = None, format: FormatOption = Format.table) -> None:  # noqa: A002
    """Validate the config; print the effective one with origins."""
    settings = conf.load(config)
    tables.rows(commands.effective_config(settings), format.value)
    for line in named.unusable_sinks(settings):
        show.note(line)
    unusable = named.unusable_rules(settings)
    for line in unusable:
        show.note(line)
    if unusable:
        raise ConfigError(f"{len(unusable)} rules or suppressions cannot be used or can never match")
