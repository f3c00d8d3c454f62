"""`commit.sqlite`: the one place that says what the lake is. A commit is one transaction here, and nothing else is."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pipeline.core.disk import sync_folder
from pipeline.core.errors import DamagedError, FencedError, NoInputError, ReplacedError, StoreError
from pipeline.core.model import Hold, Owned, Position
from pipeline.store.files import guarded, named_in_utf8, private_file
from pipeline.store.segment import Segment
from pipeline.store.tables import PASSING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

FORMAT: Final = "1"
FILE: Final = "commit.sqlite"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS writers(worker TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files(
  path TEXT PRIMARY KEY, tbl TEXT NOT NULL, kind TEXT NOT NULL, worker TEXT NOT NULL, sequence INTEGER NOT NULL,
  rows INTEGER NOT NULL, size INTEGER NOT NULL, layout INTEGER NOT NULL,
  min_time INTEGER, max_time INTEGER, min_leaf INTEGER, max_leaf INTEGER) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS files_table ON files(tbl, sequence);
CREATE TABLE IF NOT EXISTS removed(path TEXT PRIMARY KEY, until_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions(
  stream TEXT NOT NULL, partition TEXT NOT NULL, offset INTEGER NOT NULL, state TEXT NOT NULL, worker TEXT NOT NULL,
  PRIMARY KEY(stream, partition)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS states(
  worker TEXT NOT NULL, part TEXT NOT NULL, frame TEXT NOT NULL, path TEXT NOT NULL, start INTEGER NOT NULL,
  size INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY(worker, part, frame)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS expired(worker TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS ledger(worker TEXT PRIMARY KEY, head BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS messages(
  id INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, alert_uid TEXT NOT NULL, revision INTEGER NOT NULL,
  worker TEXT NOT NULL, size INTEGER NOT NULL, created_ns INTEGER NOT NULL, alert BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS deliveries(
  sink TEXT NOT NULL, message INTEGER NOT NULL REFERENCES messages(id), dead TEXT,
  PRIMARY KEY(sink, message)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS deliveries_message ON deliveries(message);
CREATE TABLE IF NOT EXISTS sinks(sink TEXT PRIMARY KEY, until_ns INTEGER NOT NULL, reason TEXT NOT NULL) WITHOUT ROWID;
"""
_ADDED: Final = (
    "CREATE TABLE IF NOT EXISTS sealed(path TEXT PRIMARY KEY, worker TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS holds(hold TEXT PRIMARY KEY, worker TEXT NOT NULL, body TEXT NOT NULL) WITHOUT ROWID",
)
Places = Mapping[tuple[str, str], tuple[int, str]]  # (stream, partition) -> offset, worker
_FILE_COLUMNS: Final = "path, tbl, kind, rows, size, layout, min_time, max_time, min_leaf, max_leaf"


@dataclass(frozen=True, slots=True)
class LiveFile:
    """A file that the newest commit names; `sequence` is the commit that brought it.

    `worker` is the one whose ledger has the leaves of its rows, whoever wrote it.
    """

    segment: Segment
    sequence: int
    worker: str


