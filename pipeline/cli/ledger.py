"""`keytrail ledger`: keys handed over, time stamps, entries erased, legal holds. Each is a record to verify."""

from __future__ import annotations

import operator
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline import anchoring, erasing, named, tables, telling, verification
from pipeline import config as conf
from pipeline.cli import show
from pipeline.cli.options import DEFAULT_LAKE, ConfigOption, Format, FormatOption, LakeOption, RootsOption
from pipeline.core.model import Hold
from pipeline.store import StoreConfig

ledger = typer.Typer(no_args_is_help=True, help="The ledger's keys and time stamps; entries erased or held.")

Key = Annotated[Path | None, typer.Option(help="The ledger's private key.", metavar="FILE")]
Reason = Annotated[str, typer.Option(help="Why; it is recorded.", metavar="TEXT")]
Authority = Annotated[str, typer.Option(help="Who decided it; it is recorded.", metavar="NAME")]


def _settings(path: Path | None) -> conf.Settings:
    settings = conf.load(path)
    settings.allow(named.TABLES)
    return settings


def _config(path: Path | None) -> conf.LedgerConfig:
    return _settings(path).table(conf.LedgerConfig, "ledger")


def _order(lake: Path, reason: str, authority: str, config: Path | None, signing_key: Path | None) -> erasing.Order:
    settings = _settings(config)
    return erasing.Order(
        lake, reason, authority, settings.table(conf.LedgerConfig, "ledger"), signing_key,
        settings.table(StoreConfig, "store"),
    )  # fmt: skip


@ledger.command("rotate")
def rotate(
    to: Annotated[
        Path | None,
        typer.Option(
            help="The new private key; made where there is none. Default: the configured signer.", metavar="FILE"
        ),
    ] = None,
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    signing_key: Annotated[Path | None, typer.Option(help="The key so far.", metavar="FILE")] = None,
    worker: Annotated[str, typer.Option(help="Whose ledger, where a lake has several.", metavar="NAME")] = "main",
) -> None:
    """Hand the ledger over to another key; prints the new verifier key. No run may be writing to the lake."""
    sys.stdout.write(f"{verification.rotate_key(lake, signing_key, to, worker, _config(config))}\n")


@ledger.command("anchor")
def anchor(  # noqa: PLR0917
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    tsa: Annotated[
        str | None, typer.Option(help="The time-stamping authority; default: the configured one.", metavar="URL")
    ] = None,
    roots: RootsOption = None,
    signing_key: Key = None,
    worker: Annotated[str, typer.Option(help="Whose ledger, where a lake has several.", metavar="NAME")] = "main",
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Have an RFC 3161 authority stamp the newest checkpoint. What a run in progress hinders is recorded next time."""
    found, notes = anchoring.anchor(anchoring.Order(lake, _config(config), tsa, roots, signing_key, worker))
    tables.rows(found, format.value)
    for line in notes:
        show.note(line)


@ledger.command("redact")
def redact(  # noqa: PLR0917
    uids: Annotated[list[str], typer.Argument(metavar="UID", help="Events of the lake.")],
    reason: Reason,
    authority: Authority,
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    whole: Annotated[
        bool, typer.Option("--whole-request", help="Every entry of the same requests too, on all devices.")
    ] = False,
    signing_key: Key = None,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Erase entries; their leaves stay. No run may be writing to the lake."""
    erased = erasing.redact(_order(lake, reason, authority, config, signing_key), uids, whole=whole)
    tables.table(erased, format.value)
    show.note(f"{len(erased):,} entries erased; keytrail ledger purge deletes the files that held them")


@ledger.command("hold")
def hold(  # noqa: PLR0917
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the hold is called.")],
    reason: Reason,
    authority: Authority,
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    source: Annotated[
        list[str] | None, typer.Option(help="A stream; may be given again. Default: every stream.", metavar="STREAM")
    ] = None,
    start: Annotated[str | None, typer.Option("--from", help="RFC 3339 time of the first event.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="RFC 3339 time after the last one.")] = None,
    signing_key: Key = None,
) -> None:
    """Keep entries from retention and redaction. No run may be writing to the lake; `release` ends it."""
    span = verification.moments(start, end)
    asked = Hold(name, tuple(source or ()), span[0] or 0, erasing.LAST_US if span[1] is None else span[1])
    erasing.place_hold(_order(lake, reason, authority, config, signing_key), asked)


@ledger.command("release")
def release(  # noqa: PLR0917
    name: Annotated[str, typer.Argument(metavar="NAME", help="A hold that stands.")],
    reason: Reason,
    authority: Authority,
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    signing_key: Key = None,
) -> None:
    """Lift a legal hold. No run may be writing to the lake."""
    erasing.release_hold(_order(lake, reason, authority, config, signing_key), name)


@ledger.command("records")
def records(
    lake: LakeOption = DEFAULT_LAKE,
    positions: Annotated[bool, typer.Option("--positions", help="How far streams were read, too.")] = False,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Every hold, release, erasure, expiry and refusal: who, and why. What is missing, what counters and canaries say,
    configurations, recorded verifications."""
    found = [*erasing.history(lake), *telling.told(lake, positions=positions)]
    tables.rows(sorted(found, key=operator.itemgetter("at")), format.value)


@ledger.command("purge")
def purge(
    lake: LakeOption = DEFAULT_LAKE,
    now: Annotated[
        bool, typer.Option("--now", help="Those too that readers with an open snapshot may still use.")
    ] = False,
) -> None:
    """Delete files that were replaced. A run does the same when their time is over."""
    gone, stay = erasing.purge(lake, now=now)
    show.note(f"{gone:,} replaced files deleted, {stay:,} stay for their readers")
