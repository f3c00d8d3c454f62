"""Alerts to a Prometheus Alertmanager, API v2: one Alertmanager alert per alert, ended when it closes.

https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml. Alertmanager knows an alert by its label set:
a repeated one is the same one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from pipeline.core.clock import Clock, system_clock
from pipeline.core.errors import DeliveryError
from pipeline.core.model import Message
from pipeline.core.ports import Sink
from pipeline.core.text import json_bytes, plain
from pipeline.sinks._http import Poster, check_url

_LABELS: Final = ("severity", "route", "store")
_ANNOTATIONS: Final = ("principal", "secret", "client_ip", "observed", "expected", "next_step", "state")
_LABEL_MAX: Final = 200
_REMEMBERED: Final = 10_000
_ENDED: Final = ("closed", "suppressed")
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[sinks.NAME]` table of kind `alertmanager`. An alert of which no more is said ends after `open_hours`: by
    default `group_hours` and `quiet_minutes` of `[alerts]` together, after which the router has closed it.
    """

    url: str
    open_hours: float = 26
    timeout_seconds: float = 15
    tls_ca: str = ""

    def __post_init__(self) -> None:
        check_url(self.url)
        if self.timeout_seconds <= 0 or not 0 < self.open_hours <= 8760:
            raise ValueError("timeout_seconds must be above 0, and open_hours above 0 and at most 8760")


def wire(message: Message, config: Config) -> bytes:
    """One element of the posted list, posted at once."""
    return json_bytes(_alert(message, config.open_hours, _EPOCH))


def _alert(message: Message, open_hours: float, now: datetime) -> dict[str, Any]:
    """Label and annotation names are ours alone; values are data. An empty label is the same as none.

    While it is open it ends `open_hours` after its last finding, or after `now` when that is older: Alertmanager must
    not take it for over before it has told of it.
    """
    row = message.alert
    labels = {"alertname": plain(row.get("cause") or "keytrail", _LABEL_MAX), "uid": plain(message.alert_uid)}
    labels |= {name: plain(row[name], _LABEL_MAX) for name in _LABELS if row.get(name)}
    annotations = {"summary": plain(row.get("title")), "description": plain(row.get("message"))}
    annotations |= {name: plain(row[name]) for name in _ANNOTATIONS if row.get(name)}
    annotations |= {
        "confidence": f"{row.get('confidence') or 0.0:.2f}",
        "count": str(row.get("count") or 1),
        "detectors": ", ".join(map(plain, row.get("detectors") or ())),
        "techniques": ", ".join(map(plain, row.get("techniques") or ())),
        "event_id": plain(message.event_id),
        "revision": str(message.revision),
    }
    end = _moment(row.get("last_time"))
    if row.get("state") not in _ENDED:
        end = max(end, now) + timedelta(hours=open_hours)
    times = {"startsAt": _time(_moment(row.get("first_time"))), "endsAt": _time(end)}
    return {"labels": labels, "annotations": {k: v for k, v in annotations.items() if v}} | times


def _moment(value: object) -> datetime:
    return value if isinstance(value, datetime) else _EPOCH


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Alertmanager:
    """Posts lists. When severity or route changed, and with it the label set, the alert under the old one is ended."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._open_hours, self._clock = config.open_hours, clock
        self._poster = Poster(config.url, "Alertmanager", {}, ca_file=config.tls_ca, seconds=config.timeout_seconds)
        self._labels: dict[str, dict[str, Any]] = {}
        self.sent = self.ended = 0

    def send(self, messages: Sequence[Message]) -> Mapping[str, str]:
        """Post all of them at once, the last of each alert standing. Raises DeliveryError."""
        if not messages:
            return {}
        now = datetime.fromtimestamp(self._clock() / 1e9, UTC)
        latest = {message.alert_uid: _alert(message, self._open_hours, now) for message in messages}
        old = [self._old(uid, alert) for uid, alert in latest.items()]
        ended = [alert for alert in old if alert is not None]
        body = json_bytes(ended + list(latest.values()))
        reply = self._poster.post("/api/v2/alerts", body, {})
        if reply.status != 200:
            raise (
                reply.failure("Alertmanager")
                if reply.status >= 300
                else DeliveryError(f"Alertmanager answered {reply.status}, which is none of its answers", answered=True)
            )
        self.sent += len(messages)
        self.ended += len(ended)
        self._remember(latest)
        return {}

    def close(self) -> None:
        """Drop the connection."""
        self._poster.close()

    def _old(self, uid: str, alert: Mapping[str, Any]) -> dict[str, Any] | None:
        """The alert as Alertmanager still has it under other labels, ended."""
        before = self._labels.get(uid)
        if before is None or before["labels"] == alert["labels"]:
            return None
        return before | {"endsAt": before["startsAt"]}

    def _remember(self, latest: Mapping[str, dict[str, Any]]) -> None:
        for uid, alert in latest.items():
            self._labels.pop(uid, None)
            if alert["annotations"].get("state") not in _ENDED:
                self._labels[uid] = alert
        while len(self._labels) > _REMEMBERED:
            del self._labels[next(iter(self._labels))]


def create(config: Config, *, clock: Clock = system_clock) -> Sink:
    """The sink. Nothing is connected before the first `send`."""
    return Alertmanager(config, clock)
