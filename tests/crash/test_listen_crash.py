"""Death of a run that listens: what it has taken in is in the lake exactly once, whenever it dies."""

from __future__ import annotations

import gzip
import itertools
import random
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest

from tests.crash.line_story import words, write_config
from tests.integration.kafka.broker import free_port
from tests.lakes import view

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.crash.line_nursery import Child, Nursery

# Every step of the source's own, and those of a commit around which positions and files go apart.
STEPS = (
    "listen.written:2", "listen.removing:1", "store.committed:2", "listen.synced:1", "store.synced:2",
    "store.transaction:2", "store.published:1",
)  # fmt: skip
EACH = 25  # lines that a run is sent
LISTEN = """
[sources.listen]
max_record_bytes = 65536
file_bytes = 4096
spool_bytes = 1000000
keep_seconds = {keep}
"""


class Estate:
    """A lake with one listener, and the device that sends to it."""

    def __init__(self, nursery: Nursery, home: Path, keep: int) -> None:
        self.nursery, self.home, self.port = nursery, home, free_port()
        self.config = write_config(home, 43)
        with self.config.open("a") as file:
            file.write(LISTEN.format(keep=keep))

    @property
    def taken(self) -> int:
        """Where the spool ends."""
        files = sorted(self.home.glob("lake/spool/*/*.log"))
        return int(files[-1].stem) + files[-1].stat().st_size if files else 0

    def start(self, fault: str = "") -> Child:
        """A run, until it listens."""
        path, *rest = words(self.home, self.config, self.home)[1:]
        assert path == self.home
        return self.nursery.start("run", "--listen", f"tcp://127.0.0.1:{self.port}", *rest, fault=fault)

    def connect(self, child: Child) -> socket.socket | None:
        """The device's connection, as soon as there can be one; None if the run dies before."""
        while not child.ended(0.02):
            try:
                return socket.create_connection(("127.0.0.1", self.port), timeout=20)
            except ConnectionRefusedError:
                continue
        return None

    def send(self, child: Child, lines: list[bytes], dice: random.Random) -> bool:
        """Lines in pieces; whether all of them went off before it died."""
        sock = self.connect(child)
        if sock is None:
            return False
        data = b"".join(lines)
        with sock:
            try:
                while data:
                    at = dice.randrange(1, 4000)
                    sock.sendall(data[:at])
                    data = data[at:]
                    time.sleep(0.004)
            except OSError:
                return False
        return True

    def entries(self) -> int:
        return len(view(self.home / "lake", "raw")) if (self.home / "lake" / "audit.duckdb").exists() else 0

    def spooled(self) -> list[bytes]:
        """All lines of the spool."""
        files = sorted(self.home.glob("lake/spool/*/*.log"))
        return b"".join(path.read_bytes() for path in files).splitlines(keepends=True)

    def finish(self, lines: list[bytes], total: Callable[[], int]) -> None:
        """A last run, undisturbed: it is sent some more, and stopped when the lake has as many as it should."""
        child = self.start()
        assert self.send(child, lines, random.Random(1)), child.text()
        deadline = time.monotonic() + 60
        while self.entries() < total():
            assert time.monotonic() < deadline, f"{self.entries()} of {total()}"
            assert not child.ended(0.1), child.text()
        child.send(signal.SIGTERM)
        assert child.wait() in {0, 10}, child.text()

    def raw(self) -> list[tuple[int, bytes]]:
        """Places and bytes of all that the lake holds."""
        rows = view(self.home / "lake", "raw").sort("position")
        assert rows["source"].unique().to_list() == [f"tcp://127.0.0.1:{self.port}"]
        return [(place, bytes(text) if isinstance(text, bytes) else text.encode()) for place, text in
                rows.select("position", "raw").rows()]  # fmt: skip


def story(logs: Path) -> list[bytes]:
    """The lines of one device."""
    first, second, last = ((logs / f"audit.log{end}").read_bytes() for end in (".2.gz", ".1", ""))
    return (gzip.decompress(first) + second + last).splitlines(keepends=True)


@pytest.mark.parametrize("steps", [STEPS[:2], pytest.param(STEPS * 2, marks=pytest.mark.slow)])
def test_death_at_one_step_after_the_other(
    nursery: Nursery, logs: Path, tmp_path: Path, steps: tuple[str, ...]
) -> None:
    """Killed at each step in turn, with files that are removed once committed: every line taken is there once."""
    lines = story(logs)
    places = [0, *itertools.accumulate(map(len, lines))]
    estate, dice, missed = Estate(nursery, tmp_path, keep=0), random.Random(3), []
    for step in steps:
        begun = places.index(estate.taken)  # the kernel may have had more: that is lost, and sent again
        child = estate.start(step)
        estate.send(child, lines[begun : begun + EACH], dice)
        if not child.ended(20):
            missed.append(step)
            child.send(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL, child.text()
    begun = places.index(estate.taken)
    assert begun + EACH <= len(lines)
    estate.finish(lines[begun : begun + EACH], lambda: begun + EACH)
    assert missed == []
    assert estate.raw() == [(place, line[:-1]) for place, line in zip(places, lines[: begun + EACH], strict=False)]
    assert sum(path.stat().st_size for path in tmp_path.glob("lake/spool/*/*.log")) < places[begun] / 2


@pytest.mark.parametrize("deaths", [1, pytest.param(18, marks=pytest.mark.slow)])
def test_death_at_any_moment(nursery: Nursery, logs: Path, tmp_path: Path, deaths: int) -> None:
    """Killed at random moments while lines come: the lake holds what the spool holds, each piece once, in its place."""
    lines, dice = story(logs), random.Random(8)
    assert len(lines) >= (deaths + 1) * EACH
    estate, sent = Estate(nursery, tmp_path, keep=86_400), 0
    for _ in range(deaths):
        child = estate.start()
        estate.send(child, lines[sent : sent + EACH], dice)
        sent += EACH
        time.sleep(dice.random() * 0.5)
        child.send(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL, child.text()
    estate.finish(lines[sent : sent + EACH], lambda: len(estate.spooled()))
    kept = estate.spooled()
    places = itertools.accumulate(map(len, kept), initial=0)
    assert estate.raw() == [(place, line[:-1]) for place, line in zip(places, kept, strict=False)]
    assert set(lines[sent : sent + EACH]) <= set(kept)
