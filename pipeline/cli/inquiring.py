"""`keytrail investigate`, `inventory` and `policy`: what the lake says of one name, or of all secrets."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from pipeline import config as conf
from pipeline import inquiry, named, tables
from pipeline.cli import parts, show
from pipeline.cli.options import DEFAULT_LAKE, ConfigOption, Format, FormatOption, LakeOption, SummaryFormat
from pipeline.inquiry.inventory import COLUMNS, shown

FromOption = Annotated[
    str | None, typer.Option("--from", help="RFC 3339 time, or a span back such as 30d.", metavar="TIME")
]
ToOption = Annotated[str | None, typer.Option("--to", help="The same; default: the last entry.", metavar="TIME")]
StoreOption = Annotated[str | None, typer.Option("--store", help="Of this store alone.", metavar="STORE")]
_ROWS = 20  # of each table, where --limit says nothing


class Kind(StrEnum):
    """What a name is."""

    secret = "secret"  # noqa: S105  a word
    principal = "principal"


class PolicyFormat(StrEnum):
    """How a policy is printed; hcl is the store's own form, whatever that is."""

    hcl = "hcl"
    json = "json"
    table = "table"


def investigate(  # noqa: PLR0917
    name: Annotated[str, typer.Argument(metavar="NAME", help="A secret or a principal.")],
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    start: FromOption = None,
    end: ToOption = None,
    since: Annotated[
        str | None,
        typer.Option(help="When it leaked, the same; default: the first high alert about it.", metavar="TIME"),
    ] = None,
    kind: Annotated[Kind | None, typer.Option("--as", help="What the name is, where it is both.")] = None,
    store: StoreOption = None,
    namespace: Annotated[str | None, typer.Option(help="Of this namespace alone; '' is the root.")] = None,
    format: Annotated[SummaryFormat, typer.Option(help="How to print.")] = SummaryFormat.table,  # noqa: A002
    limit: Annotated[
        int | None, typer.Option(help="Rows of each table; default 20, in JSON all.", metavar="N", min=1)
    ] = None,
) -> None:
    """Who had it, what is at stake, and is it revoked by now."""
    conf.load(config).allow(named.TABLES)
    wanted = inquiry.Wanted(name, (start, end), since, kind, store, namespace)
    found = inquiry.investigate(lake, wanted)
    if format is SummaryFormat.json:
        parts.objects(found, limit)
    else:
        parts.pages(found, limit or _ROWS)


def inventory(  # noqa: PLR0917
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    store: StoreOption = None,
    owner: Annotated[str | None, typer.Option(help="Of this principal alone.", metavar="PRINCIPAL")] = None,
    stale: Annotated[bool, typer.Option("--stale", help="Unused for 90 days.")] = False,
    never_read: Annotated[bool, typer.Option("--never-read", help="Written and never read.")] = False,
    over_shared: Annotated[bool, typer.Option("--over-shared", help="Read by more than ten in 90 days.")] = False,
    format: FormatOption = Format.table,  # noqa: A002
    limit: Annotated[int | None, typer.Option(help="At most so many.", metavar="N", min=1)] = None,
) -> None:
    """Secrets, their owners and consumers, from observed use."""
    conf.load(config).allow(named.TABLES)
    flags = [name for name, on in (("stale", stale), ("never_read", never_read), ("over_shared", over_shared)) if on]
    found, total = inquiry.inventory(lake, {"store": store, "owner": owner}, flags, limit)
    if format is Format.table:
        names = found.column_names
        parts.table([shown(dict(zip(names, row, strict=True))) for row in tables.records(found)], COLUMNS)
    else:
        tables.table(found, format.value)
    if found.num_rows < total:
        show.note(f"{total - found.num_rows:,} more of {total:,}: raise --limit")


def policy(  # noqa: PLR0917
    principal: Annotated[str, typer.Argument(metavar="PRINCIPAL", help="Whose policy.")],
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    start: FromOption = None,
    end: ToOption = None,
    store: StoreOption = None,
    format: Annotated[PolicyFormat, typer.Option(help="hcl: the store's own form.")] = PolicyFormat.hcl,  # noqa: A002
) -> None:
    """The narrowest policy that allows what it was seen to do."""
    conf.load(config).allow(named.TABLES)
    found = inquiry.policy(lake, principal, (start, end), store)
    if format is PolicyFormat.json:
        for row in (row for one in found for row in one.rows()):
            sys.stdout.write(tables.json_line(row))
    elif format is PolicyFormat.table:
        parts.table([inquiry.shown(row) for one in found for row in one.rows()])
    else:
        parts.documents([one.text() for one in found])