class Catalogue:
    """One connection to the commit file. Every method is one step on it; threads take turns."""

    def __init__(self, lake: Path, *, writer: bool, busy_seconds: float = 30.0) -> None:
        self._path = named_in_utf8(lake) / FILE
        self._turn = threading.RLock()
        with guarded(f"opening {self._path}"):
            self._connection = _create(self._path, busy_seconds) if writer else _read(self._path, busy_seconds)
        with self.reading() as sql:
            found = sql.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
        if found is None or found[0] != FORMAT:
            self.close()
            if found is None:
                raise DamagedError(f"{self._path} does not say its format")
            raise StoreError(f"{self._path} has format {found[0]}; this keytrail reads format {FORMAT}")

    def close(self) -> None:
        """Ends the connection; the last one to do so also tidies SQLite's log away."""
        with self._turn, guarded(f"closing {self._path}"):
            self._connection.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A consistent look: everything read inside is of one commit."""
        with self._turn, guarded(f"reading {self._path}"):
            if self._connection.in_transaction:
                yield self._connection
                return
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                self._connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: on the disk when left, gone without a trace when anything is raised inside."""
        with self._turn, guarded(f"committing to {self._path}"):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def take_epoch(self, worker: str) -> int:
        """Raises the worker's epoch: whoever wrote under an older one is fenced from now on."""
        with self.changing() as sql:
            sql.execute(
                "INSERT INTO writers VALUES (?, 1) ON CONFLICT(worker) DO UPDATE SET epoch = epoch + 1", (worker,)
            )
            return int(sql.execute("SELECT epoch FROM writers WHERE worker = ?", (worker,)).fetchone()[0])

    def epoch(self, worker: str) -> int:
        """The worker's epoch, 0 for one that never wrote."""
        with self.reading() as sql:
            found = sql.execute("SELECT epoch FROM writers WHERE worker = ?", (worker,)).fetchone()
        return int(found[0]) if found else 0

    def meta(self, key: str) -> str | None:
        """A value of the lake itself: lake_id, format, sequence, committed_ns."""
        with self.reading() as sql:
            found = sql.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return found[0] if found else None

    def workers(self) -> tuple[str, ...]:
        """Every worker that ever wrote here."""
        with self.reading() as sql:
            return tuple(name for (name,) in sql.execute("SELECT worker FROM writers ORDER BY worker"))

    def files(self, *tables: str) -> list[LiveFile]:
        """The files of the newest commit, of some tables or of all, oldest first."""
        chosen = f"WHERE tbl IN ({','.join('?' * len(tables))})" if tables else ""
        with self.reading() as sql:
            rows = sql.execute(
                f"SELECT {_FILE_COLUMNS}, sequence, worker FROM files {chosen} ORDER BY sequence, path",  # noqa: S608
                tables,
            ).fetchall()
        return [LiveFile(Segment(*row[:-2]), row[-2], row[-1]) for row in rows]

    def positions(self) -> list[Position]:
        """Where every stream goes on, of all workers."""
        with self.reading() as sql:
            rows = sql.execute("SELECT stream, partition, offset, state FROM positions").fetchall()
        return [Position(stream, partition, offset, json.loads(state)) for stream, partition, offset, state in rows]

    def places(self) -> Places:
        """Offset and owner of every position: who moved it last, and where to."""
        with self.reading() as sql:
            rows = sql.execute("SELECT stream, partition, offset, worker FROM positions").fetchall()
        return {(stream, partition): (offset, worker) for stream, partition, offset, worker in rows}

    def owned(self) -> Owned:
        """Every position with the worker that moved it last. What somebody else wrote there reads as one that moved."""
        with self.reading() as sql:
            rows = sql.execute("SELECT stream, partition, offset, state, worker FROM positions").fetchall()
        return {(name, part): (Position(name, part, *_where(at, text)), who) for name, part, at, text, who in rows}

    def expired(self, worker: str) -> list[tuple[int, int]]:
        """Spans of leaves whose entries retention has removed and the ledger was not told of yet."""
        with self.reading() as sql:
            return sql.execute("SELECT first, last FROM expired WHERE worker = ? ORDER BY first", (worker,)).fetchall()

    def waiting(self) -> int:
        """How many replaced files stay on the disk for their readers."""
        with self.reading() as sql:
            return int(sql.execute("SELECT count(*) FROM removed").fetchone()[0])

    def unsealed(self, worker: str) -> tuple[list[str], list[str]]:
        """Files of a worker that its ledger does not name yet, and those it names that the lake has no longer."""
        passing = ", ".join(f"'{name}'" for name in PASSING)  # soon consumed by whoever judges
        ours = f"SELECT path FROM files WHERE worker = ? AND tbl NOT IN ({passing})"  # noqa: S608
        named = "SELECT path FROM sealed WHERE worker = ?"
        with self.reading() as sql:
            pairs = ((ours, named), (named, ours))
            came, went = (sql.execute(f"{a} EXCEPT {b} ORDER BY path", (worker, worker)).fetchall() for a, b in pairs)
        return [path for (path,) in came], [path for (path,) in went]

    def holds(self, worker: str = "") -> dict[str, Hold]:
        """The legal holds that stand, by name: of one worker's ledger or of all. DamagedError for what is no hold."""
        with self.reading() as sql:
            if sql.execute("SELECT count(*) FROM sqlite_master WHERE name = 'holds'").fetchone()[0] == 0:
                return {}  # a lake that only older versions have written
            rows = sql.execute("SELECT hold, worker, body FROM holds ORDER BY hold").fetchall()
        ours = [(name, body) for name, owner, body in rows if worker in {"", owner}]
        try:
            return {name: msgspec.json.decode(body, type=Hold) for name, body in ours}
        except (msgspec.MsgspecError, TypeError, RecursionError):
            raise DamagedError(f"{self._path}: a legal hold there cannot be read") from None

    def ledger(self, worker: str) -> dict[str, Any]:
        """The ledger head as it was committed, {} before the first. What somebody else wrote there reads as one without
        a signature."""
        with self.reading() as sql:
            found = sql.execute("SELECT head FROM ledger WHERE worker = ?", (worker,)).fetchone()
        try:
            return msgspec.msgpack.decode(found[0], type=dict[str, Any]) if found else {}
        except (msgspec.MsgspecError, TypeError, RecursionError):
            return {"unreadable": True}


