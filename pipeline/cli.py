"""The command line: parse, call, print. stdout is data, stderr is for people."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from pipeline import app as application
from pipeline import commands, custody, keeping, named, probing, proving, recording, show, summary, tables, verification
from pipeline import config as conf
from pipeline.core.clock import system_clock
from pipeline.core.errors import ConfigError, KeytrailError, NoInputError
from pipeline.core.schema import SEVERITIES
from pipeline.options import (
    DEFAULT_LAKE,
    SAMPLES,
    AlertFormat,
    ConfigOption,
    Format,
    FormatOption,
    LakeOption,
    RootsOption,
    Severity,
    SummaryFormat,
)
from pipeline.store import letters

ORDER = (
    "run", "judge", "query", "alerts", "outbox", "verify", "proof", "ledger", "report", "detectors", "backtest",
    "simulate", "evaluate", "probe", "check",
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


@cli.command()
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
        int | None, typer.Option(help="Serve Prometheus metrics on loopback.", metavar="PORT")
    ] = None,
    signing_key: Annotated[str | None, typer.Option(help="The ledger's private key.", metavar="FILE")] = None,
    exit_severity: Annotated[bool, typer.Option("--exit-severity", help="Exit 11-15 by the highest alert.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Keep reading as the logs grow.")] = False,
    kafka: Annotated[str, typer.Option(help="Read Kafka instead.", metavar="HOST:PORT[,...]")] = "",
    topic: Annotated[str, typer.Option(help="With --kafka.", metavar="NAME[,...]")] = "",
    group: Annotated[str, typer.Option(help="With --kafka: the consumer group.", metavar="NAME")] = "",
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
    if not (paths or kafka or SAMPLES.exists()):
        raise NoInputError(f"give a PATH, or - for standard input; there are no {SAMPLES} here")
    chosen = tuple(paths or ([] if kafka else [str(SAMPLES)]))
    options = application.RunOptions(
        chosen, lake, follow, batch_entries, metrics_port, input_format, signing_key,
        kafka=_words(kafka), topics=_words(topic), group=group, worker=worker, max_memory=max_memory,
        counters=_words(counters),
    )  # fmt: skip
    _execute(application.Run(options, conf.load(config)), as_json=format is SummaryFormat.json, severity=exit_severity)


@cli.command()
def judge(  # noqa: PLR0917
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Serve Prometheus metrics on loopback.", metavar="PORT")
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
        (), lake, follow, metrics_port=metrics_port, signing_key=signing_key, counters=_words(counters), judge=True
    )
    _execute(application.Run(options, conf.load(config)), as_json=format is SummaryFormat.json, severity=exit_severity)


def _execute(job: application.Run, *, as_json: bool, severity: bool) -> None:
    stop_on_signals(job.stop)
    with show.progress() as update:
        result = job.execute(update)
    for line in job.notes:
        show.note(line)
    show.summary(result, job.options.lake, as_json=as_json)
    leave(result, exit_severity=severity)


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (word.strip() for word in text.split(","))))


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


@cli.command()
def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT, or - to read it from stdin.")],
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Read-only SQL on the lake, also while run writes."""
    conf.load(config).allow(named.TABLES)
    text = sys.stdin.read() if sql == "-" else sql
    tables.table(commands.query(lake, text), format.value)


@cli.command()
def alerts(  # noqa: PLR0917
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    follow: Annotated[bool, typer.Option("--follow", help="Keep printing new states.")] = False,
    since: Annotated[str | None, typer.Option(help="RFC 3339 time, or a span such as 24h.", metavar="TIME")] = None,
    min_severity: Annotated[Severity, typer.Option(help="Leave out what is below.")] = Severity.informational,
    format: Annotated[AlertFormat, typer.Option(help="How to print.")] = AlertFormat.table,  # noqa: A002
) -> None:
    """The alert feed."""
    conf.load(config).allow(named.TABLES)
    feed = commands.AlertFeed(lake, since, min_severity)
    stop_on_signals(feed.stop)
    for rows in feed.follow() if follow else [feed.read()]:
        if format is AlertFormat.ocsf:
            show.lines(commands.ocsf(rows))
        elif format is AlertFormat.json:
            tables.table(commands.in_view(rows), format.value)
        else:
            show.alerts(rows)


outbox = typer.Typer(invoke_without_command=True, help="What waits for sinks, what they refused; replay it.")
cli.add_typer(outbox, name="outbox")


