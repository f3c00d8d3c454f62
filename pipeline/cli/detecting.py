"""`keytrail detectors`, `backtest`, `simulate` and `evaluate`: the suite explained, replayed and measured."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline import commands, named, tables
from pipeline import config as conf
from pipeline.cli import show
from pipeline.cli.options import DEFAULT_LAKE, ConfigOption, Format, FormatOption, LakeOption, words
from pipeline.core.errors import ConfigError

detectors = typer.Typer(no_args_is_help=True, help="The suite: list, explain NAME, test.")


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
    if any(row["ok"] is False for row in results):
        raise typer.Exit(1)


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


def evaluate(  # noqa: PLR0917
    preset: Annotated[str, typer.Option(help="The estates' size: xs, s, m or l.", metavar="SIZE")] = "s",
    seeds: Annotated[str, typer.Option(help="One estate each.", metavar="N[-M][,...]")] = "1",
    days: Annotated[int, typer.Option(min=1, help="With incidents.", metavar="N")] = 28,
    learn_days: Annotated[int, typer.Option(min=1, help="Quiet ones before.", metavar="N")] = 14,
    attack: Annotated[str, typer.Option(help="Default: those measured.", metavar="NAME[:DIFFICULTY][,...]")] = "",
    difficulty: Annotated[
        str, typer.Option(help="Of those without one: easy, medium, hard, near.", metavar="NAME[,...]")
    ] = "easy,medium,hard",
    incidents: Annotated[float, typer.Option(help="A day and 1,000 principals.", metavar="N")] = 1.0,
    loss: Annotated[float, typer.Option(help="Share of operations that no device told of.", metavar="SHARE")] = 0.0,
    skew: Annotated[float, typer.Option(help="How far nodes' clocks may be off.", metavar="MINUTES")] = 0.0,
    spoiled: Annotated[
        float, typer.Option(help="Incidents in the days before, by the number of principals.", metavar="SHARE")
    ] = 0.0,
    naive_only: Annotated[
        bool, typer.Option("--naive-only", help="Measure naive methods anew; the suite as DIR has it.")
    ] = False,
    conditions: Annotated[
        bool, typer.Option("--conditions", help="What is lost with less history, losses, clocks that are off.")
    ] = False,
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
        attacks=words(attack), difficulties=words(difficulty), loss=loss, skew_minutes=skew, spoiled=spoiled,
        suite=not naive_only,
    )  # fmt: skip
    size = len(plan.seeds) * (len(trials.CONDITIONS) if conditions else 1)
    with show.counting("evaluating") as update:
        result, files = trials.evaluate(
            plan, conf.load(config), jobs or os.cpu_count() or 1, out,
            lambda done: (update or _told_seeds)(done, size), conditions=conditions,
        )  # fmt: skip
    if format is Format.json:
        rows = result["conditions" if conditions else "methods"]
    else:
        rows = (trials.condition_rows if conditions else trials.recall_rows)(result)
    tables.rows(rows, format.value)
    for path in files:
        show.note(f"wrote {path}")


def _told_seeds(done: int, size: int) -> None:
    show.note(f"evaluating: {done} of {size} seeds")
