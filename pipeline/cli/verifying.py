"""`keytrail verify` and `proof`: the lake against its ledger, single proofs, signed reports, CloudTrail buckets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline import app as application
from pipeline import attesting, keeping, named, proving, recording, tables, verification
from pipeline import config as conf
from pipeline.cli import show
from pipeline.cli.options import DEFAULT_LAKE, ConfigOption, Format, FormatOption, LakeOption, RootsOption
from pipeline.core.clock import system_clock

verify = typer.Typer(invoke_without_command=True, help="The lake against its ledger; a proof; a report; CloudTrail.")


@verify.callback()
def verify_lake(  # noqa: PLR0917
    context: typer.Context,
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    key: Annotated[str | None, typer.Option(help="The ledger's verifier key (text or file).", metavar="VKEY")] = None,
    since_head: Annotated[
        list[Path] | None,
        typer.Option(help="A kept copy of a ledger's checkpoint; may be given again.", metavar="FILE"),
    ] = None,
    roots: RootsOption = None,
    record: Annotated[bool, typer.Option("--record", help="Record in the ledger what was found.")] = False,
    signing_key: Annotated[
        Path | None, typer.Option(help="The ledger's private key, for --record.", metavar="FILE")
    ] = None,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Hold the lake's rows, the ledger's tiles and its head against each other. With --record no run may be writing."""
    if context.invoked_subcommand is not None:
        return
    settings = conf.load(config)
    settings.allow(named.TABLES)
    ledger, began_us = settings.table(conf.LedgerConfig, "ledger"), system_clock() // 1000
    with show.counting("verifying") as update:
        results = verification.verify_lake(lake, key, since_head or (), update, ledger, roots=roots)
    show.verification(results, format.value)
    if record:
        span_us, version = (began_us, system_clock() // 1000), application.version()
        told = recording.record(lake, results, version=version, span_us=span_us, config=ledger, signing_key=signing_key)
        for line in told:
            show.note(line)
    if code := max(result.report.exit_code for result in results):
        raise typer.Exit(code)


@verify.command("proof")
def verify_proof(
    file: Annotated[Path, typer.Argument(help="A .tlog-proof file.")],
    key: Annotated[str, typer.Option(help="The ledger's verifier key (text or file).", metavar="VKEY")],
    event: Annotated[Path | None, typer.Option(help="The .event.json beside it.", metavar="FILE")] = None,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Check an inclusion proof: exit 0 good, 10 refused."""
    tables.rows([proving.verify_proof(file, event, key)], format.value)


@verify.command("report")
def verify_report(  # noqa: PLR0917
    path: Annotated[Path, typer.Argument(help="A report's .manifest.json, or a folder of reports.", metavar="PATH")],
    key: Annotated[str | None, typer.Option(help="The ledger's verifier key (text or file).", metavar="VKEY")] = None,
    lake: Annotated[Path | None, typer.Option(help="The lake it was made of; its ledger, too.", metavar="DIR")] = None,
    since_head: Annotated[
        list[Path] | None,
        typer.Option(help="A kept copy of a ledger's checkpoint; may be given again.", metavar="FILE"),
    ] = None,
    rederive: Annotated[bool, typer.Option("--rederive", help="Ask the SQL of the lake again.")] = False,
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Check signed reports: exit 0 when all of it holds, 10 refused. The key is the one given, else the lake's, else
    this user's own."""
    settings = conf.load(config)
    settings.allow(named.TABLES)
    chosen = DEFAULT_LAKE if rederive and lake is None else lake
    asked = attesting.Asked(key, chosen, since_head or (), rederive, settings.table(conf.LedgerConfig, "ledger"))
    rows = attesting.verify(path, asked)
    tables.rows(rows, format.value)
    if any(row["verdict"] != "ok" for row in rows):
        raise typer.Exit(10)


@verify.command("cloudtrail")
def verify_cloudtrail(  # noqa: PLR0917
    directory: Annotated[Path, typer.Argument(help="The bucket's root, mirrored.", metavar="DIR")],
    keys: Annotated[Path | None, typer.Option(help="Public keys by region.", metavar="FILE")] = None,
    start: Annotated[str | None, typer.Option("--from", help="RFC 3339 time; default: as far as it goes.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="RFC 3339 time; default: now.")] = None,
    seen: Annotated[Path | None, typer.Option(help="Chains seen before; kept up to date.", metavar="FILE")] = None,
    lake: Annotated[Path | None, typer.Option(help="Its ledger's public keys, too.", metavar="DIR")] = None,
    record: Annotated[bool, typer.Option("--record", help="Record new public keys in that ledger.")] = False,
    config: ConfigOption = None,
    signing_key: Annotated[Path | None, typer.Option(help="The ledger's private key.", metavar="FILE")] = None,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Check a mirrored CloudTrail bucket: exit 0 whole, else 10."""
    settings = conf.load(config)
    settings.allow(named.TABLES)
    ring, changed, recorded = keeping.keys_for(keys, lake, settings, signing_key, keep=record)
    with show.counting("verifying") as update:
        result = verification.verify_cloudtrail(directory, ring, (start, end), seen, update, changed=changed)
    for frame in verification.cloudtrail_frames(result, format.value):
        tables.table(frame, format.value)
    for line in verification.cloudtrail_notes(result):
        show.note(line)
    if recorded:
        show.note(f"{recorded:,} public keys were recorded in the ledger")
    if result.broken:
        raise typer.Exit(10)


def proof(
    uids: Annotated[list[str], typer.Argument(metavar="EVENT_UID", help="Events of the lake.")],
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    out: Annotated[str, typer.Option(help="A folder, or - for stdout.", metavar="DIR")] = ".",
) -> None:
    """Write a .tlog-proof and an .event.json for each event."""
    conf.load(config).allow(named.TABLES)
    files = proving.prove(lake, uids, None if out == "-" else Path(out))
    for name, data in files:
        sys.stdout.write(data.decode() if out == "-" else f"{Path(out) / name}\n")
