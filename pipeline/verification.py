"""Proving: the lake against its ledger, the proof of one event, a proof against a key; a CloudTrail bucket."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from pipeline import config as conf
from pipeline import ledgers, store
from pipeline.core.clock import system_clock
from pipeline.core.errors import ConfigError, IntegrityBrokenError, NoInputError, StoreError
from pipeline.integrity import cloudtrail
from pipeline.ledger import FileGuard, keys, note, policy, proof_file
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.row_check import COLUMNS
from pipeline.ledger.sealed import FILES, files_key, files_origin
from pipeline.ledger.verify import Report, Snapshot, Unreadable, verify
from pipeline.ledgers import MAIN, folder_of, guard_of, key_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.core.model import Owned
    from pipeline.ledger.note import Verifier
    from pipeline.ledger.timestamp import Roots


@dataclass(frozen=True, slots=True)
class Pinned:
    """The key that a ledger is held to, and where it was taken from."""

    verifier: Verifier
    origin: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What verification of one worker's ledger says; `folder` is where it lies in the lake."""

    worker: str
    folder: str
    report: Report
    pinned: Pinned
    files: Report  # of the log over files alone; `report` has its rows


def pinned(lake: Path, vkey: str | None, folder: str = "ledger", config: conf.LedgerConfig | None = None) -> Pinned:
    """The given key, else that of the configured signer or of this user's key, else the one that the lake names itself.

    Every worker's log has a name of its own: the given key is held to under that name. Raises ConfigError for a text
    that is no key, NoInputError for a lake without a ledger.
    """
    known = policy.read(lake / folder / "policy")
    if vkey:
        given = parse_key(vkey)
        named = [log for log in known.logs if log.public == given.public] if known and folder != "ledger" else []
        return Pinned(named[0] if named else given, "given")
    if known is None or not known.logs:
        raise NoInputError(f"{lake} has no ledger: nothing was committed to it yet")
    if config is not None and config.signer == "command":
        public = ledgers.configured(config).public
        if named := [log for log in known.logs if log.public == public]:
            return Pinned(named[0], "the configured signer")
    own = keys.default_key_path()
    if own.exists() and any(log.public == note.verifier_of(keys.load(own)).public for log in known.logs):
        return Pinned(known.logs[0], f"the signing key {keys.shown(own)}")
    return Pinned(known.logs[0], "the lake itself: pin a key with --key to rule out a ledger that was made anew")


def parse_key(vkey: str) -> Verifier:
    """A verifier key text (or a file that holds one). Raises ConfigError."""
    try:
        text = Path(vkey).read_text("utf-8").strip() if "+" not in vkey and Path(vkey).is_file() else vkey
        return note.parse_vkey(text)
    except (LedgerError, ValueError) as error:
        raise ConfigError(f"--key is no verifier key: {error}") from None
    except OSError as error:
        raise ConfigError(f"--key {vkey}: {error.strerror}") from None


def verify_lake(
    lake: Path,
    vkey: str | None,
    since_heads: Sequence[Path],
    progress: Callable[[int, int], None] | None,
    ledger: conf.LedgerConfig | None = None,
    *,
    roots: Path | None = None,
) -> list[Verified]:
    """Everything the ledgers promise about a lake, one for each worker. Raises NoInputError, ConfigError, StoreError.

    `ledger` says where the key lies and where what it signed is remembered, by default in the user's folders. A kept
    head is held against the log it names; one that names none of them is held against the first. `roots` are the
    certificates that time stamps must lead to, in the place of configured ones.
    """
    kept = [_kept(path) for path in since_heads]
    config = ledger or conf.LedgerConfig()
    trusted = ledgers.roots_of(config, roots)
    found: dict[str, Verified] = {}
    owned: dict[str, Owned] = {}
    with store.Lake.open(lake, store.StoreConfig(), writer=False, clock=system_clock) as opened:
        workers = sorted(opened.ledgers() or (MAIN,), key=lambda name: (name != MAIN, name))
        known = {worker: pinned(lake, vkey, folder_of(worker), ledger) for worker in workers}
        origins = {key.verifier.name: worker for worker, key in known.items()}
        origins |= {files_origin(name): worker for name, worker in origins.items()}
        for worker, key in known.items():
            mine = [head for head in kept if origins.get(_log_of(head), workers[0]) == worker]
            folder = folder_of(worker)
            guard = guard_of(config, key_path(config), lake, folder)
            report, files, owned[worker] = _verify(opened, worker, key.verifier, mine, guard, progress, trusted)
            found[worker] = Verified(worker, folder, report, key, files)
    return [_positions(worker, found, owned[worker]) for worker in found]