@outbox.callback()
def outbox_sinks(
    context: typer.Context,
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """What waits for each sink, and what it refused."""
    if context.invoked_subcommand is None:
        conf.load(config).allow(named.TABLES)
        tables.table(letters.sinks(lake), format.value)


@outbox.command("refused")
def outbox_refused(lake: LakeOption = DEFAULT_LAKE, format: FormatOption = Format.table) -> None:  # noqa: A002
    """What sinks refused for good, with their reasons."""
    tables.table(letters.refused(lake), format.value)


@outbox.command("replay")
def outbox_replay(
    sink: Annotated[str, typer.Argument(metavar="SINK", help="Its name in [sinks.NAME].")],
    lake: LakeOption = DEFAULT_LAKE,
) -> None:
    """Let what a sink refused wait for it again."""
    count = letters.replay(lake, sink)
    show.note(f"{count:,} refused by {sink} wait for it again")


verify = typer.Typer(invoke_without_command=True, help="The lake against its ledger; a proof; a CloudTrail bucket.")
cli.add_typer(verify, name="verify")


@verify.callback()
def verify_lake(  # noqa: PLR0917
    context: typer.Context,
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    key: Annotated[str | None, typer.Option(help="The ledger's verifier key (text or file).", metavar="VKEY")] = None,
    since_head: Annotated[
        list[Path] | None,
        typer.Option(help="A kept copy of a ledger's checkpoint; may be given again.", metavar="FILE"),
    ] = None,
    roots: RootsOption = None,
    record: Annotated[bool, typer.Option("--record", help="Record in the ledger what was found.")] = False,
    signing_key: Annotated[
        Path | None, typer.Option(help="The ledger's private key, for --record.", metavar="FILE")
    ] = None,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Hold the lake's rows, the ledger's tiles and its head against each other. With --record no run may be writing."""
    if context.invoked_subcommand is not None:
        return
    settings = conf.load(config)
    settings.allow(named.TABLES)
    ledger, began_us = settings.table(conf.LedgerConfig, "ledger"), system_clock() // 1000
    with show.counting("verifying") as update:
        results = verification.verify_lake(lake, key, since_head or (), update, ledger, roots=roots)
    show.verification(results, format.value)
    if record:
        span_us, version = (began_us, system_clock() // 1000), application.version()
        told = recording.record(lake, results, version=version, span_us=span_us, config=ledger, signing_key=signing_key)
        for line in told:
            show.note(line)
    if code := max(result.report.exit_code for result in results):
        raise typer.Exit(code)


@verify.command("proof")
def verify_proof(
    file: Annotated[Path, typer.Argument(help="A .tlog-proof file.")],
    key: Annotated[str, typer.Option(help="The ledger's verifier key (text or file).", metavar="VKEY")],
    event: Annotated[Path | None, typer.Option(help="The .event.json beside it.", metavar="FILE")] = None,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Check an inclusion proof: exit 0 good, 10 refused."""
    tables.rows([proving.verify_proof(file, event, key)], format.value)


@verify.command("cloudtrail")
def verify_cloudtrail(  # noqa: PLR0917
    directory: Annotated[Path, typer.Argument(help="The bucket's root, mirrored.", metavar="DIR")],
    keys: Annotated[Path | None, typer.Option(help="Public keys by region.", metavar="FILE")] = None,
    start: Annotated[str | None, typer.Option("--from", help="RFC 3339 time; default: as far as it goes.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="RFC 3339 time; default: now.")] = None,
    seen: Annotated[Path | None, typer.Option(help="Chains seen before; kept up to date.", metavar="FILE")] = None,
    lake: Annotated[Path | None, typer.Option(help="Its ledger's public keys, too.", metavar="DIR")] = None,
    record: Annotated[bool, typer.Option("--record", help="Record new public keys in that ledger.")] = False,
    config: ConfigOption = None,
    signing_key: Annotated[Path | None, typer.Option(help="The ledger's private key.", metavar="FILE")] = None,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Check a mirrored CloudTrail bucket: exit 0 whole, else 10."""
    settings = conf.load(config)
    settings.allow(named.TABLES)
    ring, changed, recorded = keeping.keys_for(keys, lake, settings, signing_key, keep=record)
    with show.counting("verifying") as update:
        result = verification.verify_cloudtrail(directory, ring, (start, end), seen, update, changed=changed)
    for frame in verification.cloudtrail_frames(result, format.value):
        tables.table(frame, format.value)
    for line in verification.cloudtrail_notes(result):
        show.note(line)
    if recorded:
        show.note(f"{recorded:,} public keys were recorded in the ledger")
    if result.broken:
        raise typer.Exit(10)


@cli.command()
def proof(
    uids: Annotated[list[str], typer.Argument(metavar="EVENT_UID", help="Events of the lake.")],
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    out: Annotated[str, typer.Option(help="A folder, or - for stdout.", metavar="DIR")] = ".",
) -> None:
    """Write a .tlog-proof and an .event.json for each event."""
    conf.load(config).allow(named.TABLES)
    files = proving.prove(lake, uids, None if out == "-" else Path(out))
    for name, data in files:
        sys.stdout.write(data.decode() if out == "-" else f"{Path(out) / name}\n")


cli.add_typer(custody.ledger, name="ledger")


@cli.command()
def report(  # noqa: PLR0917
    name: Annotated[str, typer.Argument(metavar="NAME", help="A report's name, or list.")],
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    start: Annotated[
        str | None, typer.Option("--from", help="RFC 3339 time, or a span back such as 30d.", metavar="TIME")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="The same; default: the last entry.", metavar="TIME")] = None,
    out: Annotated[Path, typer.Option("--out", help="Where the files go.", metavar="DIR")] = Path("out"),
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Write a report: HTML for people, CSV and JSON for machines."""
    conf.load(config).allow(named.TABLES)
    if name == "list":
        tables.rows(commands.report_rows(), format.value)
        return
    for path in commands.report(lake, name, (start, end), out):
        sys.stdout.write(f"{path}\n")


detectors = typer.Typer(no_args_is_help=True, help="The suite: list, explain NAME, test.")
cli.add_typer(detectors, name="detectors")


@detectors.command("list")
def detectors_list(format: FormatOption = Format.table) -> None:  # noqa: A002
    """Every detector with what it looks for."""
    tables.rows(commands.detector_rows(), format.value)


@detectors.command("explain")
def detectors_explain(name: Annotated[str, typer.Argument(metavar="NAME", help="A detector's name.")]) -> None:
    """A detector's purpose, thresholds, limits and runbook."""
    sys.stdout.write(commands.detector_page(name))


@detectors.command("test")
def detectors_test(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Detectors; default all.")] = None,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Run every firing and quiet case."""
    results = commands.detector_cases(names or [])
    tables.rows(results, format.value)
    if not all(row["ok"] for row in results):
        raise typer.Exit(1)


@cli.command()
def simulate(  # noqa: PLR0917
    out: Annotated[Path, typer.Option("--out", help="Where the logs and labels go.", metavar="DIR")],
    store: Annotated[str, typer.Option(help="vault or openbao.", metavar="NAME")] = "openbao",
    days: Annotated[int, typer.Option(min=1, help="Days of event time.", metavar="N")] = 3,
    rate: Annotated[float, typer.Option(help="Multiplies the workload's rate.", metavar="FACTOR")] = 1.0,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.", metavar="N")] = 1,
    attack: Annotated[str, typer.Option(help="None gives the quiet twin.", metavar="NAME[:DIFFICULTY][,...]")] = "",
    preset: Annotated[str, typer.Option(help="The estate's size: xs, s, m or l.", metavar="SIZE")] = "xs",
    devices: Annotated[int, typer.Option(min=1, help="Audit devices that all tell of it.", metavar="N")] = 1,
) -> None:
    """A labelled stream of audit entries."""
    from pipeline import trials  # noqa: PLC0415  only the commands on made-up or past streams need the simulator

    asked = {"store": store, "days": days, "rate": rate, "seed": seed, "preset": preset, "devices": devices}
    with show.counting("simulating"):
        done = trials.simulate(out, asked, attack)
    for path in (*done.files, out / "labels.jsonl", out / "confusers.jsonl"):
        sys.stdout.write(f"{path}\n")
    show.note(f"{done.lines:,} entries of {done.operations:,} operations; {done.incidents} incidents")


@cli.command()
def backtest(  # noqa: PLR0917
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    against: Annotated[
        Path | None, typer.Option(help="Another config to compare with, say the one in use.", metavar="FILE")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="RFC 3339 time, or a span back such as 30d.", metavar="TIME")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="The same; default: the last entry.", metavar="TIME")] = None,
    learn_days: Annotated[
        float | None, typer.Option(min=0, help="To learn from before that; default: all there is.", metavar="N")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="Incidents that are known of.", metavar="FILE")] = None,
    list_alerts: Annotated[bool, typer.Option("--alerts", help="Each alert, not only how many.")] = False,
    max_new: Annotated[
        int | None, typer.Option(min=0, help="Exit 1 for more new alerts than that.", metavar="N")
    ] = None,
    max_lost: Annotated[
        int | None, typer.Option(min=0, help="Exit 1 for more incidents lost than that.", metavar="N")
    ] = None,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """What another configuration would have sent."""
    from pipeline import trials  # noqa: PLC0415

    if against is None and (max_new, max_lost) != (None, None):
        raise ConfigError("--max-new and --max-lost need --against FILE")
    settings = [conf.load(path) for path in (config, *([against] if against else []))]
    for each in settings:
        each.allow(named.TABLES)
    with show.counting("replaying") as update:
        done = trials.backtest(lake, settings, (start, end), learn_days, update)
    names = [str(config or "defaults"), *([str(against)] if against else [])]
    difference = trials.compare(*done.told) if against else None
    figures = [trials.summary(name, done, place) for place, name in enumerate(names)]
    if labels is not None:
        for row, told in zip(figures, done.told, strict=True):
            row["caught"], row["labelled"] = trials.caught(labels, told, done.from_us, done.to_us)
    tables.rows(list(trials.alert_rows(names, done, difference)) if list_alerts else figures, format.value)
    if difference is None:
        return
    show.note(difference.sentence)
    if (max_new is not None and len(difference.new) > max_new) or (
        max_lost is not None and len(difference.lost) > max_lost
    ):
        raise typer.Exit(1)


def _told_seeds(done: int, size: int) -> None:
    show.note(f"evaluating: {done} of {size} seeds")


@cli.command()
def evaluate(  # noqa: PLR0917
    preset: Annotated[str, typer.Option(help="The estates' size: xs, s, m or l.", metavar="SIZE")] = "s",
    seeds: Annotated[str, typer.Option(help="One estate each.", metavar="N[-M][,...]")] = "1",
    days: Annotated[int, typer.Option(min=1, help="With incidents.", metavar="N")] = 28,
    learn_days: Annotated[int, typer.Option(min=1, help="Quiet ones before.", metavar="N")] = 14,
    attack: Annotated[str, typer.Option(help="Default: all.", metavar="NAME[:DIFFICULTY][,...]")] = "",
    incidents: Annotated[float, typer.Option(help="A day and 1,000 principals.", metavar="N")] = 1.0,
    loss: Annotated[float, typer.Option(help="Share of operations that no device told of.", metavar="SHARE")] = 0.0,
    skew: Annotated[float, typer.Option(help="How far nodes' clocks may be off.", metavar="MINUTES")] = 0.0,
    spoiled: Annotated[bool, typer.Option("--spoiled", help="Incidents in the days before, too.")] = False,
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0: one a core.", metavar="N")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write page, figures and plot there.", metavar="DIR")
    ] = None,
    config: ConfigOption = None,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """What the suite finds in labelled estates, at what cost."""
    from pipeline import trials  # noqa: PLC0415

    plan = trials.Plan(
        seeds=trials.seeds(seeds), preset=preset, learn_days=learn_days, test_days=days, per_day=incidents,
        attacks=_words(attack), loss=loss, skew_minutes=skew, spoiled=spoiled,
    )  # fmt: skip
    with show.counting("evaluating") as update:
        result, files = trials.evaluate(
            plan, conf.load(config), jobs or os.cpu_count() or 1, out,
            lambda done: (update or _told_seeds)(done, len(plan.seeds)),
        )  # fmt: skip
    tables.rows(result["methods"] if format is Format.json else trials.recall_rows(result), format.value)
    for path in files:
        show.note(f"wrote {path}")


@cli.command()
def probe(  # noqa: PLR0917
    lake: LakeOption = DEFAULT_LAKE,
    config: ConfigOption = None,
    address: Annotated[
        str | None, typer.Option(help="The store; default BAO_ADDR or VAULT_ADDR.", metavar="URL")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many canaries.", metavar="N")] = 1,
    interval: Annotated[float | None, typer.Option(min=0, help="Between two.", metavar="SECONDS")] = None,
    timeout: Annotated[float | None, typer.Option(min=0, help="To wait for each; 0: not.", metavar="SECONDS")] = None,
    format: FormatOption = Format.table,  # noqa: A002
) -> None:
    """Canaries to a live store, timed until they are back."""
    settings = conf.load(config)
    settings.allow(named.TABLES)
    asked = {"address": address, "interval_seconds": interval, "timeout_seconds": timeout}
    results = []
    with show.counting("probing") as update:
        for result in probing.probe(lake, settings, count, asked):
            results.append(result)
            if format is Format.json:
                tables.rows([dataclasses.asdict(result)], "json")
            if update is not None:
                update(len(results), count)
    if format is not Format.json:
        tables.rows([dataclasses.asdict(result) for result in results], format.value)
    if not all(result.good or (timeout == 0 and result.outcome == "success") for result in results):
        raise typer.Exit(1)


@cli.command()
def check(config: ConfigOption = None, format: FormatOption = Format.table) -> None:  # noqa: A002
    """Validate the config; print the effective one with origins."""
    settings = conf.load(config)
    tables.rows(commands.effective_config(settings), format.value)
    unusable = named.unusable_rules(settings)
    for line in unusable:
        show.note(line)
    if unusable:
        raise ConfigError(f"{len(unusable)} rules cannot be run or can never match")


if __name__ == "__main__":
    main()
