"""A keytrail command inside the test's own process: quick, with the exit code that the process would have."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typer.testing import CliRunner

from pipeline.cli import cli
from pipeline.core.errors import KeytrailError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended. `error` is what keytrail says on stderr when it refuses; `both` as a terminal shows it."""

    code: int
    stdout: str
    stderr: str
    both: str
    error: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """stdout as one JSON object a line."""
        return [json.loads(line) for line in self.stdout.splitlines()]


def keytrail(*words: str | Path, stdin: str | None = None) -> Done:
    """Run a command. What is no KeytrailError is a defect and raised."""
    result = CliRunner().invoke(cli, list(map(str, words)), input=stdin, prog_name="keytrail")
    failure = result.exception
    if failure is not None and not isinstance(failure, (KeytrailError, SystemExit)):
        raise failure
    code = failure.exit_code if isinstance(failure, KeytrailError) else result.exit_code
    error = str(failure) if isinstance(failure, KeytrailError) else ""
    return Done(code, result.stdout, result.stderr, result.output, error)
