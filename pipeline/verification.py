"""The lake against its ledgers; a CloudTrail bucket against its digests."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from pipeline import config as conf
from pipeline import ledgers, store
from pipeline.core.clock import system_clock
from pipeline.core.errors import ConfigError, DamagedError, IntegrityBrokenError, NoInputError, StoreError
from pipeline.core.model import Hold
from pipeline.integrity import cloudtrail
from pipeline.ledger import FileGuard, keys
from pipeline.ledger.head import readable
from pipeline.ledger.places import HARMLESS, Places
from pipeline.ledger.row_check import COLUMNS
from pipeline.ledger.sealed import FILES, files_key, files_origin
from pipeline.ledger.verify import Report, Snapshot, Unreadable, verify
from pipeline.ledgers import MAIN, MAIN_FOLDER, folder_of, guard_of, key_path
from pipeline.pinning import pinned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pipeline.core.model import Owned
    from pipeline.ledger.note import Verifier
    from pipeline.ledger.timestamp import Roots
    from pipeline.pinning import Pinned


@dataclass(frozen=True, slots=True)
class Verified:
    """What verification of one worker's ledger says; `folder` is where it lies in the lake."""

    worker: str
    folder: str
    report: Report
    pinned: Pinned
    files: Report  # of the log over files alone; `report` has its rows


def verify_lake(
    lake: Path,
    vkey: str | None,
    since_heads: Sequence[Path],
    progress: Callable[[int, int], None] | None,
    ledger: conf.LedgerConfig | None = None,
    *,
    roots: Path | None = None,
) -> list[Verified]:
    """Everything the ledgers promise about a lake, one for each worker. Raises NoInputError, ConfigError, StoreError;
    IntegrityBrokenError or DamagedError where what the lake consists of cannot be told.

    `ledger` says where the key lies and where what it signed is remembered, by default in the user's folders. A kept
    head is held against the log it names; one that names none of them is held against the first. `roots` are the
    certificates that time stamps must lead to, in the place of configured ones.
    """
    kept = [_kept(path) for path in since_heads]
    config = ledger or conf.LedgerConfig()
    trusted = ledgers.roots_of(config, roots)
    found: dict[str, Verified] = {}
    owned: dict[str, Owned] = {}
    with _opened(lake) as opened:
        workers = sorted(_workers(opened) or (MAIN,), key=lambda name: (name != MAIN, name))
        known = {one: pinned(lake, vkey, folder_of(one), config, opened.evidence(one)[0]) for one in workers}
        origins = {key.verifier.name: worker for worker, key in known.items()}
        origins |= {files_origin(name): worker for name, worker in origins.items()}
        for worker, key in known.items():
            mine = [head for head in kept if origins.get(_log_of(head), workers[0]) == worker]
            folder = folder_of(worker)
            guard = guard_of(config, key_path(config), lake, folder)
            alone = workers == [MAIN]  # one of several may have merged files of another's
            report, files, owned[worker] = _verify(
                opened, worker, key.verifier, mine, guard, progress, trusted, alone=alone
            )
            found[worker] = Verified(worker, folder, report, key, files)
    return [_positions(worker, found, owned[worker]) for worker in found]


def _opened(lake: Path) -> store.Lake:
    try:
        return store.reading(lake)
    except NoInputError as error:
        if (lake / MAIN_FOLDER).is_dir():
            raise IntegrityBrokenError(
                f"{lake} has a ledger, and the file that says what it consists of is gone"
            ) from error
        raise


def _workers(lake: store.Lake) -> set[str]:
    """Who has a ledger here: by the lake's commit, by the folders, and all whose rows there are when anybody has."""
    there = {name for name in lake.workers() if (lake.path / folder_of(name) / "policy").exists()}
    there |= {path.name for path in (lake.path / MAIN_FOLDER / "workers").glob("*") if (path / "policy").exists()}
    found = there | set(lake.ledgers())
    return found | lake.raw_owners() if found else found


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
    *,
    alone: bool,
) -> tuple[Report, Report, Owned]:
    """The log over what was read against the raw rows, and the log over files against all of the worker's files.

    The first report has what both say, the second is of the latter. The last are the positions of that moment.
    """
    folder, moment = folder_of(worker), []

    def entries() -> Snapshot:
        moment.append(_settled(lake, worker))
        head, files, _ = moment[0]
        raw = [name for name, table in files.items() if table == "raw"]
        return Snapshot(head, _rows(lake, raw), holds=_holds(lake, worker))

    def sealed() -> Snapshot:
        head, files, _ = moment[0]
        return Snapshot(head.get(FILES) if readable(head) else {}, (), files)

    over_files = files_key(key)
    heads = {over: [head for head in kept if (_log_of(head) == over_files.name) is over] for over in (False, True)}
    report = verify(
        lake.path, key, entries, since_heads=heads[False], guard=guard, progress=progress, folder=folder, roots=roots
    )
    files = verify(
        lake.path, over_files, sealed, since_heads=heads[True], guard=guard, folder=f"{folder}/{FILES}", sealed=True,
        alone=alone,
    )  # fmt: skip
    placed = report.rows.filter(~pl.col("verdict").is_in(HARMLESS))["source"]
    again = (pl.col("cause") == "file") & pl.col("source").is_in(placed.implode())  # told row by row already
    rows = pl.concat([report.rows, files.rows.filter(~again)])
    described = _described(lake, worker, rows)
    code = IntegrityBrokenError.exit_code if len(described) else max(report.exit_code, files.exit_code)
    return replace(report, rows=pl.concat([rows, described]), exit_code=code), files, moment[0][2]


def _described(lake: store.Lake, worker: str, rows: pl.DataFrame) -> pl.DataFrame:
    """INTEGRITY rows for files that hold, and of which the lake's catalogue has other numbers than they have."""
    wrong = set(rows.filter(~pl.col("verdict").is_in(HARMLESS))["file"])
    told = Places()
    for file, names in lake.misdescribed(worker):
        if file not in wrong:
            told.add(file, "altered", "catalogue", f"the lake's catalogue does not have what the file has: {names}")
    return told.frame()


def _settled(lake: store.Lake, worker: str) -> tuple[dict[str, Any], dict[str, str], Owned]:
    """The head, the files and all positions. What another worker has merged, this one's run seals at once: it is waited
    for."""
    for wait in (*[0.2] * 10, 0.0):
        head, files, pending, owned = lake.evidence(worker)
        if not pending:
            break
        time.sleep(wait)
    return head, files, owned


def _holds(lake: store.Lake, worker: str) -> Mapping[str, Hold]:
    """The legal holds the lake keeps to; one that no record places, when any cannot be read."""
    try:
        return lake.holds(worker)
    except DamagedError:
        return {"that cannot be read": Hold("", (), 0, 0)}


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
