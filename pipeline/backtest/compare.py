"""Two configurations over the same operations: which alerts are new, which are gone, whether incidents are the same."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pipeline.backtest.replay import Replayed, Told

About = tuple[str, str]
_LATE = dt.timedelta(hours=72)  # an alert that comes later than this after an incident is not about it


@dataclass(frozen=True, slots=True)
class Difference:
    """Uids of alerts that only one side tells, and what the incidents are about that only one side knows of.

    `new` and `found` are the first configuration's, `gone` and `lost` the other's.
    """

    new: frozenset[str]
    gone: frozenset[str]
    found: frozenset[About]
    lost: frozenset[About]

    @property
    def sentence(self) -> str:
        """`+3, -41, same incidents`."""
        parts = [f"+{len(self.new)}", f"-{len(self.gone)}"]
        if not (self.found or self.lost):
            return ", ".join([*parts, "same incidents"])
        parts += [f"{_many(self.found)} found that the other misses"] if self.found else []
        parts += [f"{_many(self.lost)} lost"] if self.lost else []
        return ", ".join(parts)


def _many(incidents: frozenset[About]) -> str:
    return f"{len(incidents)} incident" + ("" if len(incidents) == 1 else "s")


def compare(one: Told, other: Told) -> Difference:
    """Alerts are the same when they tell of a finding together, or of the same thing at the same time."""
    paired_one, paired_other = _paired(one, other), _paired(other, one)
    new = frozenset(one.alerts.keys() - paired_one)
    gone = frozenset(other.alerts.keys() - paired_other)
    mine, theirs = ({_about(row) for row in told.alerts.values()} for told in (one, other))
    return Difference(new, gone, frozenset(mine - theirs), frozenset(theirs - mine))


def _paired(one: Told, other: Told) -> set[str]:
    """Alerts of `one` that `other` tells as well."""
    uids = {uid for row in other.alerts.values() for uid in row["finding_uids"]}
    spans: dict[tuple[About, str], list[tuple[Any, Any]]] = {}
    for row in other.alerts.values():
        spans.setdefault((_about(row), row["cause"]), []).append((row["first_time"], row["last_time"]))
    found = set()
    for uid, row in one.alerts.items():
        near = spans.get((_about(row), row["cause"]), ())
        if (
            uid in other.alerts
            or not uids.isdisjoint(row["finding_uids"])
            or any(row["first_time"] <= last and first <= row["last_time"] for first, last in near)
        ):
            found.add(uid)
    return found


def _about(row: Mapping[str, Any]) -> About:
    """What an incident is about: its principal, or else its secret, or else its store."""
    for kind in ("principal", "secret"):
        if row[kind]:
            return kind, str(row[kind])
    return "store", str(row["store"])


def summary(name: str, replayed: Replayed, place: int) -> dict[str, Any]:
    """One row of figures of one configuration."""
    told = replayed.told[place]
    routes = [row["route"] for row in told.alerts.values()]
    return {
        "config": name,
        "days": round(replayed.days, 3),
        "operations": replayed.operations,
        "findings": told.findings,
        "alerts": len(routes),
        "alerts_per_day": round(len(routes) / replayed.days, 3),
        "pages": routes.count("page"),
        "tickets": routes.count("ticket"),
        "incidents": len({_about(row) for row in told.alerts.values()}),
    }


def alert_rows(names: Sequence[str], replayed: Replayed, difference: Difference | None) -> Iterator[dict[str, Any]]:
    """Every alert with what became of it: new, gone or both; those of both as the first configuration tells them."""
    for name, told in zip(names, replayed.told, strict=True):
        for uid, row in sorted(told.alerts.items(), key=lambda item: (item[1]["first_time"], item[0])):
            change = ""
            if difference is not None:
                change = "new" if uid in difference.new else "gone" if uid in difference.gone else "both"
            if change == "both" and name != names[0]:
                continue
            yield {
                "change": change, "config": name, "first_time": row["first_time"], "severity": row["severity"],
                "route": row["route"], "title": row["title"], "principal": row["principal"], "secret": row["secret"],
                "detectors": ", ".join(row["detectors"]), "count": row["count"], "uid": uid,
            }  # fmt: skip


def caught(labels: Path, told: Told, from_us: int, to_us: int) -> tuple[int, int]:
    """How many labelled incidents of the span an alert tells of, by principal or secret, and how many there are.

    `labels` is a file as `simulate` writes it. Raises ConfigError.
    """
    incidents = list(_labelled(labels, from_us, to_us))
    rows = [(row, told.opened_us[uid]) for uid, row in told.alerts.items()]
    hits = 0
    for begin, end, principal, secrets in incidents:
        hits += any(
            begin <= at <= end and (row["principal"] == principal or (row["secret"] and row["secret"] in secrets))
            for row, at in rows
        )
    return hits, len(incidents)


def _labelled(labels: Path, from_us: int, to_us: int) -> Iterator[tuple[int, int, str, frozenset[str]]]:
    try:
        for line in labels.read_text("utf-8").splitlines():
            told = json.loads(line)
            begin, end = (dt.datetime.fromisoformat(told[name]) for name in ("from", "to"))
            if from_us <= int(begin.timestamp() * 1e6) < to_us:
                late = int((end + _LATE).timestamp() * 1e6)
                yield int(begin.timestamp() * 1e6), late, told["principal"], frozenset(told["secrets"])
    except OSError as error:
        raise ConfigError(f"--labels {labels}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, OverflowError):
        raise ConfigError(f"--labels {labels}: is not a file of labels as `simulate` writes it") from None
