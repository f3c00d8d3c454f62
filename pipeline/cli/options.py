"""Options that several commands share, and the words they take."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """How data is printed."""

    table = "table"
    csv = "csv"
    json = "json"


class SummaryFormat(StrEnum):
    """How a run's summary is printed."""

    table = "table"
    json = "json"


class AlertFormat(StrEnum):
    """How the alert feed is printed."""

    table = "table"
    json = "json"
    ocsf = "ocsf"


class Severity(StrEnum):
    """The least that is told."""

    informational = "informational"
    low = "low"
    medium = "medium"
    high = "high"
    critical = "critical"


LakeOption = Annotated[Path, typer.Option("--lake", help="The lake's folder.", metavar="DIR")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="A TOML file.", metavar="FILE")]
RootsOption = Annotated[
    Path | None,
    typer.Option(
        help="Certificates (PEM) that time stamps must lead to; default: the configured ones.", metavar="FILE"
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print.")]

DEFAULT_LAKE = Path("lake")
SAMPLES = Path("sample_logs")  # what `run` reads where nothing is named


def words(text: str) -> tuple[str, ...]:
    """An option's parts, set apart by commas."""
    return tuple(filter(None, (word.strip() for word in text.split(","))))
