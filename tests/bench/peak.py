"""The most memory a process had, by the kernel's VmHWM: ru_maxrss begins with the peak of whoever started it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.processes import ENTRY, PEAK, ROOT


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process went: seconds of wall and CPU, peak memory (MiB), what it printed, its exit code."""

    wall: float
    cpu: float
    peak: int
    text: str
    code: int


def own() -> float:
    """This process's peak so far, or since `forget`, in MiB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text("ascii"))
    return int(found[1]) / 1024 if found else 0.0


def forget() -> None:
    """Let the peak begin anew at what is used now."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")


def keytrail(*arguments: str | Path, cores: str = "", stderr: int | None = None) -> Ended:
    """A keytrail command to its end."""
    return python(ENTRY, *arguments, cores=cores, stderr=stderr)


def python(program: str, *arguments: str | Path, cores: str = "", stderr: int | None = None) -> Ended:
    """A program, on some cores, to its end."""
    pinned = ["taskset", "-c", cores] if cores else []
    with tempfile.NamedTemporaryFile() as peak:
        words = [*pinned, sys.executable, "-c", PEAK + program, *map(str, arguments)]
        begun = time.perf_counter()
        surroundings = {**os.environ, "KEYTRAIL_PEAK_FILE": peak.name}
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=ROOT, env=surroundings)
        text = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        wall, most = time.perf_counter() - begun, int(Path(peak.name).read_text("ascii") or 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Ended(wall, usage.ru_utime + usage.ru_stime, most >> 10, text, process.returncode)
