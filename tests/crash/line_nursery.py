"""Starts `keytrail` many times at the price of once: children are forked from a process that has all the imports.

A child is a process like any other: it can be killed at any moment, or at a numbered step (pipeline.core.faults).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 300


class Child:
    """One `keytrail` under way. `out` is the file that its stdout and stderr go to."""

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
            raise AssertionError(f"keytrail did not end: {self.text()}")
        assert self.code is not None
        return self.code

    def text(self) -> str:
        """What it has printed so far."""
        return self.out.read_text("utf-8", "replace")


class Nursery:
    """The process that is forked from; one child at a time."""

    def __init__(self, home: Path) -> None:
        self.home = home
        code = "from tests.crash.line_nursery import serve; serve()"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(home), "KEYTRAIL_FAULT": ""}
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=ROOT
        )
        self._count = 0

    @property
    def pid(self) -> int:
        """The process that is forked from."""
        return self._process.pid

    def start(self, *arguments: str | Path, fault: str = "", limits: dict[str, int] | None = None) -> Child:
        """Start keytrail; `fault` is name[:count] of the step at which it dies, `limits` are resource limits."""
        self._count += 1
        out = self.home / f"child-{self._count}.txt"
        job = {"argv": [str(a) for a in arguments], "fault": fault, "out": str(out), "limits": limits or {}}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        self._process.stdin.flush()
        told = self.hear(LIMIT_SECONDS)
        assert told is not None, "the nursery does not answer"
        return Child(self, told["pid"], out)

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
        self._process.communicate()


def serve() -> None:
    """What the nursery does: a job a line on stdin; two lines back, the child's pid and then its code."""
    from pipeline import cli  # noqa: F401, PLC0415  imported before there is anything to fork
    from pipeline.core import plugins  # noqa: PLC0415

    for room in ("detectors", "pipeline.sinks"):
        for kind in set(plugins.kinds(room)) - {"kafka"}:
            plugins.load(room, kind)
    workers = [path for path in Path("/proc/self/task").glob("*/comm") if path.read_text().startswith("polars-0")]
    assert not workers, "what has threads at work cannot be forked; import less"
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    for line in sys.stdin.buffer:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _be(job)
        answers.write(json.dumps({"pid": pid}).encode() + b"\n")
        _, status = os.waitpid(pid, 0)
        answers.write(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode() + b"\n")


def _be(job: dict[str, Any]) -> None:
    """Be keytrail, to the end."""
    import resource  # noqa: PLC0415

    from pipeline import cli  # noqa: PLC0415
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
        cli.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  told as the interpreter would tell it, then the process ends
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
