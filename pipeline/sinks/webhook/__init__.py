"""Alerts to any HTTP receiver, one request per message, signed as Standard Webhooks 1.0.0 has it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence

import msgspec

from pipeline.core.clock import Clock, system_clock
from pipeline.core.errors import ConfigError, DeliveryError
from pipeline.core.model import Message
from pipeline.core.ports import Sink
from pipeline.core.secrets import SecretRef
from pipeline.core.text import json_bytes, visible
from pipeline.sinks._http import Poster, check_url
from pipeline.sinks.ocsf import detection_finding


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[sinks.NAME]` table of kind `webhook`."""

    url: str
    secret: SecretRef
    timeout_seconds: float = 15
    tls_ca: str = ""

    def __post_init__(self) -> None:
        check_url(self.url)
        if self.timeout_seconds <= 0:
            raise ValueError("timeout_seconds must be above 0")


def wire(message: Message, config: Config) -> bytes:  # noqa: ARG001  every sink's `wire` is asked the same way
    """The body of one request: the OCSF object."""
    return json_bytes(detection_finding(message))


def key_of(secret: str) -> bytes:
    """The signing key: the base64 behind `whsec_`, else the text itself. Raises ConfigError."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        raise ConfigError("the webhook secret is not base64 behind whsec_") from None


def sign(key: bytes, event_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


class Webhook:
    """Sends in order and stops at the first message that cannot be delivered now, so that none overtakes another."""

    one_by_one = True  # whoever sends may look at the time between two messages

    def __init__(self, config: Config, key: bytes, clock: Clock) -> None:
        self._config, self._key, self._clock = config, key, clock
        self._poster = Poster(config.url, "the webhook", {}, ca_file=config.tls_ca, seconds=config.timeout_seconds)
        self.sent = self.refused = 0

    def send(self, messages: Sequence[Message]) -> Mapping[str, str]:
        """Post each. Raises PartialDeliveryError, with what got through, at the first that must come again."""
        delivered: list[str] = []
        refused: dict[str, str] = {}
        for message in messages:
            try:
                self._post(message)
                delivered.append(message.event_id)
                self.sent += 1
            except DeliveryError as error:
                if not error.permanent:
                    raise error.after(delivered, refused) from None
                refused[message.event_id] = str(error)
                self.refused += 1
        return refused

    def close(self) -> None:
        """Drop the connection."""
        self._poster.close()

    def _post(self, message: Message) -> None:
        body = wire(message, self._config)
        event_id, timestamp = visible(message.event_id), self._clock() // 1_000_000_000
        headers = {
            "webhook-id": event_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._key, event_id, timestamp, body),
        }
        reply = self._poster.post("", body, headers)
        if not 200 <= reply.status < 300:
            raise reply.failure("the webhook")


def create(config: Config, *, clock: Clock = system_clock) -> Sink:
    """The sink. Nothing is connected before the first `send`. Raises ConfigError when the secret cannot be had."""
    return Webhook(config, key_of(config.secret.resolve()), clock)
