"""The one background thread that makes Parquet files while the line goes on."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from pipeline.core import faults
from pipeline.core.errors import StoreError
from pipeline.core.schema import conform
from pipeline.store.files import guarded, sync_folders
from pipeline.store.segment import SegmentFile
from pipeline.store.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import polars as pl

    from pipeline.store.config import StoreConfig
    from pipeline.store.segment import Segment


class Writer:
    """Appends frames to one open file per table, in order, on its own thread; `seal` hands over finished files.

    The queue is bounded by frames. The first error is kept and raised by every later call: what was written since the
    last commit is then lost, and the lake has to be opened again.
    """

    def __init__(self, lake: Path, config: StoreConfig, name: Callable[[str], str]) -> None:
        self._lake = lake
        self._config = config
        self._name = name
        self._pool = ThreadPoolExecutor(1, "store-writer")
        self._room = threading.Semaphore(config.queue_frames)
        self._open: dict[str, SegmentFile] = {}
        self._done: list[Segment] = []
        self._failure: BaseException | None = None

    def put(self, table: str, frame: pl.DataFrame) -> None:
        """Queues rows; waits while the queue is full. Raises StoreError when writing has failed before."""
        self._check()
        self._room.acquire()
        self._pool.submit(self._append, table, frame).add_done_callback(self._settled)

    def roll(self, table: str) -> list[Segment]:
        """Finishes the open file of one table, and names that table's finished, uncommitted files."""
        self._run(self._finish, [table])
        return [segment for segment in self._done if segment.table == table]

    def cut(self) -> Future[list[Segment]]:
        """Has all files finished. What is put later goes into others."""
        return self._pool.submit(self._seal)

    def sealed(self, cut: Future[list[Segment]]) -> list[Segment]:
        """The files of a cut, when they and their folders are on the disk."""
        failure = cut.exception()
        if self._failure is None:
            self._failure = failure
        self._check()
        return cut.result()

    def _seal(self) -> list[Segment]:
        self._finish(list(TABLES))
        faults.point("store.drained")
        self._sync()
        sealed, self._done = self._done, []
        return sealed

    def stop(self) -> None:
        """Ends the thread; files that were not sealed are removed."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for file in self._open.values():
            with guarded("closing an unfinished file"):
                file.abandon()
        self._open = {}
        for segment in self._done:
            (self._lake / segment.path).unlink(missing_ok=True)

    def _check(self) -> None:
        if isinstance(self._failure, StoreError):
            raise StoreError(str(self._failure)) from self._failure
        if self._failure is not None:
            raise StoreError(f"the lake could not be written: {type(self._failure).__name__}") from self._failure

    def _settled(self, future: Future[None]) -> None:
        self._room.release()
        if not future.cancelled() and self._failure is None:
            self._failure = future.exception()

    def _run(self, work: Callable[..., None], *arguments: object) -> None:
        future = self._pool.submit(work, *arguments)
        failure = future.exception()
        if self._failure is None:
            self._failure = failure
        self._check()

    def _append(self, name: str, frame: pl.DataFrame) -> None:
        if self._failure is not None or frame.is_empty():
            return
        table = TABLES[name]
        with guarded(f"writing {name}"):
            if name not in self._open:
                self._open[name] = SegmentFile(self._lake, self._name(name), table, self._config)
            file = self._open[name]
            file.append(conform(frame, table.columns))
            if file.full:
                self._complete(name)

    def _finish(self, names: list[str]) -> None:
        if self._failure is not None:
            return
        for name in names:
            if name in self._open:
                with guarded(f"writing {name}"):
                    self._complete(name)

    def _complete(self, name: str) -> None:
        self._done.append(self._open[name].finish())
        del self._open[name]

    def _sync(self) -> None:
        with guarded("syncing the lake"):
            sync_folders((self._lake / segment.path).parent for segment in self._done)
