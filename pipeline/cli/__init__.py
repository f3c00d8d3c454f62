"""The command line: parse, call, print. stdout is data, stderr is for people."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer
import typer.core

from pipeline import app as application
from pipeline.cli import asking, checking, detecting, inquiring, ledger, running, scanning, show, verifying
from pipeline.core.errors import KeytrailError

ORDER = (
    "run", "judge", "query", "alerts", "outbox", "verify", "proof", "ledger", "report", "investigate", "inventory",
    "policy", "scan", "detectors", "backtest", "simulate", "evaluate", "probe", "check",
)  # fmt: skip
HUNG_UP = 128 + signal.SIGPIPE


class _ReaderGoneError(Exception):
    """Whoever read what is printed wants no more."""


@contextlib.contextmanager
def _heard() -> Iterator[None]:
    """Typer would end with 1, as for an error."""
    try:
        yield
    except BrokenPipeError:
        raise _ReaderGoneError from None


class _Ordered(typer.core.TyperGroup):
    """Commands in the order of the documentation."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))

    def make_context(self, *args: Any, **extra: Any) -> Any:
        with _heard():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        with _heard():
            return super().invoke(ctx)


cli = typer.Typer(
    name="keytrail",
    cls=_Ordered,
    help="Audit analytics and anomaly detection for secret stores.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"keytrail {application.version()}\n")
        raise typer.Exit


def main() -> None:
    """Entry point: keytrail's own errors become one line on stderr and their exit code.

    Where what is printed is not read to its end (`| head`), it ends as if by SIGPIPE: without a word, and without
    passing for a verification that went well.
    """
    try:
        try:
            cli()
        finally:
            sys.stdout.flush()
    except KeytrailError as error:
        show.note(f"keytrail: {error}")
        sys.exit(error.exit_code)
    except (_ReaderGoneError, BrokenPipeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())  # what is left in its buffer goes there when the interpreter ends
        sys.exit(HUNG_UP)
    except OSError as error:
        if error.errno not in {errno.EMFILE, errno.ENFILE}:
            raise
        sys.stderr.write("keytrail: no file descriptor is left to open anything with; raise the limit (ulimit -n)\n")
        sys.exit(1)


@cli.callback()
def keytrail(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Audit analytics and anomaly detection for secret stores."""


for _command in (
    running.run, running.judge, asking.query, asking.alerts, asking.report, inquiring.investigate, inquiring.inventory,
    inquiring.policy, scanning.scan, verifying.proof, detecting.backtest, detecting.simulate, detecting.evaluate,
    checking.probe, checking.check,
):  # fmt: skip
    cli.command()(_command)
cli.add_typer(asking.outbox, name="outbox")
cli.add_typer(verifying.verify, name="verify")
cli.add_typer(ledger.ledger, name="ledger")
cli.add_typer(detecting.detectors, name="detectors")
