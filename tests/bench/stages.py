"""CPU µs an entry of every stage of the line, in one thread, with a lake that keeps nothing but the line's states."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from pipeline import app, rows
from pipeline import config as conf
from pipeline import reader as reader_module
from pipeline.core.clock import system_clock
from pipeline.core.model import Handover
from pipeline.core.ports import BroadSource
from pipeline.ledger import leaf
from pipeline.ledgers import MAIN
from pipeline.parts import Quiet, Taken
from pipeline.reader import Reader
from pipeline.store import states

COMMIT_BYTES = 64 << 20  # about what two seconds bring
AHEAD_BYTES = 4 << 30  # of a topic: all of it is fetched before anything else is done


class Watch:
    """CPU seconds by label, those of what is called from within left out."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._inner: list[float] = []

    def time(self, owner: Any, name: str, label: str) -> None:
        """Measure every call of `owner.name`."""
        function: Callable[..., Any] = getattr(owner, name)

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            self._inner.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                took = time.process_time() - start
                self.spent[label] += took - self._inner.pop()
                if self._inner:
                    self._inner[-1] += took

        setattr(owner, name, wrapper)


class _NoLake:
    """Takes everything and keeps nothing; states are packed and written as the store does it."""

    upkeep_failure, worker = "", MAIN

    def __init__(self, folder: Path) -> None:
        self._folder, self._kept, self._commits = folder, states.Entries(), 0
        self.path = folder
        self.packed = 0
        (folder / "states").mkdir(parents=True, exist_ok=True)

    def write(self, table: str, frame: Any) -> None: ...

    def cut(self, commit: Any) -> Any:
        return states.pack(commit.states)

    def commit(self, commit: Any, *, cut: Any) -> int:
        self._commits += 1
        self._kept = states.write(self._folder, f"states/{self._commits}", cut, self._kept)
        file = self._folder / "states" / str(self._commits)
        self.packed += file.stat().st_size if file.exists() else 0
        commit.seal((), (), ())
        return self._commits

    def take_up(self, *, wait: bool) -> None: ...

    def unsealed(self) -> bool:
        return False

    def passed(self) -> list[str]:
        return []

    def epoch(self) -> int:
        return 1

    def owned(self) -> dict[tuple[str, str], Any]:
        return {}

    def expired(self) -> list[tuple[int, int]]:
        return []

    def ledger_head(self) -> dict[str, Any]:
        return {}

    def states(self) -> dict[str, Any]:
        return {}

    def ledgers(self) -> tuple[str, ...]:
        return ()

    def raw_owners(self) -> set[str]:
        return set()


def measure(work: Path, **options: Any) -> dict[str, float]:
    """CPU µs an entry by stage. `options` are RunOptions: paths, or a topic, which is fetched whole at first."""
    folder = work / ("stages-topic" if options.get("kafka") else "stages-file")
    build = app.App(
        app.RunOptions(lake=folder, signing_key=str(work / "signing.key"), **options),
        conf.Settings(None, {"sources": {"kafka": {"buffer_bytes": AHEAD_BYTES}}} if options.get("kafka") else {}),
        system_clock,
    )
    lake: Any = _NoLake(folder)
    watch = Watch()
    source, decoder = build.source(lake, []), build.decoder()
    line = build.line(lake, source, [])
    if options.get("kafka"):
        before = time.process_time()
        _fetch(source)
        watch.spent["fetch: the client, values cut out"] = time.process_time() - before
    _watch(watch, source, decoder, line)
    watch.time(states, "pack", "commit: states, packed")
    watch.time(states, "write", "commit: states, written")
    line._commits._pool = _AtOnce()  # type: ignore[assignment]
    watch.time(reader_module, "seal", "uids")
    entries = batches = 0
    reader = Reader(source, decoder, None, timeout=0.1, recent={}, resolve=line.parts.enricher.resolve)
    reader._aside = decoder._aside = _AtOnce()  # type: ignore[assignment, attr-defined]
    for taken in _batches(reader):
        batches += 1
        entries += sum(len(one.raw) for one in taken)
        line.step(taken)
        if line.uncommitted_bytes > COMMIT_BYTES:
            line.commit()
    line.finish()
    line.commit()
    source.close()
    print(f"{batches} batches of {entries / batches:,.0f} entries, {lake.packed / entries:,.1f} B of state an entry")
    return {label: seconds / entries * 1e6 for label, seconds in watch.spent.items()}


def table(spent: Mapping[str, float]) -> None:
    """Print the stages, the dearest first."""
    print(f"\n{'stage':<36}CPU µs/entry")
    for label, micros in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"{label:<36}{micros:8.2f}")
    print(f"{'sum':<36}{sum(spent.values()):8.2f}   (without writing Parquet: see bench_store.py)")


def _fetch(source: Any) -> None:
    """Wait until all of the topic is in memory."""
    moved = source.poll(None, 60, {})
    assert isinstance(moved, Handover)
    source.handed_over({})
    while not (source._pump.partitions and all(p._finished for p in source._pump.partitions.values())):
        time.sleep(0.05)


class _AtOnce:
    """Does in this thread what another would do."""

    def submit(self, work: Callable[..., Any], *given: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(work(*given, **named))
        return done

    def shutdown(self) -> None: ...


def _batches(reader: Reader) -> Iterator[Sequence[Taken]]:
    """What the reader gives, in this thread."""
    while not reader.source.exhausted:
        taken = reader._take()
        if not isinstance(taken, Quiet | Handover):
            yield taken


def _watch(watch: Watch, source: Any, decoder: Any, line: Any) -> None:
    parts = line.parts
    for owner, name, label in (
        (source, "poll_all" if isinstance(source, BroadSource) else "poll", "read"),
        (decoder, "decode_all", "decode"), (parts.enricher, "resolve", "enrich"),
        (rows, "events", "event rows"), (rows, "raw", "raw rows"),
        (leaf, "build", "ledger: leaves"), (parts.ledger, "add", "ledger: tree"),
        (parts.ledger, "prepare", "ledger: tiles"), (parts.ledger, "publish", "ledger: head"),
        (parts.continuity, "stream", "continuity"), (parts.clocks, "push", "clocks"),
        (parts.continuity, "operations", "continuity"), (parts.sequencer, "push", "order"),
        (parts.sequencer, "release", "order"), (parts.pairing, "push", "pair"), (parts.devices, "push", "devices"),
        (parts.canaries, "push", "canaries"), (parts.counters, "stream", "counters"),
        (parts.counters, "judge", "counters"), (parts.coverage, "push", "coverage"),
        (parts.windows, "push", "windows"), (parts.baselines, "learn", "learn"),
        (parts.slis, "push", "slis"), (parts.router, "push", "route"), (line, "commit", "commit: states"),
        (line, "step", "the rest"),
    ):  # fmt: skip
        watch.time(owner, name, label)
    for detector in parts.detectors:
        watch.time(detector, "inspect", f"detect: {detector.info.name}")
