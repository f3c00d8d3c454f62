"""The `keytrail` command as a process of its own, the way a user or a supervisor meets it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ENTRY = "import sys; sys.argv[0] = 'keytrail'; from pipeline.cli import main; main()"


def command(*arguments: str | Path) -> list[str]:
    """The words that start keytrail with these arguments."""
    return [sys.executable, "-c", ENTRY, *map(str, arguments)]


def surroundings(home: Path, **extra: str) -> dict[str, str]:
    """An environment in which keys and caches stay below `home`."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("KEYTRAIL_")}
    path = os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH"))))
    return {**kept, "PYTHONPATH": path, "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), **extra}


def keytrail(
    *arguments: str | Path, home: Path, timeout: float = 120, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Run to the end; code, stdout and stderr. `extra` are environment variables."""
    return subprocess.run(
        command(*arguments), cwd=home, env=surroundings(home, **extra), capture_output=True, text=True,
        timeout=timeout, check=False,
    )  # fmt: skip


def start(*arguments: str | Path, home: Path, **popen: Any) -> subprocess.Popen[str]:
    """Start it and go on; stdout and stderr are read by the caller unless `popen` says otherwise."""
    chosen = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": surroundings(home), **popen}
    return subprocess.Popen(command(*arguments), cwd=home, text=True, **chosen)


PEAK = """import atexit, os, re
@atexit.register
def told():
    peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
    open(os.environ["KEYTRAIL_PEAK_FILE"], "w").write(peak)
"""  # the kernel's ru_maxrss would begin with the peak of the process that started this one


def measured(*arguments: str | Path, home: Path) -> tuple[int, str, str, int]:
    """Run to the end; exit code, stdout, stderr, and the most memory it had at once, in bytes."""
    peak = home / "measured.peak"
    words = [sys.executable, "-c", PEAK + ENTRY, *map(str, arguments)]
    ended = subprocess.run(
        words, cwd=home, env=surroundings(home, KEYTRAIL_PEAK_FILE=str(peak)), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return ended.returncode, ended.stdout, ended.stderr, int(peak.read_text()) * 1024
