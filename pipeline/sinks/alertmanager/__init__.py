"""Alerts to a Prometheus Alertmanager, API v2: one Alertmanager alert per alert, ended when it closes.

https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml. Alertmanager knows an alert by its label set:
a repeated one is the same one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from pipeline.core.errors import DeliveryError
from pipeline.core.model import Message
from pipeline.core.ports import Sink
from pipeline.core.text import json_bytes, plain
from pipeline.sinks._http import Poster, check_url

_LABELS: Final = ("severity", "route", "store")
_ANNOTATIONS: Final = ("principal", "secret", "client_ip", "observed", "expected", "next_step", "state")
_LABEL_MAX: Final = 200
_REMEMBERED: Final = 10_000


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[sinks.NAME]` table of kind `alertmanager`."""

    url: str
    timeout_seconds: float = 15
    tls_ca: str = ""

    def __post_init__(self) -> None:
        check_url(self.url)
        if self.timeout_seconds <= 0:
            raise ValueError("timeout_seconds must be above 0")


def wire(message: Message, config: Config) -> bytes:  # noqa: ARG001  every sink's `wire` is asked the same way
    """One element of the posted list."""
    return json_bytes(_alert(message))


def _alert(message: Message) -> dict[str, Any]:
    """Label and annotation names are ours alone; values are data. An empty label is the same as none."""
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
    times = {"startsAt": _time(row.get("first_time"))}
    if row.get("state") in ("closed", "suppressed"):
        times["endsAt"] = _time(row.get("last_time"))
    return {"labels": labels, "annotations": {k: v for k, v in annotations.items() if v}} | times


def _time(moment: object) -> str:
    moment = moment if isinstance(moment, datetime) else datetime.fromtimestamp(0, UTC)
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Alertmanager:
    """Posts lists. When severity or route changed, and with it the label set, the alert under the old one is ended."""

    def __init__(self, config: Config) -> None:
        self._poster = Poster(config.url, "Alertmanager", {}, ca_file=config.tls_ca, seconds=config.timeout_seconds)
        self._labels: dict[str, dict[str, Any]] = {}
        self.sent = self.ended = 0

    def send(self, messages: Sequence[Message]) -> Mapping[str, str]:
        """Post all of them at once, the last of each alert standing. Raises DeliveryError."""
        if not messages:
            return {}
        latest = {message.alert_uid: _alert(message) for message in messages}
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
            if "endsAt" not in alert:
                self._labels[uid] = alert
        while len(self._labels) > _REMEMBERED:
            del self._labels[next(iter(self._labels))]


def create(config: Config) -> Sink:
    """The sink. Nothing is connected before the first `send`."""
    return Alertmanager(config)
