"""Alerts to a Kafka topic by an idempotent producer: the value is the OCSF object, the key the alert's uid."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from pipeline.core.model import Message
from pipeline.core.ports import Sink
from pipeline.core.secrets import SecretRef, Tokens, proxy_url
from pipeline.core.text import json_bytes
from pipeline.sinks.ocsf import detection_finding

_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
# The client's options that are not the user's: decided here, secrets (which have keys of their own), or no plain value.
_FIXED: Final = frozenset({
    "bootstrap_servers", "enable_idempotence", "acks", "transactional_id", "sasl_plain_password", "ssl_password",
    "sasl_oauth_token_provider", "ssl_context", "socks5_proxy", "proxy_url", "kafka_client", "selector",
    "socket_options", "metric_reporters", "partitioner", "key_serializer", "value_serializer",
})  # fmt: skip
Option = str | int | float | bool


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[sinks.NAME]` table of kind `kafka`. `options` go to the client by its own names."""

    servers: str
    topic: str
    password: SecretRef | None = None
    ssl_password: SecretRef | None = None
    proxy_url: SecretRef | None = None  # it may hold a password
    sasl_oauth_token: SecretRef | None = None  # read anew for every connection
    timeout_seconds: float = 30
    options: dict[str, Option] = {}

    def __post_init__(self) -> None:
        if not self.servers or not _TOPIC.fullmatch(self.topic):
            raise ValueError("servers must be given, and topic: letters, digits, dots, dashes and underscores")
        if taken := sorted(_FIXED & set(self.options)):
            raise ValueError(f"options cannot set {', '.join(taken)}")
        if self.options.get("sasl_mechanism") == "OAUTHBEARER" and self.sasl_oauth_token is None:
            raise ValueError("options.sasl_mechanism OAUTHBEARER needs sasl_oauth_token")
        if self.timeout_seconds <= 0:
            raise ValueError("timeout_seconds must be above 0")


def wire(message: Message, config: Config) -> bytes:  # noqa: ARG001  every sink's `wire` is asked the same way
    """The value of one record."""
    return json_bytes(detection_finding(message))


def create(config: Config) -> Sink:
    """The sink, not connected before the first `send`. Raises ConfigError for an option the client does not know."""
    from pipeline.sinks.kafka.producer import Kafka  # noqa: PLC0415  only those who use it pay for the client

    secrets: dict[str, Any] = {}
    for name, place in (("sasl_plain_password", config.password), ("ssl_password", config.ssl_password)):
        if place is not None:
            secrets[name] = place.resolve()
    if config.proxy_url is not None:
        secrets["proxy_url"] = proxy_url(config.proxy_url)
    if config.sasl_oauth_token is not None:
        secrets["sasl_oauth_token_provider"] = Tokens(config.sasl_oauth_token)
    return Kafka(
        config.servers.split(","),
        config.topic,
        lambda message: wire(message, config),
        config.options,
        secrets=secrets,
        seconds=config.timeout_seconds,
    )
