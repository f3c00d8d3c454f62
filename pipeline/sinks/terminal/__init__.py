"""Alerts as plain lines on a stream, for a person who watches."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, TextIO

import msgspec

from pipeline.core.errors import DeliveryError
from pipeline.core.model import Message
from pipeline.core.ports import Sink
from pipeline.core.text import visible


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[sinks.NAME]` table of kind `terminal`. stdout is for data, so stderr is the default."""

    stream: Literal["stderr", "stdout"] = "stderr"


def wire(message: Message, config: Config) -> bytes:  # noqa: ARG001  every sink's `wire` is asked the same way
    """The line of one message, UTF-8. It ends in the event id, by which a repeated one is recognised."""
    alert = message.alert
    moment = alert.get("last_time")
    time = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(moment, datetime) else "-"
    head = f"{time} {str(alert.get('severity') or '-').upper():<13} {alert.get('route') or '-':<6} {alert.get('state')}"
    parts = [f"{head}: {alert.get('title') or alert.get('cause') or 'Alert'}. {alert.get('message') or ''}"]
    names = (("by", "principal"), ("from", "client_ip"), ("secret", "secret"), ("observed", "observed"),
             ("expected", "expected"), ("next", "next_step"))  # fmt: skip
    parts += [f"{word}: {alert[name]}" for word, name in names if alert.get(name)]
    return f"{' | '.join(visible(part) for part in parts)} [{visible(message.event_id)}]\n".encode()


class Terminal:
    """Writes each message once as it comes; whoever reads may see one again after a crash, under the same event id."""

    def __init__(self, config: Config, stream: TextIO) -> None:
        self._config, self._stream = config, stream
        self.sent = 0

    def send(self, messages: Sequence[Message]) -> Mapping[str, str]:
        """Write and flush. Raises DeliveryError when the stream is closed."""
        try:
            for message in messages:
                line = wire(message, self._config).decode()
                encoding = self._stream.encoding or "utf-8"
                self._stream.write(line.encode(encoding, "backslashreplace").decode(encoding))
            self._stream.flush()
        except (OSError, ValueError) as error:
            raise DeliveryError(f"the {self._config.stream} stream took no line: {type(error).__name__}") from None
        self.sent += len(messages)
        return {}

    def close(self) -> None:
        """The stream is not ours to close."""


def create(config: Config, *, stream: TextIO | None = None) -> Sink:
    """The sink; `stream` replaces the one the config names."""
    return Terminal(config, stream or (sys.stdout if config.stream == "stdout" else sys.stderr))