def _positions(worker: str, found: dict[str, Verified], owned: Owned) -> Verified:
    """A worker's result with what the lake's catalogue has otherwise than the records of reading positions."""
    others = {name: one.files.standing for name, one in found.items() if name != worker}
    mine = found[worker]
    told = mine.files.standing.hold(worker, owned, others)
    code = IntegrityBrokenError.exit_code if told.broken else mine.report.exit_code
    rows = pl.concat([mine.report.rows, told.frame()])
    return replace(mine, report=replace(mine.report, rows=rows, exit_code=code))


def _verify(  # noqa: PLR0917  all of what one worker's two logs are held to
    lake: store.Lake,
    worker: str,
    key: Verifier,
    kept: Sequence[bytes],
    guard: FileGuard,
    progress: Callable[[int, int], None] | None,
    roots: Roots,
) -> tuple[Report, Report, Owned]:
    """The log over what was read against the raw rows, and the log over files against all of the worker's files.

    The first report has what both say, the second is of the latter. The last are the positions of that moment.
    """
    folder, moment = folder_of(worker), []

    def entries() -> Snapshot:
        moment.append(_settled(lake, worker))
        head, files, _ = moment[0]
        raw = [name for name, table in files.items() if table == "raw"]
        return Snapshot(head, _rows(lake, raw), holds=lake.holds(worker))

    def sealed() -> Snapshot:
        head, files, _ = moment[0]
        return Snapshot(head.get(FILES), (), files)

    over_files = files_key(key)
    heads = {over: [head for head in kept if (_log_of(head) == over_files.name) is over] for over in (False, True)}
    report = verify(
        lake.path, key, entries, since_heads=heads[False], guard=guard, progress=progress, folder=folder, roots=roots
    )
    files = verify(
        lake.path, over_files, sealed, since_heads=heads[True], guard=guard, folder=f"{folder}/{FILES}", sealed=True
    )
    placed = report.rows.filter(~pl.col("verdict").is_in(("ok", "redacted")))["source"]
    again = (pl.col("cause") == "file") & pl.col("source").is_in(placed.implode())  # told row by row already
    rows = pl.concat([report.rows, files.rows.filter(~again)])
    report = replace(report, rows=rows, exit_code=max(report.exit_code, files.exit_code))
    return report, files, moment[0][2]


def _settled(lake: store.Lake, worker: str) -> tuple[dict[str, Any], dict[str, str], Owned]:
    """The head, the files and all positions. What another worker has merged, this one's run seals at once: it is waited
    for."""
    for wait in (*[0.2] * 10, 0.0):
        head, files, pending, owned = lake.evidence(worker)
        if not pending:
            break
        time.sleep(wait)
    return head, files, owned


def _log_of(head: bytes) -> str:
    return head.partition(b"\n")[0].decode("utf-8", "replace")


