"""What the commands other than `run` do: read the lake, explain the suite, check a config."""

from __future__ import annotations

import datetime as dt
import importlib.resources
import re
import time
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from pipeline import app, named, reports, store, tables, vouching
from pipeline import config as conf
from pipeline.baselines import Baselines
from pipeline.baselines import Config as BaselinesConfig
from pipeline.core import cases, plugins
from pipeline.core.errors import ConfigError, MissingExtraError
from pipeline.core.model import Message
from pipeline.core.schema import ALERT, SEVERITIES, conform, empty
from pipeline.sinks.ocsf import detection_finding
from pipeline.store.tables import TABLES
from pipeline.windows import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from pipeline.vouching import Voucher

POLL_SECONDS = 1.0
HEAD_TRIES = 5
ALERT_VIEW = TABLES["alerts"].view


class AlertFeed:
    """The alerts of a lake, newest state of each with every stored column, in the order they last changed."""

    def __init__(self, lake: Path, since: str | None, min_severity: str) -> None:
        self.lake = lake
        self.since = None if since is None else parse_since("--since", since, dt.datetime.now(dt.UTC))
        self._severities = SEVERITIES[SEVERITIES.index(min_severity) :]
        self._stopping = False

    def read(self) -> pl.DataFrame:
        """Every alert that qualifies."""
        recent = pl.lit(value=True) if self.since is None else pl.col("last_time") >= self.since
        return self._stored().filter(pl.col("severity").is_in(self._severities) & recent).sort("last_time", "uid")

    def _stored(self) -> pl.DataFrame:
        with store.reading(self.lake) as opened:
            return pl.concat([empty(ALERT), *(conform(frame, ALERT) for frame in opened.read("alerts"))])

    def follow(self) -> Iterator[pl.DataFrame]:
        """New and changed alerts as they come, until stopped."""
        seen: dict[str, tuple[Any, ...]] = {}
        while not self._stopping:
            frame = self.read()
            states = {row[0]: row[1:] for row in frame.select("uid", "state", "severity", "count").iter_rows()}
            changed = [uid for uid, state in states.items() if seen.get(uid) != state]
            seen = states
            if changed:
                yield frame.filter(pl.col("uid").is_in(changed))
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End `follow` after what it is at."""
        self._stopping = True


def ocsf(alerts: pl.DataFrame) -> Iterator[str]:
    """Each alert's newest state as one OCSF Detection Finding, in JSON."""
    for row in alerts.iter_rows(named=True):
        revision = row.get("revision") or 1
        message = Message(f"{row['uid']}:{revision}", row["uid"], revision, row)
        yield msgspec.json.encode(detection_finding(message)).decode()


def in_view(alerts: pl.DataFrame) -> pl.DataFrame:
    """The columns that the view `alerts` has, in its order."""
    return alerts.select(ALERT_VIEW)


def parse_since(option: str, text: str, now: dt.datetime) -> dt.datetime:
    """An RFC 3339 time, or a span back from now such as 30m, 24h, 7d; in UTC. Raises ConfigError."""
    span = re.fullmatch(r"(\d+)([smhd])", text)
    try:
        if span:
            unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[span[2]]
            return now - dt.timedelta(**{unit: int(span[1])})
        moment = dt.datetime.fromisoformat(text)
        return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    except (ValueError, OverflowError):
        raise ConfigError(f"{option} {text!r}: give an RFC 3339 time or a span such as 24h, 7d") from None


def detector_rows() -> list[dict[str, Any]]:
    """One row a detector: name, version, title, family, ATT&CK techniques, what it measures, a summary."""
    suite = named.detectors(conf.Settings())
    return [
        {
            "name": d.info.name, "version": d.info.version, "title": d.info.title, "family": d.info.family,
            "techniques": ", ".join(d.info.techniques), "measures": ", ".join(d.info.measures),
            "summary": d.info.summary,
        }
        for d in suite
    ]  # fmt: skip


def detector_page(name: str) -> str:
    """The README of one detector. Raises ConfigError when there is none of that name."""
    plugins.load("detectors", name)
    return importlib.resources.files(f"detectors.{name}").joinpath("README.md").read_text("utf-8")