def check_epoch(sql: sqlite3.Connection, worker: str, epoch: int) -> None:
    """FencedError when another writer has taken this worker's place."""
    found = sql.execute("SELECT epoch FROM writers WHERE worker = ?", (worker,)).fetchone()
    if found is None or found[0] != epoch:
        raise FencedError(f"worker {worker!r} is written by another process since; nothing of this one was committed")


def next_sequence(sql: sqlite3.Connection, now_ns: int) -> int:
    """The number of the commit being made."""
    sequence = int(sql.execute("SELECT value FROM meta WHERE key = 'sequence'").fetchone()[0]) + 1
    sql.executemany(
        "UPDATE meta SET value = ? WHERE key = ?", [(str(sequence), "sequence"), (str(now_ns), "committed_ns")]
    )
    return sequence


def add_files(sql: sqlite3.Connection, segments: Iterable[Segment], sequence: int, worker: str) -> None:
    """Names new files."""
    sql.executemany(
        f"INSERT INTO files({_FILE_COLUMNS}, sequence, worker) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",  # noqa: S608
        [
            (*(getattr(segment, field) for field in Segment.__slots__), sequence, worker) for segment in segments
        ],
    )  # fmt: skip


def drop_files(sql: sqlite3.Connection, paths: Sequence[str], until_ns: Callable[[int], int]) -> None:
    """Stops naming files, which stay on the disk until `until_ns` of the commit that brought them.

    Raises ReplacedError when one of them is not named any more: another worker was faster.
    """
    for path in paths:
        found = sql.execute("DELETE FROM files WHERE path = ? RETURNING sequence", (path,)).fetchall()
        if not found:
            raise ReplacedError(f"{path} was replaced meanwhile")
        sql.execute("INSERT INTO removed VALUES (?, ?)", (path, until_ns(found[0][0])))


def move_positions(sql: sqlite3.Connection, positions: Iterable[Position], known: Places, worker: str) -> None:
    """Moves positions from where this worker last saw them. FencedError when one stands elsewhere by now, or is
    another's.

    That is how a partition changes hands without a row lost or doubled: of two workers that read on from the same
    place, only one can commit, and one that has only claimed it shuts the other out too.
    """
    for place in positions:
        key = (place.stream, place.partition)
        found = sql.execute("SELECT offset, worker FROM positions WHERE stream = ? AND partition = ?", key).fetchone()
        if found != known.get(key):
            raise FencedError(
                f"{place.stream}: another worker has read on from here; nothing of this one was committed"
            )
        sql.execute(
            "INSERT OR REPLACE INTO positions VALUES (?, ?, ?, ?, ?)",
            (*key, place.offset, json.dumps(dict(place.state), separators=(",", ":")), worker),
        )


