"""The producer behind the `kafka` sink: idempotent, and let go of after a failure."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pipeline.core.errors import ConfigError, DeliveryError, PartialDeliveryError
from pipeline.core.model import Message
from pipeline.core.secrets import Tokens
from pipeline.core.text import plain

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # the client's own, about how it reads its schemas
    from kafka import KafkaProducer
    from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError
    from kafka.net.sasl.oauth import AbstractTokenProvider

_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)
_GRACE_SECONDS: Final = 2.0
Option = str | int | float | bool
AbstractTokenProvider.register(Tokens)  # the client asks for the class


class Kafka:
    """The revisions of an alert share a key, hence a partition and its order. The header `event_id` marks a repetition.

    The producer is made anew after a failure, so that nothing of a batch that is to come again lingers in its buffer.
    """

    def __init__(
        self,
        servers: Sequence[str],
        topic: str,
        wire: Callable[[Message], bytes],
        options: Mapping[str, Option],
        *,
        secrets: Mapping[str, Any],
        seconds: float,
    ) -> None:
        if unknown := sorted(set(options) - set(KafkaProducer.DEFAULT_CONFIG)):
            raise ConfigError(f"the Kafka client has no option {', '.join(unknown)}")
        self._servers, self._topic, self._wire = list(servers), topic, wire
        self._options, self._secrets, self._seconds = dict(options), dict(secrets), seconds
        self._producer: Any = None
        self.sent = self.refused = self.lingering = 0

    def send(self, messages: Sequence[Message]) -> Mapping[str, str]:
        """Produce all and wait for every acknowledgement. Raises DeliveryError; what is safe is told with it."""
        try:
            producer = self._producer = self._producer or self._connect()
            futures = {message.event_id: self._produce(producer, message) for message in messages}
        except KafkaError as error:
            self.close()
            raise DeliveryError(f"Kafka took no batch: {type(error).__name__}") from None
        return self._outcome({event_id: self._error_of(future) for event_id, future in futures.items()})

    def close(self) -> None:
        """Let go of the producer. What it still holds is in the outbox too."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            producer.close(timeout=1)
        except KafkaError:  # it still waits for a broker: its thread ends with its own delivery timeout
            self.lingering += 1

    def _connect(self) -> Any:
        ours: dict[str, Any] = {"client_id": "keytrail", "allow_auto_create_topics": False, "linger_ms": 0}
        millis = round(self._seconds * 1000)
        limits = {
            "request_timeout_ms": millis,
            "delivery_timeout_ms": millis + ours["linger_ms"],
            "max_block_ms": millis,
            "bootstrap_timeout_ms": millis,
        }
        return KafkaProducer(
            **(ours | limits | self._options | self._secrets),
            bootstrap_servers=self._servers,
            enable_idempotence=True,
            acks="all",
        )

    def _produce(self, producer: Any, message: Message) -> Any:
        """The record's future, or at once the error of one that no broker would take."""
        key = plain(message.alert_uid).encode()
        headers = [("event_id", plain(message.event_id).encode())]
        try:
            return producer.send(self._topic, self._wire(message), key=key, headers=headers)
        except _TOO_LARGE as error:
            return error

    def _error_of(self, future: Any) -> BaseException | None:
        """How a record fared. The client gives up on each within its delivery timeout, so this ends."""
        if isinstance(future, BaseException):
            return future
        try:
            future.get(timeout=self._seconds + _GRACE_SECONDS)
        except KafkaError as error:
            failure: BaseException = error
            return failure
        return None

    def _outcome(self, errors: Mapping[str, BaseException | None]) -> Mapping[str, str]:
        delivered = [event_id for event_id, error in errors.items() if error is None]
        refused = {
            event_id: f"Kafka refused it: {type(error).__name__}"
            for event_id, error in errors.items()
            if isinstance(error, _TOO_LARGE)
        }
        others = {type(error).__name__ for error in errors.values() if error and not isinstance(error, _TOO_LARGE)}
        self.sent += len(delivered)
        self.refused += len(refused)
        if others:
            self.close()
            count = len(errors) - len(delivered) - len(refused)
            text = f"Kafka did not acknowledge {count} records: {', '.join(sorted(others))}"
            raise PartialDeliveryError(text, delivered=delivered, refused=refused)
        return refused
