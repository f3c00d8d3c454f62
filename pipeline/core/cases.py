"""A detector's cases: small recorded situations with what must be found in them, in `detectors/<kind>/cases/*.json`.

A case is an object with

    about       one sentence
    config      the detector's settings, where they are not the defaults
    start       first hour, default Monday 2026-03-02T00:00:00Z
    history     blocks {hours: [from, to), every, between: [hour of day, hour of day), weekdays: [0..6], rows}
    windows     what is looked at after it: {hour, rows, integrity, slis, closed}; `operations` is short for one of them
    expect      findings by cause, severity, principal, secret and count; all that are found, history included.
                `says`: what message, observed and expected of one of them must hold

A row is a part of an OPERATION row. `n` repeats it (spread over the hour), `jitter` varies `n` from hour to hour, `{i}`
in a text is the number of the repetition, `minute` is where it starts. What is left out takes the value that is usual
for a read of a secret by a service.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
import polars as pl

from pipeline.core import plugins
from pipeline.core.clock import HOUR_US
from pipeline.core.model import Ints, Window
from pipeline.core.schema import FINDING, INTEGRITY, OPERATION, SLI, conform, empty

if TYPE_CHECKING:
    from pipeline.core.ports import Detector, Profiles

_MONDAY: Final = "2026-03-02T00:00:00Z"
_SLI_SECONDS: Final = 300
_COMPARED: Final = ("cause", "severity", "principal", "secret")

Row = Mapping[str, Any]
Count = Callable[[pl.DataFrame], pl.DataFrame]
Arrange = Callable[[pl.DataFrame], Sequence[pl.DataFrame]]


class LearningProfiles(Protocol):
    """Profiles that can be told of a window, as the line does after the detectors have seen it."""

    def lookup(self, scope: str, keys: pl.DataFrame, at_us: int, columns: Sequence[str] = ...) -> pl.DataFrame: ...

    def numbers(self, scope: str, window: Window) -> Ints: ...

    def learn(self, window: Window) -> None: ...


@dataclass(frozen=True, slots=True)
class Stretch:
    """One hour of a case: OPERATION rows, INTEGRITY rows, SLI rows."""

    start_us: int
    operations: pl.DataFrame
    integrity: pl.DataFrame
    slis: pl.DataFrame
    closed: bool


@dataclass(frozen=True, slots=True)
class Case:
    """One file of `cases/`, with its rows made."""

    kind: str
    name: str
    about: str
    config: Mapping[str, Any]
    stretches: Sequence[Stretch]
    expect: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What a case found, and in what it differs from what it should find (nothing: the case holds)."""

    case: Case
    findings: pl.DataFrame
    differences: Sequence[str] = field(default=())

    @property
    def ok(self) -> bool:
        """The case holds."""
        return not self.differences


def find_cases(kind: str, room: str = "detectors") -> list[Case]:
    """Every case of one detector, by name."""
    package = importlib.import_module(f"{room}.{kind}")
    folder = Path(str(package.__file__)).parent / "cases"
    return [_read(kind, path) for path in sorted(folder.glob("*.json"))]


def make(case: Case, room: str = "detectors") -> Detector:
    """The detector a case is about, new and with the case's settings."""
    module = plugins.load(room, case.kind)
    detector: Detector = module.create(msgspec.convert(case.config, module.Config))
    return detector


def run_cases(
    kind: str, profiles: Callable[[], LearningProfiles], count: Count, room: str = "detectors"
) -> list[CaseResult]:
    """Every case of one detector, played and compared. `count` makes WINDOW rows of OPERATION rows."""
    results = []
    for case in find_cases(kind, room):
        found = play(case, make(case, room), profiles(), count)
        results.append(CaseResult(case, found, compare(case, found)))
    return results


