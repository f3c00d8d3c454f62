"""A verification's result among the leaves: that somebody looked, when, and what was found (kind 10)."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import polars as pl

from pipeline import ledgers
from pipeline.core.errors import KeytrailError, StoreError
from pipeline.ledger import leaf, statements
from pipeline.ledger.places import HARMLESS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.config import LedgerConfig
    from pipeline.store import Lake
    from pipeline.verification import Verified

HEAD = "ledger head of the last commit"


def record(
    lake: Path, results: Sequence[Verified], *, version: str, span_us: tuple[int, int], config: LedgerConfig,
    signing_key: Path | None,
) -> list[str]:  # fmt: skip
    """Append what each ledger's verification found to that ledger's log over files; in words, what was done.

    Nothing that is broken is mended by it: no file is sealed, removed or published, and where the record would take a
    broken head's place there is none. Raises StoreError while a run writes to the lake, unless something is broken.
    """
    said = {"version": version, "started_us": span_us[0], "ended_us": span_us[1]}
    told = []
    try:
        with ExitStack() as stack:
            opened = [stack.enter_context(ledgers.writable(lake, result.worker, quiet=True)) for result in results]
            for result, writer in zip(results, opened, strict=True):
                refused = _headless(result) or _append(writer, result, said, config, signing_key)
                done = f"not recorded in {result.folder}: {refused}" if refused else f"recorded in {result.folder}"
                told.append(done)
    except StoreError as error:
        if not any(result.report.exit_code for result in results):
            raise
        told.append(f"not recorded: {error}")  # that something is broken is said first
    return told


def _headless(result: Verified) -> str:
    """Which statement of the newest root is broken, in words: a record would replace it."""
    heads = [HEAD, f"{result.folder}/checkpoint", f"{result.folder}/files/checkpoint"]
    broken = result.report.rows.filter(pl.col("source").is_in(heads), ~pl.col("verdict").is_in(HARMLESS))
    sources = broken["source"].sort().to_list()
    return f"{sources[0]} is broken, and a record would take its place" if sources else ""


def _append(
    lake: Lake, result: Verified, said: dict[str, object], config: LedgerConfig, signing_key: Path | None
) -> str:
    """Append the record; why not, where the broken ledger cannot be gone on with."""
    report, files = result.report, result.files
    body = statements.verification(
        report.rows, **said, size=report.size, root=report.root.hex(), exit_code=report.exit_code,
        files={"size": files.size, "root": files.root.hex()},
    )  # fmt: skip
    try:
        ledgers.add(lake, ledgers.opened(lake, config, signing_key), leaf.VERIFICATION, body)
    except KeytrailError as error:
        if not report.exit_code:
            raise
        return str(error)
    return ""
