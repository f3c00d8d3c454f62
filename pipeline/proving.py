"""The proof of one event, and a proof against a key."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import polars as pl

from pipeline import store
from pipeline.core.errors import ConfigError, NoInputError
from pipeline.ledger import proof_file
from pipeline.pinning import parse_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def prove(lake: Path, uids: Sequence[str], out: Path | None) -> list[tuple[str, bytes]]:
    """The proof and event files of events, by name; written to `out` when that is given.

    Raises NoInputError for a uid that the lake does not hold, LedgerError when nothing is published yet, ConfigError
    when `out` cannot be written.
    """
    wanted = ", ".join("?" for _ in uids)
    columns = "uid, source, file, position, leaf_index, salt, raw, redacted, leaf"
    sql = f"SELECT {columns} FROM raw WHERE uid IN ({wanted})"  # noqa: S608
    found = pl.DataFrame(pl.from_arrow(store.query(lake, sql, list(uids))))
    missing = sorted(set(uids) - set(found["uid"]))
    if missing:
        raise NoInputError(
            f"the lake holds no event {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else "")
        )
    if bare := found.filter(pl.col("leaf_index").is_null())["uid"].to_list():
        raise NoInputError(f"event {bare[0]} was stored while the ledger was off: there is nothing to prove")
    folders = [lake / "ledger", *sorted((lake / "ledger" / "workers").glob("*"))]
    files = []
    for row in found.iter_rows(named=True):
        files.append((f"{row['uid']}.tlog-proof", proof_file.proof_of(folders, row["leaf_index"], row["leaf"])))
        files.append((f"{row['uid']}.event.json", proof_file.make_event(row)))
    if out is not None:
        _keep(out, files)
    return files


def _keep(out: Path, files: Sequence[tuple[str, bytes]]) -> None:
    """Write what only its owner may read: an event file holds a line of the log."""
    try:
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, data in files:
            with open(os.open(out / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data)
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror}") from None


def verify_proof(proof: Path, event: Path | None, vkey: str) -> dict[str, Any]:
    """What a proof file shows, and which fields of the event file it binds.

    Raises LedgerError (exit 10) when it is refused, NoInputError, ConfigError.
    """
    try:
        data = proof.read_bytes()
        told = None if event is None else event.read_bytes()
    except OSError as error:
        raise NoInputError(f"{error.filename} cannot be read: {error.strerror}") from None
    proven = proof_file.verify_files(data, [parse_key(vkey)], event=told)
    return {
        "index": proven.index,
        "origin": proven.checkpoint.origin,
        "size": proven.checkpoint.size,
        "root": proven.checkpoint.root.hex(),
        "position": proven.entry.position,
        "content_checked": proven.content,
        "bound": ", ".join(proven.bound),
        "not_bound": ", ".join(proven.unbound),
    }