def play(
    case: Case,
    detector: Detector,
    profiles: LearningProfiles,
    count: Count,
    *,
    arrange: Arrange = lambda rows: [rows],
    renew: Callable[[Detector], Detector] = lambda detector: detector,
) -> pl.DataFrame:
    """FINDING rows of a whole case, as the line would call the detector.

    `arrange` may reorder a stretch's rows or cut them in pieces; `renew` is asked for the detector after each stretch.
    """
    found = []
    for stretch in case.stretches:
        found += [detector.inspect(window) for window in _windows(stretch, detector, profiles, count, arrange)]
        if stretch.closed and detector.info.cadence == "window":
            profiles.learn(_window(stretch, count(stretch.operations), profiles))
        detector = renew(detector)
    return pl.concat(found) if found else empty(FINDING)


def _windows(
    stretch: Stretch, detector: Detector, profiles: Profiles, count: Count, arrange: Arrange
) -> Iterator[Window]:
    pieces = arrange(stretch.operations)
    if detector.info.cadence == "operation":
        yield from (_chunk(piece, stretch, profiles) for piece in pieces)
    elif detector.info.cadence == "sli":
        whole = _window(stretch, stretch.operations, profiles)
        yield from (replace(whole, slis=piece) for piece in arrange(stretch.slis))
    else:
        yield _window(stretch, count(pl.concat(pieces)), profiles)


def _window(stretch: Stretch, operations: pl.DataFrame, profiles: Profiles) -> Window:
    end = stretch.start_us + HOUR_US
    return Window(stretch.start_us, end, operations, stretch.integrity, profiles, stretch.closed)


def _chunk(operations: pl.DataFrame, stretch: Stretch, profiles: Profiles) -> Window:
    """As the line hands on what became complete: from the first of it to the last, whatever the hour."""
    times = operations["complete_time"].to_physical()
    start, end = (int(times.min()), int(times.max()) + 1) if len(times) else (0, 0)  # type: ignore[arg-type]
    return Window(start, end, operations, stretch.integrity, profiles, stretch.closed)


def compare(case: Case, found: pl.DataFrame) -> tuple[str, ...]:
    """In words, what is missing in `found` and what is too much."""
    wanted: Counter[tuple[str, ...]] = Counter()
    for row in case.expect:
        wanted[tuple(row.get(name) or "" for name in _COMPARED)] += row.get("count", 1)
    got = Counter(found.select(pl.col(_COMPARED).fill_null("")).rows())
    return (
        *(f"missing {n} x {', '.join(filter(None, key))}" for key, n in (wanted - got).items()),
        *(f"too much {n} x {', '.join(filter(None, key))}" for key, n in (got - wanted).items()),
        *(f"not said: {part}" for row in case.expect for part in _unsaid(row, found)),
    )


def _unsaid(row: Row, found: pl.DataFrame) -> list[str]:
    """What an expected finding should say and none of its kind does."""
    alike = found.filter(pl.col(name).fill_null("") == (row.get(name) or "") for name in _COMPARED)
    texts = ["\n".join(texts) for texts in alike.select("message", "observed", "expected").rows()]
    return [part for part in row.get("says", ()) if not any(part in text for text in texts)]


def _read(kind: str, path: Path) -> Case:
    told = json.loads(path.read_text("utf-8"))
    start = int(datetime.fromisoformat(told.get("start", _MONDAY)).timestamp()) * 1_000_000
    if "operations" in told:
        told["windows"] = [{"hour": 0, "rows": told["operations"]}]
    stretches = _stretches(start, told.get("history", ()), told["windows"])
    return Case(kind, path.stem, told["about"], told.get("config", {}), stretches, told["expect"])


def _stretches(start: int, history: Sequence[Row], windows: Sequence[Row]) -> list[Stretch]:
    past: dict[int, dict[str, list[Row]]] = {}
    for block in history:
        first, end = block["hours"]
        for hour in range(first, end, block.get("every", 1)):
            low, high = block.get("between", (0, 24))
            if low <= hour % 24 < high and hour // 24 % 7 in block.get("weekdays", range(7)):
                told = past.setdefault(hour, {"rows": [], "slis": []})
                told["rows"] += block.get("rows", ())
                told["slis"] += block.get("slis", ())
    looked = [(hour, past[hour]) for hour in sorted(past)] + [(window["hour"], window) for window in windows]
    hours: list[tuple[int, int, Row]] = [(start + hour * HOUR_US, hour, told) for hour, told in looked]
    frames = zip(
        _cut([_made(at_us, hour, told.get("rows", ())) for at_us, hour, told in hours], OPERATION),
        _cut([_integrity(at_us, told.get("integrity", ())) for at_us, _, told in hours], INTEGRITY),
        _cut([_slis(at_us, told.get("slis", ())) for at_us, _, told in hours], SLI),
        strict=True,
    )
    return [Stretch(at_us, *cut, told.get("closed", True)) for (at_us, _, told), cut in zip(hours, frames, strict=True)]


