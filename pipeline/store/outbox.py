"""Messages on their way out, in the same file as the commit that made them: a dead receiver loses nothing."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl

from pipeline.core.model import Message
from pipeline.core.schema import ALERT

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.store.catalogue import Catalogue

_TIMES: Final = tuple(name for name, kind in ALERT.items() if isinstance(kind, pl.Datetime))
_OURS: Final = "FROM deliveries d JOIN messages m ON m.id = d.message WHERE d.sink = ? AND m.worker = ?"


class Outbox:
    """The messages of one worker, per sink, oldest first: states of one alert never overtake each other.

    At least once: a message leaves the outbox when its sink says so, so a crash in between sends it again, under the
    same event id. The texts of reasons are the caller's; they must not quote a message.
    """

    def __init__(self, catalogue: Catalogue, worker: str) -> None:
        self._catalogue = catalogue
        self.worker = worker
        self._sinks: tuple[str, ...] = ()

    def set_sinks(self, names: Sequence[str]) -> None:
        """The sinks that messages of later commits are for; what waits for others stays until they are back."""
        self._sinks = tuple(dict.fromkeys(names))
        with self._catalogue.reading() as sql:
            noted = _noted(sql)
        if not noted.issuperset(names):
            with self._catalogue.changing() as sql:
                every = json.dumps(sorted(_noted(sql).union(names)))
                sql.execute("INSERT OR REPLACE INTO meta VALUES ('sinks', ?)", (every,))

    def _enqueue(self, sql: sqlite3.Connection, messages: Sequence[Message], now_ns: int) -> None:
        """Part of a commit: one copy of each message, a delivery for every sink. A known event id stays as it is."""
        if not self._sinks:
            return
        for message in messages:
            body = msgspec.json.encode(dict(message.alert))
            added = sql.execute(
                "INSERT OR IGNORE INTO messages(event_id, alert_uid, revision, worker, size, created_ns, alert) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
                (message.event_id, message.alert_uid, message.revision, self.worker, len(body), now_ns, body),
            ).fetchall()
            sql.executemany(
                "INSERT INTO deliveries(sink, message) VALUES (?, ?)",
                [(s, key) for (key,) in added for s in self._sinks],
            )

    def pending(self, sink: str, limit: int, now_ns: int) -> list[Message]:
        """The next messages for `sink`, [] while it is postponed."""
        with self._catalogue.reading() as sql:
            wait = sql.execute("SELECT 1 FROM sinks WHERE sink = ? AND until_ns > ?", (sink, now_ns)).fetchone()
            if wait:
                return []
            rows = sql.execute(
                f"SELECT m.event_id, m.alert_uid, m.revision, m.alert {_OURS} AND d.dead IS NULL "
                "ORDER BY d.message LIMIT ?",
                (sink, self.worker, limit),
            ).fetchall()
        return [Message(event_id, alert, revision, _row(body)) for event_id, alert, revision, body in rows]

    def delivered(self, sink: str, event_ids: Iterable[str]) -> None:
        """`sink` has them; a message that no sink waits for is dropped. Ends a postponement."""
        with self._catalogue.changing() as sql:
            for event_id in event_ids:
                take_out(sql, sink, event_id)
            sql.execute("DELETE FROM sinks WHERE sink = ?", (sink,))

    def postpone(self, sink: str, until_ns: int, reason: str) -> None:
        """Nothing is pending for `sink` before `until_ns`."""
        with self._catalogue.changing() as sql:
            sql.execute("INSERT OR REPLACE INTO sinks VALUES (?, ?, ?)", (sink, until_ns, reason))

    def dead(self, sink: str, reasons: Mapping[str, str]) -> None:
        """`sink` refuses these event ids for good: kept aside, with the reason, until `replay`."""
        with self._catalogue.changing() as sql:
            sql.executemany(
                "UPDATE deliveries SET dead = ? WHERE sink = ? "
                "AND message = (SELECT id FROM messages WHERE event_id = ?)",
                [(reason, sink, event_id) for event_id, reason in reasons.items()],
            )

    def dead_letters(self, sink: str) -> dict[str, str]:
        """Event id and reason of what `sink` refused."""
        with self._catalogue.reading() as sql:
            rows = sql.execute(
                f"SELECT m.event_id, d.dead {_OURS} AND d.dead IS NOT NULL ORDER BY d.message",
                (sink, self.worker),
            )
            return dict(rows.fetchall())

    def replay(self, sink: str) -> int:
        """Makes what `sink` refused pending again, at its old place, and says how many that were."""
        with self._catalogue.changing() as sql:
            return sql.execute(
                "UPDATE deliveries SET dead = NULL WHERE sink = ? AND dead IS NOT NULL", (sink,)
            ).rowcount

    def depth(self, sink: str) -> int:
        """How many messages wait for `sink`, dead ones apart."""
        return self._number(f"SELECT count(*) {_OURS} AND d.dead IS NULL", sink) or 0

    def oldest_ns(self, sink: str) -> int | None:
        """When the oldest waiting message was committed."""
        return self._number(f"SELECT min(m.created_ns) {_OURS} AND d.dead IS NULL", sink)

    def bytes(self) -> int:
        """Size of the messages that wait for the sinks that are set; what they refused does not count."""
        ours = ",".join("?" * len(self._sinks))
        with self._catalogue.reading() as sql:
            found = sql.execute(
                f"SELECT coalesce(sum(size), 0) FROM messages WHERE id IN "  # noqa: S608  question marks only
                f"(SELECT message FROM deliveries WHERE sink IN ({ours}) AND dead IS NULL)",
                self._sinks,
            ).fetchone()
        return int(found[0])

    def _adopt(self, worker: str) -> None:
        """Takes over what another worker, which is gone, had not delivered."""
        with self._catalogue.changing() as sql:
            sql.execute("UPDATE messages SET worker = ? WHERE worker = ?", (self.worker, worker))

    def _number(self, query: str, sink: str) -> int | None:
        with self._catalogue.reading() as sql:
            found = sql.execute(query, (sink, self.worker)).fetchone()[0]
        return None if found is None else int(found)


def known_sinks(sql: sqlite3.Connection) -> set[str]:
    """Every sink that a run of this lake had, also one that has got everything."""
    found = sql.execute("SELECT sink FROM deliveries UNION SELECT sink FROM sinks")  # a lake of old has not noted them
    return _noted(sql).union(name for (name,) in found)


def _noted(sql: sqlite3.Connection) -> set[str]:
    found = sql.execute("SELECT value FROM meta WHERE key = 'sinks'").fetchone()
    return set(json.loads(found[0])) if found else set()


def take_out(sql: sqlite3.Connection, sink: str, event_id: str) -> None:
    """One message leaves for one sink; with the last of its sinks it is gone."""
    sql.execute(
        "DELETE FROM deliveries WHERE sink = ? AND message = (SELECT id FROM messages WHERE event_id = ?)",
        (sink, event_id),
    )
    sql.execute(
        "DELETE FROM messages WHERE event_id = ? AND NOT EXISTS (SELECT 1 FROM deliveries WHERE message = messages.id)",
        (event_id,),
    )


def _row(body: bytes) -> dict[str, Any]:
    """The ALERT row as it was given: its times are datetimes again."""
    alert: dict[str, Any] = msgspec.json.decode(body)
    for name in _TIMES:
        if isinstance(alert.get(name), str):
            alert[name] = datetime.fromisoformat(alert[name])
    return alert