def detector_cases(names: Sequence[str]) -> list[dict[str, Any]]:
    """Every case of the named detectors (all by default): detector, case, ok, differences.

    Of a detector that needs an extra which is not installed one row tells that; its `ok` is None.
    """
    chosen = names or plugins.kinds("detectors")
    for name in chosen:
        plugins.load("detectors", name)
    return [row for name in chosen for row in _cases(name)]


def _cases(name: str) -> list[dict[str, Any]]:
    try:
        results = cases.run_cases(name, lambda: Baselines(BaselinesConfig()), count)
    except MissingExtraError as missing:
        return [{"detector": name, "case": "", "ok": None, "differences": f"not played: {missing}"}]
    return [
        {"detector": name, "case": result.case.name, "ok": result.ok, "differences": "; ".join(result.differences)}
        for result in results
    ]


def query(lake: Path, sql: str) -> pa.Table:
    """One read-only statement on the lake's views. Raises ConfigError for SQL that cannot be run, NoInputError."""
    return store.query(lake, sql)


def report(lake: Path, name: str, span: tuple[str | None, str | None], out: Path, voucher: Voucher) -> list[Path]:
    """Write one report for a period; open ends reach to the lake's first and last operation.

    Raises ConfigError for times, names and folders that cannot be used, NoInputError without a lake, SignerError.
    """
    chosen = reports.load(name)
    start, end = period(lake, span)
    sql = chosen.between(start, end)
    found, heads = _at_one_head(lake, sql)
    known = [head.checkpoint for head in heads]
    facts = {
        "period": f"{start:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S} UTC",
        "lake": str(lake),
        "ledger": "; ".join(f"{head.origin}, {head.size:,} leaves, root {head.root.hex()}" for head in known) or "none",
        "signature": voucher.told,
        "made by": f"keytrail {app.version()}",
    }
    times = (tables.value(start), tables.value(end))
    record = {
        "from": times[0], "to": times[1], "lake": str(lake), "rows": found.num_rows,
        "ledger": [{"origin": head.origin, "size": head.size, "root": head.root.hex()} for head in known],
        "checkpoints": [head.text.decode() for head in heads], "version": app.version(),
    }  # fmt: skip
    made = reports.Made(sql, found.column_names, list(tables.records(found)), facts, record)
    try:
        return reports.write(chosen, made, out, lambda manifest: voucher.sign(name, times, manifest, heads))
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror}") from None


def period(lake: Path, span: tuple[str | None, str | None]) -> tuple[dt.datetime, dt.datetime]:
    """`--from` and `--to`; open ends reach to the lake's first and last operation, or no further than the other end.

    Raises ConfigError, NoInputError.
    """
    now = dt.datetime.now(dt.UTC)
    whole = store.query(lake, "SELECT min(time), max(time) + INTERVAL 1 SECOND FROM operations")
    low, high = next(tables.records(whole))
    start = parse_since("--from", span[0], now) if span[0] else low or now
    end = parse_since("--to", span[1], now) if span[1] else high or now
    if span[0] and span[1] and start >= end:
        raise ConfigError("--from is not before --to")
    first, last = (start, max(start, end)) if span[0] else (min(start, end), end)
    return first.astimezone(dt.UTC), last.astimezone(dt.UTC)


def _at_one_head(lake: Path, sql: str) -> tuple[pa.Table, list[vouching.Head]]:
    """What the SQL finds, and the published heads it was found at; asked again while a run moves them."""
    heads = vouching.heads(lake)
    for _ in range(HEAD_TRIES):
        found, before = store.query(lake, sql), heads
        heads = vouching.heads(lake)
        if [head.checkpoint for head in heads] == [head.checkpoint for head in before]:
            break
    return found, heads


def report_rows() -> list[dict[str, Any]]:
    """One row a report: name, title, what it is about."""
    known = [reports.load(name) for name in reports.names()]
    return [{"name": one.name, "title": one.title, "about": one.about} for one in known]


def effective_config(settings: conf.Settings) -> list[dict[str, Any]]:
    """Every key of every table with its value and where it came from. Raises ConfigError for a bad one."""
    settings.allow(named.TABLES)
    found: list[dict[str, Any]] = []
    for table, value in named.config_tables(settings):
        found += [{"key": k, "value": v, "from": origin} for k, v, origin in conf.effective(settings, table, value)]
    return found
