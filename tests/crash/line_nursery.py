"""Starts `keytrail`, or a part of it, many times at the price of once: children are forked from a process that has all
the imports.

A child is a process like any other: it can be killed at any moment, or at a numbered step (pipeline.core.faults).
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 300
KEYTRAIL = "pipeline.cli:main"


class Child:
    """One program under way. `out` is the file that its stdout and stderr go to."""

    def __init__(self, nursery: Nursery, pid: int, out: Path) -> None:
        self.nursery, self.pid, self.out = nursery, pid, out
        self.code: int | None = None

    def send(self, number: signal.Signals) -> None:
        """A signal, if it still runs."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def listens(self) -> bool:
        """Whether it handles SIGTERM by now."""
        for line in Path(f"/proc/{self.pid}/status").read_text("ascii").splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
        return False

    def ended(self, seconds: float) -> bool:
        """Whether it ends within `seconds`."""
        if self.code is None and (told := self.nursery.hear(seconds)) is not None:
            self.code = told["code"]
        return self.code is not None

    def wait(self) -> int:
        """Its exit code, or minus the signal that ended it."""
        if not self.ended(LIMIT_SECONDS):
            self.send(signal.SIGKILL)
            raise AssertionError(f"it did not end: {self.text()}")
        assert self.code is not None
        return self.code

    def text(self) -> str:
        """What it has printed so far."""
        return self.out.read_text("utf-8", "replace")


class Nursery:
    """The process that is forked from; one child at a time. `main` is what its children do, as module:function."""

    def __init__(self, home: Path, main: str = KEYTRAIL) -> None:
        self.home = home
        code = f"from tests.crash.line_nursery import serve; serve({main!r})"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(home), "KEYTRAIL_FAULT": ""}
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=ROOT
        )
        self._count = 0
        self._last: Child | None = None

    @property
    def pid(self) -> int:
        """The process that is forked from."""
        return self._process.pid

    def start(self, *arguments: str | Path, fault: str = "", limits: dict[str, int] | None = None) -> Child:
        """Start a child; `fault` is name[:count] of the step at which it dies, `limits` are resource limits."""
        self._count += 1
        out = self.home / f"child-{self._count}.txt"
        out.touch(0o600)
        job = {"argv": [str(a) for a in arguments], "fault": fault, "out": str(out), "limits": limits or {}}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        self._process.stdin.flush()
        told = self.hear(LIMIT_SECONDS)
        assert told is not None, "the nursery does not answer"
        self._last = Child(self, told["pid"], out)
        return self._last

    def hear(self, seconds: float) -> dict[str, Any] | None:
        """The nursery's next word, if it comes in time."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            return None
        line = self._process.stdout.readline()
        assert line, "the nursery is gone"
        return dict(json.loads(line))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._last is not None:
            self._last.send(signal.SIGKILL)  # one that a failed test left behind
        self._process.communicate()


def serve(main: str) -> None:
    """What the nursery does: a job a line on stdin; two lines back, the child's pid and then its code."""
    work = _imported(main)
    workers = [path for path in Path("/proc/self/task").glob("*/comm") if path.read_text().startswith("polars-0")]
    assert not workers, "what has threads at work cannot be forked; import less"
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    for line in sys.stdin.buffer:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _be(job, work)
        answers.write(json.dumps({"pid": pid}).encode() + b"\n")
        _, status = os.waitpid(pid, 0)
        answers.write(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode() + b"\n")


def _imported(main: str) -> Callable[[], None]:
    """What children do, imported before there is anything to fork."""
    from pipeline.core import plugins  # noqa: PLC0415

    module, _, name = main.partition(":")
    work: Callable[[], None] = getattr(importlib.import_module(module), name)
    for room in ("detectors", "pipeline.sinks") if main == KEYTRAIL else ():
        for kind in set(plugins.kinds(room)) - {"kafka"}:
            plugins.load(room, kind)
    return work


def _be(job: dict[str, Any], work: Callable[[], None]) -> None:
    """Be the child, to the end."""
    import resource  # noqa: PLC0415

    from pipeline.core import faults  # noqa: PLC0415

    os.setsid()
    file = os.open(job["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for number, target in ((0, null), (1, file), (2, file)):
        os.dup2(target, number)
    for name, limit in job["limits"].items():
        kind = getattr(resource, name)
        resource.setrlimit(kind, (limit, resource.getrlimit(kind)[1]))
    faults._name, _, count = job["fault"].partition(":")
    faults._left = int(count or 1)
    sys.argv = ["keytrail", *job["argv"]]
    code = 1
    try:
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  told as the interpreter would tell it, then the process ends
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
