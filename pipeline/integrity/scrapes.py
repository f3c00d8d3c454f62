"""A store's own audit counters, as its Prometheus endpoint prints them.

`vault.audit.log_request` and `.log_response` are timers: their `_count` is the number of calls, failed ones included,
over all devices and for each (`vault.audit.<device>.log_request`). The metric's first word is the operator's choice.
Several scrapes may stand in one file, each after a comment `# scraped between T0 and T1` or `# scraped at T` (seconds
since 1970). Without one the scrapes are taken in the order given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipeline.core.errors import ConfigError

MAX_BYTES: Final = 64 * 1024 * 1024
_COMMENT: Final = re.compile(
    r"#\s*scraped\s+(?:between|at)\s+([0-9]+(?:\.[0-9]+)?)(?:\s+and\s+([0-9]+(?:\.[0-9]+)?))?\s*"
)
_SAMPLE: Final = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)(?:\{[^}]*\})?\s+([^\s]+)(?:\s+([0-9]+))?\s*")
_CALLS: Final = re.compile(r"[A-Za-z0-9:]+(?:_[A-Za-z0-9:]+)*?_audit_(?:(.+)_)?log_(request|response)_(count|failure)")
ALL: Final = ""  # the device name that stands for all of them together


@dataclass(frozen=True, slots=True)
class Scrape:
    """The counters at one moment. `calls` and `failures` are by device (ALL for the total) and phase; times in µs."""

    name: str
    start_us: int | None
    end_us: int | None
    calls: dict[tuple[str, str], int] = field(default_factory=dict)
    failures: dict[tuple[str, str], int] = field(default_factory=dict)
    process_start: float | None = None

    def after_restart(self, earlier: Scrape) -> bool:
        """Whether the server was restarted since the earlier scrape: a counter fell, or the process is another."""
        if self.process_start is not None and earlier.process_start is not None:
            return self.process_start != earlier.process_start
        return any(self.calls.get(key, count) < count for key, count in earlier.calls.items())

    def same_process(self, earlier: Scrape) -> bool:
        """Whether both scrapes are known to be of one process."""
        return self.process_start is not None and self.process_start == earlier.process_start


def read(paths: Sequence[str]) -> list[Scrape]:
    """Every scrape of the files, by time where they tell it. Raises ConfigError for a file that holds none."""
    found: list[Scrape] = []
    for path in paths:
        try:
            size = Path(path).stat().st_size
            text = Path(path).read_text("utf-8") if size <= MAX_BYTES else ""
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--counters {path}: cannot be read: {type(error).__name__}") from None
        scrapes = list(parse(text, path))
        if not scrapes:
            raise ConfigError(f"--counters {path}: no audit counters (…_audit_log_request_count) in it")
        found += scrapes
    timed = sorted((s for s in found if s.start_us is not None), key=lambda s: s.start_us or 0)
    return timed + [s for s in found if s.start_us is None]


def parse(text: str, name: str) -> Iterator[Scrape]:
    """The scrapes of one file. A sample that is no number is left out."""
    parts: list[tuple[tuple[int, int] | None, list[str]]] = [(None, [])]
    for line in text.splitlines():
        comment = _COMMENT.fullmatch(line)
        if comment:
            start = _us(comment[1])
            parts.append(((start, _us(comment[2]) if comment[2] else start), []))
        else:
            parts[-1][1].append(line)
    for number, (times, lines) in enumerate(parts):
        scrape = _scrape(f"{name}:{number}", times, lines)
        if scrape.calls:
            yield scrape


def _scrape(name: str, times: tuple[int, int] | None, lines: list[str]) -> Scrape:
    calls: dict[tuple[str, str], int] = {}
    failures: dict[tuple[str, str], int] = {}
    stamped: int | None = None
    process: float | None = None
    for line in lines:
        sample = _SAMPLE.fullmatch(line)
        value = None if sample is None else _number(sample[2])
        if sample is None or value is None:
            continue
        if sample[1] == "process_start_time_seconds":
            process = value
        found = _CALLS.fullmatch(sample[1])
        if found is None:
            continue
        key = ((found[1] or ALL).rstrip("_"), found[2])
        kept = calls if found[3] == "count" else failures
        kept[key] = kept.get(key, 0) + int(value)
        stamped = int(sample[3]) * 1000 if sample[3] else stamped
    start, end = times or (stamped, stamped)
    return Scrape(name, start, end, calls, failures, process)


def metric_name(device: str) -> str:
    """A device's name as it stands in the name of a metric."""
    return re.sub(r"[^A-Za-z0-9:]", "_", device.rstrip("/")).rstrip("_")


def _us(seconds: str) -> int:
    whole, _, part = seconds.partition(".")
    return int(whole) * 1_000_000 + int(part[:6].ljust(6, "0") or 0)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < 2**62 else None
