"""Workers of one group on one lake, as processes, and what must hold of the lake they leave."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from pipeline import config as conf
from pipeline.app import RunOptions
from pipeline.core.clock import system_clock
from pipeline.job import Run
from pipeline.store import Lake, StoreConfig
from pipeline.verification import verify_lake
from tests.integration.kafka.cluster import Offsets, stored, until
from tests.lakes import view
from tests.processes import start

CONFIG = """
[line]
commit_seconds = 0.2

[sources.kafka]
session_timeout_seconds = 3
heartbeat_interval_seconds = 0.5
quiet_seconds = 0.3
{more}

[store]
publish_seconds = 1
"""
COMPARED = ("uid", "paired", "outcome", "principal", "secret", "operation", "devices")


class Group:
    """Starts and ends workers; `lake` is theirs together."""

    def __init__(self, home: Path, address: str, topic: str, more: str = "") -> None:
        self.home, self.lake = home, home / "lake"
        home.mkdir(parents=True, exist_ok=True)
        config = home / "keytrail.toml"
        config.write_text(CONFIG.format(more=more), "utf-8")
        self._words: Sequence[str | Path] = (
            "run", "--kafka", address, "--topic", topic, "--group", f"group-{topic}", "--lake", self.lake,
            "--signing-key", home / "signing.key", "--config", config, "--format", "json",
        )  # fmt: skip
        self._running: dict[str, subprocess.Popen[str]] = {}

    def begin(self, worker: str, *, follow: bool = True, **popen: Any) -> subprocess.Popen[str]:
        """Start a worker."""
        out = (self.home / f"{worker}.txt").open("a")
        more = ("--worker", worker, *(("--follow",) if follow else ()))
        process = start(*self._words, *more, home=self.home, stdout=out, stderr=out, **popen)
        out.close()
        self._running[worker] = process
        return process

    def judge(self, **popen: Any) -> subprocess.Popen[str]:
        """Start the process that judges what the workers read; it goes by the name of `judge`."""
        out = (self.home / "judge.txt").open("a")
        process = start(
            "judge", "--follow", "--lake", self.lake, "--config", self.home / "keytrail.toml", "--format", "json",
            home=self.home, stdout=out, stderr=out, **popen,
        )  # fmt: skip
        out.close()
        self._running["judge"] = process
        return process

    def judged(self) -> dict[str, Any]:
        """Judge what the workers have read, once they have ended; the summary."""
        return Run(RunOptions((), self.lake, judge=True), conf.load(self.home / "keytrail.toml")).execute()

    def broken(self) -> list[tuple[str, ...]]:
        """What the workers' ledgers, as they are now, say of the lake that does not hold."""
        config = conf.LedgerConfig(signing_key=str(self.home / "signing.key"))
        rows = pl.concat([one.report.rows for one in verify_lake(self.lake, None, (), None, config)])
        return rows.filter(~pl.col("verdict").is_in(("ok", "redacted"))).select("source", "cause", "evidence").rows()

    def share(self, wanted: int = 2, seconds: float = 180) -> None:
        """Wait until `wanted` workers have committed last somewhere."""
        deadline = time.monotonic() + seconds
        while not shared(self.lake, wanted):
            assert time.monotonic() < deadline, f"{owners(self.lake)} {[self.text(name) for name in self._running]}"
            time.sleep(0.05)

    def starts(self, worker: str) -> int:
        """How often it has opened the lake; the judge is `main` there."""
        if not (self.lake / "commit.sqlite").exists():
            return 0
        with Lake.open(self.lake, StoreConfig(), writer=False, clock=system_clock) as opened:
            return opened.epoch(worker)

    def started(self, worker: str) -> None:
        """Start a worker, or the judge, and wait until it has opened the lake."""
        name = "main" if worker == "judge" else worker
        before = self.starts(name)
        if worker == "judge":
            self.judge()
        else:
            self.begin(worker)
        until(lambda: self.starts(name) > before)

    def send(self, worker: str, number: signal.Signals) -> None:
        """A signal to a worker."""
        self._running[worker].send_signal(number)

    def end(self, worker: str) -> int:
        """Ask it to end; its exit code."""
        self.send(worker, signal.SIGTERM)
        return self._running.pop(worker).wait(60)

    def kill(self, worker: str) -> None:
        """End it as a power cut would."""
        self.send(worker, signal.SIGKILL)
        self._running.pop(worker).wait(60)

    def alive(self, worker: str) -> bool:
        """Whether it runs."""
        return worker in self._running and self._running[worker].poll() is None

    def text(self, worker: str) -> str:
        """What it printed."""
        return (self.home / f"{worker}.txt").read_text("utf-8", "replace")

    def holds(self, produced: Offsets, seconds: float = 240) -> None:
        """Wait until the lake holds what was produced, and hold it to nothing more."""

        def all_there() -> bool:
            dead = [name for name, process in self._running.items() if process.poll() is not None]
            assert not dead, self.text(dead[0])
            return made(self.lake) and sum(stored(self.lake).values()) >= sum(produced.values())

        until(all_there, seconds)
        assert stored(self.lake) == produced

    def stop(self) -> None:
        """End whatever still runs."""
        for process in self._running.values():
            process.kill()
            process.wait()


@contextmanager
def group(home: Path, address: str, topic: str, more: str = "") -> Iterator[Group]:
    """A group for the time of a with-block."""
    some = Group(home, address, topic, more)
    try:
        yield some
    finally:
        some.stop()


def owners(lake: Path) -> dict[str, str]:
    """Which worker committed each stream last."""
    with Lake.open(lake, StoreConfig(), writer=False, clock=system_clock) as opened:
        return {stream: worker for (stream, _), worker in opened.owners().items()}


def shared(lake: Path, wanted: int) -> bool:
    """Whether `wanted` workers have committed last somewhere."""
    return made(lake) and len(set(owners(lake).values())) >= wanted


def made(lake: Path) -> bool:
    """Whether there is a lake that can be asked: the last step of making one is publishing it."""
    return (lake / "audit.duckdb").exists()


def operations(lake: Path) -> pl.DataFrame:
    """What is told of each request, in an order of its own."""
    return view(lake, "operations").select(COMPARED).sort("uid")


def pause(seconds: float) -> None:
    """Time that must pass for the broker to act."""
    time.sleep(seconds)
