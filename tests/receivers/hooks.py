"""A Standard Webhooks receiver that checks signatures, and an Alertmanager that checks what the real one checks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from datetime import datetime
from typing import Any

from tests.receivers.http import Answer, Receiver, Request


class Hook(Receiver):
    """Takes each `webhook-id` once; a repeated one is answered 200 and dropped. `refuse` answers ids with a status."""

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self.key = key
        self.taken: dict[str, dict[str, Any]] = {}
        self.repeated = 0
        self.refuse: dict[str, int] = {}

    def handle(self, request: Request) -> Answer:
        event_id, timestamp = request.headers.get("webhook-id", ""), request.headers.get("webhook-timestamp", "")
        signed = f"{event_id}.{timestamp}.".encode() + request.body
        expected = base64.b64encode(hmac.new(self.key, signed, hashlib.sha256).digest()).decode()
        versions = request.headers.get("webhook-signature", "").split(" ")
        if not timestamp.isdigit() or f"v1,{expected}" not in versions:
            return Answer(401)
        if event_id in self.refuse:
            return Answer(self.refuse[event_id])
        self.repeated += event_id in self.taken
        self.taken.setdefault(event_id, json.loads(request.body))
        return Answer(204)


class AlertmanagerV2(Receiver):
    """`alerts` by label set. As the real one: good ones are taken even when a bad one makes the answer 400."""

    def __init__(self) -> None:
        super().__init__()
        self.alerts: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}

    def handle(self, request: Request) -> Answer:
        if request.path != "/api/v2/alerts":
            return Answer(404)
        try:
            alerts = json.loads(request.body)
        except ValueError:
            return Answer(400)
        bad = 0
        for alert in alerts:
            if self._valid(alert):
                self.alerts[tuple(sorted(alert["labels"].items()))] = alert
            else:
                bad += 1
        return Answer(400 if bad else 200, b'"invalid label set"' if bad else b"")

    def _valid(self, alert: dict[str, Any]) -> bool:
        names = [*alert["labels"], *alert.get("annotations", {})]
        texts = [*alert["labels"].values(), *alert.get("annotations", {}).values()]
        if not alert["labels"] or not all(re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name) for name in names):
            return False
        if not all(isinstance(text, str) for text in texts):
            return False
        starts = datetime.fromisoformat(alert["startsAt"])
        return "endsAt" not in alert or datetime.fromisoformat(alert["endsAt"]) >= starts
