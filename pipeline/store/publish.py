"""`audit.duckdb`: the views of one commit in a file of their own, for any DuckDB of 1.2 or later.

It names the data files by absolute path, as DuckDB resolves relative ones against the reader's working folder. A lake
that was moved gets a new one when it is next opened for writing.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Final

import duckdb

from pipeline.core.disk import sync_folder
from pipeline.core.errors import StoreError
from pipeline.store.catalogue import Catalogue
from pipeline.store.files import Lock, guarded, remove, sync_file
from pipeline.store.views import statements, text

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.store.catalogue import LiveFile

FILE: Final = "audit.duckdb"
LOCK: Final = "publish.lock"


class Publisher:
    """Publishes at most every `seconds`, on a timer's thread, and always what is newest by then."""

    def __init__(self, lake: Path, worker: str, seconds: float) -> None:
        self._lake = lake
        self._worker = worker
        self._seconds = seconds
        self._turn = threading.Lock()
        self._timer: threading.Timer | None = None
        self._due = 0.0
        self._reading = False
        self._duckdb: duckdb.DuckDBPyConnection | None = None  # to begin one takes half the time of a publishing
        self.sequence = 0  # the newest commit that an audit.duckdb of ours shows
        self.failures = 0
        self.failure = ""  # why the last publishing failed; the next commit tries again

    def request(self) -> None:
        """There is a new commit to show."""
        if self._seconds <= 0:
            self._run()
        elif self._timer is None or not self._timer.is_alive():
            self._timer = threading.Timer(max(0.0, self._due - time.monotonic()), self._run)
            self._timer.daemon = True
            self._timer.start()

    def publish(self) -> None:
        """Shows the newest commit, now."""
        with self._turn:
            self._due = time.monotonic() + self._seconds
            lock = Lock(self._lake / LOCK)
            with guarded(f"publishing {self._lake / FILE}"):
                lock.take(wait=True)
                self._reading = True
                try:
                    self.sequence = self._publish(self._lake.resolve(), f"{FILE}.{self._worker}--tmp")
                finally:
                    self._reading = False
                    lock.free()
            self.failure = ""

    def shows(self, sequence: int) -> bool:
        """Whether a reader may hold an audit.duckdb that names a file of this commit."""
        return self._reading or sequence <= self.sequence

    def stop(self) -> None:
        """Ends the timer; waits for a publishing under way."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()

    def close(self) -> None:
        """Ends the timer and lets go of DuckDB."""
        self.stop()
        self._end()

    def _run(self) -> None:
        try:
            self.publish()
        except StoreError as failure:
            self.failures += 1
            self.failure = str(failure)

    def _publish(self, lake: Path, name: str) -> int:
        catalogue = Catalogue(lake, writer=False)
        try:
            with catalogue.reading():
                files, sequence = catalogue.files(), int(catalogue.meta("sequence") or 0)
        finally:
            catalogue.close()
        written = lake / name
        remove([written, written.with_name(name + ".wal")])
        try:
            self._write(written, files, lake)
        except duckdb.Error as error:
            self._end()
            cause = " ".join(str(error).rpartition("Original error: ")[2].split())  # one line, the innermost reason
            raise StoreError(f"publishing {lake / FILE}: {cause}") from error
        except OSError:
            self._end()
            raise
        sync_file(written)
        written.rename(lake / FILE)
        sync_folder(lake)
        return sequence

    def _write(self, target: Path, files: list[LiveFile], lake: Path) -> None:
        if self._duckdb is None:
            self._duckdb = duckdb.connect(config={"threads": 1})
            self._duckdb.execute("SET enable_progress_bar = false")  # it is drawn on stdout
        connection = self._duckdb
        connection.execute(f"ATTACH {text(str(target))} AS published (STORAGE_VERSION 'v1.2.0')")
        target.chmod(0o600)
        connection.execute("USE published")
        connection.execute("BEGIN")
        for statement in statements(files, lake):
            connection.execute(statement)
        connection.execute("COMMIT")
        connection.execute("USE memory")
        connection.execute("DETACH published")

    def _end(self) -> None:
        connection, self._duckdb = self._duckdb, None
        if connection is not None:
            connection.close()


def leftovers(lake: Path, worker: str) -> list[Path]:
    """What a publishing that was cut off left behind."""
    return [file for file in lake.glob(f"{FILE}.{worker}--tmp*") if os.path.lexists(file)]