def _kept(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NoInputError(f"the kept head {path} cannot be read: {error.strerror}") from None


def _rows(lake: store.Lake, files: Sequence[str]) -> Iterator[pl.DataFrame | Unreadable]:
    """The rows of files, a group at a time; no group is kept while the next is read."""
    for file in files:
        named = pl.lit(file).alias("lake_file")
        try:
            yield from map(methodcaller("with_columns", named), lake.read_file("raw", file, *COLUMNS))
        except StoreError as error:
            yield Unreadable(file, type(error.__cause__ or error).__name__)


def rotate_key(lake: Path, old: Path | None, new: Path | None, worker: str, config: conf.LedgerConfig) -> str:
    """Hand a worker's ledger over from `old` (default: the configured signer) to the key in `new`, made on first use.

    Without `new` it goes from the file `old` to the configured signer. Gives the new verifier key.
    Raises ConfigError for keys that cannot be used, StoreError while a run writes to the lake.
    """
    if new is None and (old is None or config.signer == "file"):
        raise ConfigError('give --to FILE; or --signing-key FILE and a config with [ledger] signer = "command"')
    signer = ledgers.configured(config) if new is None else keys.load_or_create(new)
    with store.Lake.open(lake, store.StoreConfig(), writer=True, clock=system_clock, worker=worker) as opened:
        ledger = ledgers.opened(opened, config, old)
        ledger.rotate(signer)
        ledgers.commit(opened, ledger)
        folder = folder_of(worker)
        guard = guard_of(config, key_path(config, old), lake, folder)
        remembered = guard_of(config, new or key_path(config), lake, folder)
        for log in (ledger.entries, ledger.files):
            if (signed := guard.last(log.origin)) is not None:
                remembered.advance(signed)
    return ledger.entries.verifier.vkey()


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
    """What a proof file shows. Raises LedgerError (exit 10) when it is refused, NoInputError, ConfigError."""
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
    }


def verify_cloudtrail(
    directory: Path, ring: cloudtrail.KeyRing, span: tuple[str | None, str | None], seen: Path | None,
    progress: Callable[[int, int], None] | None, *, changed: Sequence[cloudtrail.Changed] = (),
) -> cloudtrail.Verified:  # fmt: skip
    """A mirrored CloudTrail bucket against pinned public keys, for the time in `span` (RFC 3339, open ends None).

    `seen` holds the chains of an earlier verification; where nothing is broken it is brought up to date. `changed` are
    keys that are not those known before. Raises NoInputError without a folder, ConfigError for times that cannot be
    used.
    """
    if not directory.is_dir():
        raise NoInputError(f"there is no folder {directory}")
    start, end = moments(*span)
    scope = cloudtrail.Scope(start, end, system_clock() // 1000)
    known = () if seen is None else cloudtrail.read_heads(seen)
    result = cloudtrail.verify(directory, ring, scope, seen=known, changed=changed, progress=progress)
    if seen is not None and not result.broken:
        cloudtrail.write_heads(seen, result.heads)
    return result


def moments(start: str | None, end: str | None) -> tuple[int | None, int | None]:
    """`--from` and `--to` in µs. Raises ConfigError for what is no RFC 3339 time, or no span."""
    first, last = _moment("--from", start), _moment("--to", end)
    if first is not None and last is not None and first >= last:
        raise ConfigError("--from is not before --to")
    return first, last


def cloudtrail_frames(result: cloudtrail.Verified, style: str) -> list[pl.DataFrame]:
    """What is printed: the views' columns for programs; for people no empty columns and no hour told twice."""
    integrity = result.integrity.drop("uid", "known")
    if style != "table":
        return [integrity, result.coverage]
    return [integrity.drop("from_position", "to_position", "file"), cloudtrail.merged(result.coverage)]


def cloudtrail_notes(result: cloudtrail.Verified) -> list[str]:
    """What was looked at, in words."""
    notes = [f"{result.digests:,} digests looked at, {result.logs:,} logs are those their digests list"]
    if not result.digests:
        notes.append("no digest was found: DIR is the bucket's root, the folder that has AWSLogs in it")
    if result.waiting:
        notes.append(f"{result.waiting:,} logs are newer than the newest digest; their digest is still to come")
    return notes


def _moment(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    at = cloudtrail.micros(text)
    if at is None:
        raise ConfigError(f"{option} {text!r}: give an RFC 3339 time such as 2026-03-02T00:00:00Z")
    return at
