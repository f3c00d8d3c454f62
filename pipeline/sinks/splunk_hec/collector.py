"""The HEC protocol: concatenated JSON in, then ask until every acknowledgement is true.

https://docs.splunk.com/Documentation/Splunk/latest/Data/FormateventsforHTTPEventCollector (codes, channel, /ack). 200
means accepted; indexed only once the ack id of the request is true, and acks belong to the channel that sent.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from pipeline.core.errors import DeliveryError
from pipeline.core.model import Message
from pipeline.sinks._http import Poster, Reply

_RECEIVER: Final = "Splunk HEC"
_BAD_EVENT: Final = frozenset({5, 6, 12, 13, 15})  # no data, invalid format, event missing or blank, bad fields
_NO_ACK: Final = 14
_MEANING: Final = {
    1: "token disabled", 2: "token required", 3: "invalid authorization", 4: "invalid token", 5: "no data",
    6: "invalid data format", 7: "incorrect index", 8: "internal error", 9: "server is busy", 10: "channel is missing",
    11: "invalid channel", 12: "event field is required", 13: "event field is blank", 14: "ack is disabled",
    15: "indexed fields refused",
}  # fmt: skip
_ASK_FIRST: Final = 0.05
_ASK_MAX: Final = 2.0


class Collector:
    """`unacknowledged` counts messages taken on the word of a 200 although acknowledgement was asked for."""

    def __init__(
        self,
        url: str,
        token: str,
        wire: Callable[[Message], bytes],
        *,
        ack: bool,
        ack_seconds: float,
        seconds: float,
        batch_bytes: int,
        ca_file: str = "",
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self._channel = str(uuid.uuid4())
        headers = {"Authorization": f"Splunk {token}", "X-Splunk-Request-Channel": self._channel}
        self._poster = Poster(url, _RECEIVER, headers, ca_file=ca_file, seconds=seconds)
        self._wire, self._ack, self._ack_seconds, self._batch_bytes = wire, ack, ack_seconds, batch_bytes
        self._wait = wait
        self.sent = self.requests = self.polls = self.unacknowledged = 0

    def send(self, messages: Sequence[Message]) -> Mapping[str, str]:
        """Post all, then wait for the acknowledgements. Raises DeliveryError; what is safe by then is told with it."""
        waiting: dict[int, list[str]] = {}
        done: list[str] = []
        try:
            for ids, body in self._requests(messages):
                ack_id = self._post(body)
                if ack_id is None:
                    done += ids
                else:
                    waiting[ack_id] = waiting.get(ack_id, []) + ids
            self._await(waiting, done)
        except DeliveryError as error:
            self.sent += len(done)
            if not done:
                raise
            raise error.after(done, {}) from None  # refused for good or not: the rest comes again, by itself
        self.sent += len(done)
        return {}

    def close(self) -> None:
        """Drop the connection."""
        self._poster.close()

    def _requests(self, messages: Sequence[Message]) -> list[tuple[list[str], bytes]]:
        """Event ids and body of each request, none above `batch_bytes` unless a single event is."""
        requests: list[tuple[list[str], bytes]] = []
        ids: list[str] = []
        parts: list[bytes] = []
        for message in messages:
            part = self._wire(message)
            if parts and sum(map(len, parts)) + len(part) > self._batch_bytes:
                requests.append((ids, b"".join(parts)))
                ids, parts = [], []
            ids.append(message.event_id)
            parts.append(part)
        return [*requests, (ids, b"".join(parts))] if parts else requests

    def _post(self, body: bytes) -> int | None:
        """Hand one request over; its ack id, or None when 200 is all there will be."""
        self.requests += 1
        reply = self._poster.post("/services/collector/event", body, {}, compress=True)
        answer = _json(reply)
        code = answer.get("code")
        if reply.status != 200 or code != 0:
            raise _failure(reply, code)
        if not self._ack:
            return None
        ack_id = answer.get("ackId")
        return ack_id if isinstance(ack_id, int) else None

    def _await(self, waiting: dict[int, list[str]], done: list[str]) -> None:
        if self._ack:
            self.unacknowledged += len(done)
        pause, left = _ASK_FIRST, self._ack_seconds
        while waiting:
            for ack_id in self._acknowledged(waiting):
                done += waiting.pop(ack_id, [])
            if not waiting:
                return
            if left <= 0:
                raise DeliveryError(f"{_RECEIVER} did not acknowledge {len(waiting)} requests in time")
            self._wait(min(pause, left))
            left, pause = left - pause, min(pause * 2, _ASK_MAX)

    def _acknowledged(self, waiting: Mapping[int, list[str]]) -> list[int]:
        """Those of `waiting` that are indexed. Without the feature after all, all of them are as good as they get."""
        self.polls += 1
        body = msgspec.json.encode({"acks": sorted(waiting)})
        reply = self._poster.post(f"/services/collector/ack?channel={self._channel}", body, {})
        answer = _json(reply)
        if reply.status == 400 and answer.get("code") == _NO_ACK:
            self.unacknowledged += sum(map(len, waiting.values()))
            return list(waiting)
        acks = answer.get("acks")
        if reply.status != 200 or not isinstance(acks, dict):
            raise _failure(reply, answer.get("code"))
        return [ack_id for ack_id in waiting if acks.get(str(ack_id)) is True]


def _json(reply: Reply) -> dict[str, Any]:
    """The answer's JSON object, empty when it is none (a proxy's page)."""
    try:
        answer = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _failure(reply: Reply, code: object) -> DeliveryError:
    """By the collector's own code, which tells a bad event from a bad set-up better than the status does."""
    meaning = _MEANING.get(code, "") if isinstance(code, int) else ""
    if reply.status == 400 and code not in _BAD_EVENT:
        text = f"{_RECEIVER} answered 400: {meaning or 'no known code'} (check url, token and index)"
        return DeliveryError(text, answered=True)
    if reply.status == 200:
        text = f"{_RECEIVER} answered 200 without success: {meaning or 'not a collector?'}"
        return DeliveryError(text, answered=True)
    return reply.failure(_RECEIVER, meaning)