def _cut(parts: Sequence[Sequence[Row]], schema: pl.Schema) -> Iterator[pl.DataFrame]:
    """The rows of each part, cut from a frame of all: a frame by itself costs more than the few rows in it."""
    rows = [row for part in parts for row in part]
    columns = {name: [row.get(name) for row in rows] for name in schema}
    kinds = {name: pl.Int64() if kind.is_temporal() else kind for name, kind in schema.items()}
    whole = conform(pl.DataFrame(columns, schema=kinds), schema)
    at = 0
    for part in parts:
        yield whole.slice(at, len(part))
        at += len(part)


def _made(at_us: int, hour: int, rows: Sequence[Row]) -> list[dict[str, Any]]:
    out = []
    for number, row in enumerate(rows):
        n = row.get("n", 1)
        if row.get("jitter"):
            n = max(0, n - row["jitter"] + int(_digest(hour, number)[:8], 16) % (2 * row["jitter"] + 1))
        step = HOUR_US // max(n, 1)
        for i in range(n):
            minute = row.get("minute")
            shift = i * step + step // 2 if minute is None else minute * 60_000_000 + i * 1000
            out.append(_one(at_us + shift, _digest(hour, number, i), i, row))
    return out


def _one(at_us: int, uid: str, i: int, row: Row) -> dict[str, Any]:
    """One OPERATION row; what the case does not tell is filled in."""
    told = {k: v.replace("{i}", str(i)) if isinstance(v, str) else v for k, v in row.items()}
    return {**_usual(told, uid), **told, "time": at_us, "complete_time": at_us}


def _usual(told: Row, uid: str) -> dict[str, Any]:
    secret, operation = told.get("secret", ""), told.get("operation", "read")
    outcome, address = told.get("outcome", "success"), told.get("client_ip", "10.0.0.10")
    return {
        "uid": uid,
        "request_uid": uid,
        "store": "vault",
        "operation": operation,
        "api_operation": operation,
        "outcome": outcome,
        "discloses_value": operation == "read" and outcome == "success" and bool(secret),
        "principal_type": "service",
        "client_ip": address,
        "zone": (address or "").rpartition(".")[0] + ".0/24",
        "namespace": "",
        "mount": secret.partition("/")[0] + "/" if secret else "",
        "secret": "",
        "path": secret,
        "paired": True,
        "devices": ["audit.log"],
        "session": told.get("principal", ""),
    }


def _integrity(start: int, rows: Sequence[Row]) -> list[Row]:
    return [
        {
            "source": "audit.log",
            "count": 1,
            "from_position": 0,
            "to_position": 0,
            "from_time": start,
            "to_time": start,
            "evidence": "",
            "file": "audit.log",
            "cause": "",
            "uid": _digest(start, number),
            **row,
        }
        for number, row in enumerate(rows)
    ]


def _minutes(row: Row) -> tuple[int, int, int]:
    first, end = row.get("minutes", (0, 60))
    return first, end, _SLI_SECONDS // 60


def _slis(start: int, rows: Sequence[Row]) -> list[Row]:
    made = [
        {
            "store": "vault",
            "scope": "store",
            "window_start": start + minute * 60_000_000,
            "window_seconds": _SLI_SECONDS,
            "objective": 0.999 if row["sli"] == "M1" else 200.0,
            "estimate": False,
            **{name: value for name, value in row.items() if name != "minutes"},
        }
        for row in rows
        for minute in range(*_minutes(row))
    ]
    return sorted(made, key=itemgetter("window_start"))


def _digest(*parts: int) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()
