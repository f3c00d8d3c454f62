"""`keytrail run` and `judge`: the line at work, its summary, its exit code."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Annotated, Any

import typer

from pipeline import app as application
from pipeline import config as conf
from pipeline import summary
from pipeline.cli import show
from pipeline.cli.options import DEFAULT_LAKE, SAMPLES, ConfigOption, LakeOption, SummaryFormat, words
from pipeline.core.errors import ConfigError, NoInputError
from pipeline.core.schema import SEVERITIES
from pipeline.job import Run


def run(  # noqa: PLR0917  one parameter an option
    paths: Annotated[list[str] | None, typer.Argument(metavar="PATH", help="Files, folders, or - for stdin.")] = None,
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    input_format: Annotated[str, typer.Option(help="auto or a decoder's name.", metavar="NAME")] = "auto",
    batch_entries: Annotated[
        int | None, typer.Option(min=1, help="Entries per batch; results never depend on it.", metavar="N")
    ] = None,
    max_memory: Annotated[
        int | None, typer.Option(min=1 << 28, help="What this process should stay below.", metavar="BYTES")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Serve Prometheus metrics on loopback.", metavar="PORT")
    ] = None,
    signing_key: Annotated[str | None, typer.Option(help="The ledger's private key.", metavar="FILE")] = None,
    exit_severity: Annotated[bool, typer.Option("--exit-severity", help="Exit 11-15 by the highest alert.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Keep reading as the logs grow.")] = False,
    kafka: Annotated[str, typer.Option(help="Read Kafka instead.", metavar="HOST:PORT[,...]")] = "",
    topic: Annotated[str, typer.Option(help="With --kafka.", metavar="NAME[,...]")] = "",
    group: Annotated[str, typer.Option(help="With --kafka: the consumer group.", metavar="NAME")] = "",
    listen: Annotated[str, typer.Option(help="Take in what is sent to these addresses.", metavar="ADDRESS[,...]")] = "",
    worker: Annotated[str, typer.Option(help="This process's name among those on one lake.", metavar="NAME")] = "main",
    counters: Annotated[
        str, typer.Option(help="Prometheus text with the store's audit counters.", metavar="FILE[,...]")
    ] = "",
    format: Annotated[SummaryFormat, typer.Option(help="How to print.")] = SummaryFormat.table,  # noqa: A002
) -> None:
    """Read, verify, measure, baseline, detect, alert, store."""
    if kafka and paths:
        raise ConfigError("--kafka reads topics: give no PATH with it")
    if (topic or group) and not kafka:
        raise ConfigError("--topic and --group need --kafka HOST:PORT")
    if listen and not words(listen):
        raise ConfigError("--listen needs an address, such as tcp://127.0.0.1:9090")
    if listen and (paths or kafka):
        raise ConfigError("--listen takes what is sent: give neither PATH nor --kafka with it")
    if not (paths or kafka or listen or SAMPLES.exists()):
        raise NoInputError(f"give a PATH, or - for standard input; there are no {SAMPLES} here")
    chosen = tuple(paths or ([] if kafka or listen else [str(SAMPLES)]))
    options = application.RunOptions(
        chosen, lake, follow or bool(listen), batch_entries, metrics_port, input_format, signing_key,
        kafka=words(kafka), topics=words(topic), group=group, worker=worker, max_memory=max_memory,
        counters=words(counters), listen=words(listen),
    )  # fmt: skip
    _execute(Run(options, conf.load(config)), as_json=format is SummaryFormat.json, severity=exit_severity)


def judge(  # noqa: PLR0917
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Serve Prometheus metrics on loopback.", metavar="PORT")
    ] = None,
    signing_key: Annotated[str | None, typer.Option(help="The ledger's private key.", metavar="FILE")] = None,
    exit_severity: Annotated[bool, typer.Option("--exit-severity", help="Exit 11-15 by the highest alert.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Keep judging what the workers read.")] = False,
    counters: Annotated[
        str, typer.Option(help="Prometheus text with the store's audit counters.", metavar="FILE[,...]")
    ] = "",
    format: Annotated[SummaryFormat, typer.Option(help="How to print.")] = SummaryFormat.table,  # noqa: A002
) -> None:
    """Judge what several Kafka workers have read."""
    options = application.RunOptions(
        (), lake, follow, metrics_port=metrics_port, signing_key=signing_key, counters=words(counters), judge=True
    )
    _execute(Run(options, conf.load(config)), as_json=format is SummaryFormat.json, severity=exit_severity)


def _execute(job: Run, *, as_json: bool, severity: bool) -> None:
    stop_on_signals(job.stop)
    with show.progress() as update:
        result = job.execute(update, show.note)
    for line in dict.fromkeys(job.notes):  # what was begun again may say the same again
        show.note(line)
    show.summary(result, job.options.lake, as_json=as_json)
    leave(result, exit_severity=severity)


def leave(result: dict[str, Any], *, exit_severity: bool) -> None:
    """The exit code of a run: 10 for broken integrity, else by severity when asked, else 0."""
    if summary.broken(result):
        raise typer.Exit(10)
    if exit_severity and result["alerts"]:
        raise typer.Exit(11 + max(SEVERITIES.index(name) for name in result["alerts"]))


def stop_on_signals(stop: Callable[[], None]) -> None:
    """SIGTERM and SIGINT finish what was taken; a second one ends at once."""

    def handle(number: int, _frame: Any) -> None:
        stop()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
