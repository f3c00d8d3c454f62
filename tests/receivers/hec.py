"""A Splunk HTTP Event Collector as strict as the real one: tokens, channels, event rules, codes, acknowledgements."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.receivers.http import Answer, Receiver, Request


def answer(status: int, code: int, **more: Any) -> Answer:
    return Answer(status, json.dumps({"text": "", "code": code} | more).encode())


def parse(body: bytes) -> list[Any]:
    """Concatenated JSON values. Raises ValueError."""
    text, decoder, values, at = body.decode(), json.JSONDecoder(), [], 0
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        values.append(value)
    return values


class Hec(Receiver):
    """`indexed` is what is safe. With `ack`, that is so only after `polls_needed` questions for the request.

    An acknowledgement is told once as true, then forgotten, and lives in the channel that posted. `lie` never
    acknowledges; `forget` acknowledges nothing and drops what it took.
    """

    def __init__(self, token: str, *, ack: bool = False, polls_needed: int = 1, indexes: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.token, self.ack, self.polls_needed, self.indexes = token, ack, polls_needed, indexes
        self.lie = False
        self.indexed: list[dict[str, Any]] = []
        self._pending: dict[tuple[str, int], tuple[int, list[dict[str, Any]]]] = {}
        self._next: dict[str, int] = {}

    def event_ids(self) -> list[str]:
        return [event["fields"]["event_id"] for event in self.indexed]

    def handle(self, request: Request) -> Answer:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not token:
            return answer(401, 2)
        if scheme != "Splunk":
            return answer(401, 3)
        if token != self.token:
            return answer(403, 4)
        place = urlsplit(request.path)
        channel = (parse_qs(place.query).get("channel") or [request.headers.get("x-splunk-request-channel", "")])[0]
        if place.path == "/services/collector/event":
            return self._event(request, channel)
        if place.path == "/services/collector/ack":
            return self._acks(request, channel)
        return Answer(404)

    def _event(self, request: Request, channel: str) -> Answer:
        if self.ack and not channel:
            return answer(400, 10)
        if not request.body:
            return answer(400, 5)
        try:
            events = parse(request.body)
        except ValueError:
            return answer(400, 6)
        good: list[dict[str, Any]] = []
        for number, event in enumerate(events):
            code = self._refusal(event)
            if code:  # what stood before the bad one is taken all the same
                self._take(good, channel)
                return answer(400, code, **{"invalid-event-number": number})
            good.append(event)
        ack_id = self._take(good, channel)
        return answer(200, 0, **({} if ack_id is None else {"ackId": ack_id}))

    def _refusal(self, event: Any) -> int:
        if not isinstance(event, dict) or "event" not in event:
            return 12
        if event["event"] in ("", None, {}):
            return 13
        if event.get("index") and self.indexes and event["index"] not in self.indexes:
            return 7
        fields = event.get("fields", {})
        if not isinstance(fields, dict) or any(isinstance(v, dict) for v in fields.values()):
            return 15
        return 0 if isinstance(event.get("time", 0), int | float) else 6

    def _take(self, events: list[dict[str, Any]], channel: str) -> int | None:
        if not self.ack:
            self.indexed += events
            return None
        number = self._next.get(channel, 0)
        self._next[channel] = number + 1
        self._pending[channel, number] = (0, events)
        return number

    def _acks(self, request: Request, channel: str) -> Answer:
        if not self.ack:
            return answer(400, 14)
        asked = json.loads(request.body)["acks"]
        return Answer(
            200, json.dumps({"acks": {str(number): self._acked(channel, number) for number in asked}}).encode()
        )

    def _acked(self, channel: str, number: int) -> bool:
        if self.lie or (channel, number) not in self._pending:
            return False
        polls, events = self._pending[channel, number]
        if polls + 1 < self.polls_needed:
            self._pending[channel, number] = (polls + 1, events)
            return False
        del self._pending[channel, number]
        self.indexed += events
        return True
