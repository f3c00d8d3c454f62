"""Programs that others wrote, started for a while: rsyslog and what else Debian has."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.components import from_debian

PACKAGES = ("rsyslog", "rsyslog-openssl", "libestr0", "libfastjson4", "liblognorm5", "prometheus-alertmanager")


def debian_packages() -> Path:
    """rsyslog and Alertmanager of Debian, unpacked."""
    return from_debian("receivers", *PACKAGES)


def rsyslog_words(debian: Path, folder: Path, config: Path) -> tuple[list[str | Path], dict[str, str]]:
    """The words that start rsyslog with `config`, and the environment it wants."""
    libraries = next((debian / "usr" / "lib").glob("*-linux-gnu"))
    words: list[str | Path] = [
        debian / "usr" / "sbin" / "rsyslogd", "-n", "-f", config, "-i", folder / "pid", "-M", libraries / "rsyslog",
    ]  # fmt: skip
    return words, {"LD_LIBRARY_PATH": str(libraries)}


def until(wanted: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for something that must come."""
    deadline = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


@contextmanager
def running(words: list[str | Path], folder: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program for the time of a with-block; what it printed is in `log` of the folder."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            list(map(str, words)), stdout=log, stderr=log, cwd=folder, env={**os.environ, **environment}
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