def note_expired(sql: sqlite3.Connection, worker: str, spans: Sequence[tuple[int, int]]) -> None:
    """Keeps which leaves have lost their entries, until the ledger says so."""
    sql.executemany("INSERT INTO expired VALUES (?, ?, ?)", [(worker, *span) for span in spans])


def forget_expired(sql: sqlite3.Connection, worker: str, spans: Sequence[tuple[int, int]]) -> None:
    """The ledger that this commit carries has told of them."""
    sql.executemany("DELETE FROM expired WHERE worker = ? AND first = ? AND last = ?", [(worker, *s) for s in spans])


def note_sealed(sql: sqlite3.Connection, worker: str, came: Iterable[str], went: Iterable[str]) -> None:
    """The ledger that this commit carries names these files now, and no longer those."""
    sql.executemany("DELETE FROM sealed WHERE path = ?", [(path,) for path in went])
    sql.executemany("INSERT OR REPLACE INTO sealed VALUES (?, ?)", [(path, worker) for path in came])


def keep_holds(sql: sqlite3.Connection, worker: str, holds: Iterable[Hold], released: Iterable[str]) -> None:
    """Places legal holds and lifts others, as the ledger that this commit carries says."""
    sql.executemany("DELETE FROM holds WHERE hold = ?", [(name,) for name in released])
    placed = [(hold.hold, worker, msgspec.json.encode(hold).decode()) for hold in holds]
    sql.executemany("INSERT OR REPLACE INTO holds VALUES (?, ?, ?)", placed)


def set_ledger(sql: sqlite3.Connection, worker: str, head: Mapping[str, Any]) -> None:
    """Keeps the ledger head that covers this commit."""
    sql.execute("INSERT OR REPLACE INTO ledger VALUES (?, ?)", (worker, msgspec.msgpack.encode(dict(head))))


def _where(offset: Any, text: Any) -> tuple[int, dict[str, Any]]:
    """Offset and state as we write them; what is neither is one that we never write."""
    try:
        state = json.loads(text)
    except (TypeError, ValueError):
        state = None
    return offset if isinstance(offset, int) else -1, state if isinstance(state, dict) else {"unreadable": True}


def _create(path: Path, busy_seconds: float) -> sqlite3.Connection:
    if not path.exists():
        with contextlib.suppress(FileExistsError):
            private_file(path)
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    if connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'sinks'").fetchone()[0] == 0:
        made = {"lake_id": uuid.uuid4().hex, "sequence": "0", "committed_ns": "0", "format": FORMAT}
        rows = ", ".join(f"('{name}', '{value}')" for name, value in made.items())
        # At once: another worker that begins now must not find tables without what they are.
        first = f"INSERT OR IGNORE INTO meta VALUES {rows};"  # noqa: S608  constants and a number made here
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} {first} COMMIT;")
        sync_folder(path.parent)
    if connection.execute("SELECT count(*) FROM meta WHERE key = 'format' AND value = ?", (FORMAT,)).fetchone()[0]:
        for statement in _ADDED:
            connection.execute(statement)
    return connection


def _read(path: Path, busy_seconds: float) -> sqlite3.Connection:
    """Read-only, also on a folder that may not be written: without a log beside it the file cannot be changing."""
    if not path.is_file():
        raise NoInputError(f"there is no lake in {path.parent}: keytrail run makes one")
    address = path.resolve().as_uri() + "?mode=ro"
    connection = sqlite3.connect(address, uri=True, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("SELECT 1 FROM meta").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        written = path.with_name(path.name + "-wal")
        if written.exists() and written.stat().st_size:
            raise
        connection = sqlite3.connect(f"{address}&immutable=1", uri=True, isolation_level=None, check_same_thread=False)
    return connection
