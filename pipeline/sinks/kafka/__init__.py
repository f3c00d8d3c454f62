"""Alerts to a Kafka topic by an idempotent producer: the value is the OCSF object, the key the alert's uid."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from pipeline.core.errors import ConfigError, DeliveryError, PartialDeliveryError
from pipeline.core.model import Message
from pipeline.core.ports import Sink
from pipeline.core.secrets import SecretRef
from pipeline.sinks._ocsf import detection_finding
from pipeline.sinks._text import json_bytes, plain

_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_FIXED: Final = ("bootstrap_servers", "enable_idempotence", "acks", "transactional_id", "sasl_plain_password")
_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)
Option = str | int | float | bool


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[sinks.NAME]` table of kind `kafka`. `options` go to the client by its own names."""

    servers: str
    topic: str
    password: SecretRef | None = None
    timeout_seconds: float = 30
    options: dict[str, Option] = {}

    def __post_init__(self) -> None:
        if not self.servers or not _TOPIC.fullmatch(self.topic):
            raise ValueError("servers must be given, and topic: letters, digits, dots, dashes and underscores")
        if taken := sorted(set(_FIXED) & set(self.options)):
            raise ValueError(f"options cannot set {', '.join(taken)}")
        if self.timeout_seconds <= 0:
            raise ValueError("timeout_seconds must be above 0")


def wire(message: Message, config: Config) -> bytes:  # noqa: ARG001  every sink's `wire` is asked the same way
    """The value of one record."""
    return json_bytes(detection_finding(message))


class Kafka:
    """The revisions of an alert share a key, hence a partition and its order. The header `event_id` marks a repetition.

    The producer is made anew after a failure, so that nothing of a batch that is to come again lingers in its buffer.
    """

    def __init__(self, config: Config, password: str) -> None:
        self._config, self._password = config, password
        self._producer: Any = None
        self.sent = self.refused = 0

    def send(self, messages: Sequence[Message]) -> Mapping[str, str]:
        """Produce all and wait for every acknowledgement. Raises DeliveryError; what is safe is told with it."""
        try:
            producer = self._producer = self._producer or self._connect()
            futures = {message.event_id: self._produce(producer, message) for message in messages}
            producer.flush(timeout=self._config.timeout_seconds)
        except KafkaError as error:
            self.close()
            raise DeliveryError(f"Kafka took no batch: {type(error).__name__}") from None
        return self._outcome(futures)

    def close(self) -> None:
        """Let go of the producer without waiting for what it holds: the outbox holds it too."""
        if self._producer is not None:
            self._producer.close(timeout=0)
            self._producer = None

    def _connect(self) -> Any:
        config = self._config
        secret = {"sasl_plain_password": self._password} if self._password else {}
        ours: dict[str, Any] = {"client_id": "keytrail", "allow_auto_create_topics": False, "linger_ms": 5}
        millis = round(config.timeout_seconds * 1000)
        limits = {"request_timeout_ms": millis, "delivery_timeout_ms": millis + 5, "max_block_ms": millis}
        return KafkaProducer(
            **(ours | limits | config.options | secret),
            bootstrap_servers=config.servers.split(","),
            enable_idempotence=True,
            acks="all",
        )

    def _produce(self, producer: Any, message: Message) -> Any:
        """The record's future, or at once the error of one that no broker would take."""
        key = plain(message.alert_uid).encode()
        headers = [("event_id", plain(message.event_id).encode())]
        try:
            return producer.send(self._config.topic, wire(message, self._config), key=key, headers=headers)
        except _TOO_LARGE as error:
            return error

    def _outcome(self, futures: Mapping[str, Any]) -> Mapping[str, str]:
        delivered: list[str] = []
        refused: dict[str, str] = {}
        failure = ""
        for event_id, future in futures.items():
            error = future if isinstance(future, KafkaError) else _error_of(future)
            if error is None:
                delivered.append(event_id)
            elif isinstance(error, _TOO_LARGE):
                refused[event_id] = f"Kafka refused it: {type(error).__name__}"
            else:
                failure = type(error).__name__
        self.sent += len(delivered)
        self.refused += len(refused)
        if failure:
            self.close()
            text = f"Kafka did not acknowledge {len(futures) - len(delivered) - len(refused)} records: {failure}"
            raise PartialDeliveryError(text, delivered=delivered, refused=refused)
        return refused


def _error_of(future: Any) -> Exception | None:
    return future.exception if future.is_done else TimeoutError()


def create(config: Config) -> Sink:
    """The sink. Nothing is connected before the first `send`. Raises ConfigError for an option the client does not know."""
    password = config.password.resolve() if config.password is not None else ""
    unknown = sorted(set(config.options) - set(KafkaProducer.DEFAULT_CONFIG))
    if unknown:
        raise ConfigError(f"the Kafka client has no option {', '.join(unknown)}")
    return Kafka(config, password)
