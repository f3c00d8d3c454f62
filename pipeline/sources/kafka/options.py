"""The `[sources.kafka]` table, and what the client is told of it.

Any option of the client goes by its own name; times are spelled out, so that `session_timeout_ms` is
`session_timeout_seconds`. What the source's promises rest on is no option.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec

from pipeline.core.errors import ConfigError
from pipeline.core.secrets import SecretRef, proxy_url
from pipeline.sources.kafka.client import (
    CooperativeStickyAssignor,
    KafkaAdminClient,
    KafkaConsumer,
    Tokens,
)
from pipeline.sources.kafka.splitter import MAX_BATCH_BYTES

# The client's options that are not the user's: given on the command line, decided here, or no plain value.
_NOT_OFFERED: Final = frozenset({
    "bootstrap_servers", "group_id", "enable_auto_commit", "auto_commit_interval_ms", "default_offset_commit_callback",
    "auto_offset_reset", "isolation_level", "check_crcs", "allow_auto_create_topics", "max_poll_records",
    "key_deserializer", "value_deserializer", "partition_assignment_strategy", "consumer_timeout_ms",
    "metric_reporters", "kafka_client", "selector", "socket_options", "ssl_context", "sasl_oauth_token_provider",
    "exclude_internal_topics", "api_version", "socks5_proxy",
})  # fmt: skip
_SECRETS: Final = ("sasl_plain_password", "ssl_password", "proxy_url")  # the last may hold a password
_TYPES: Final[Mapping[str, Any]] = {
    "security_protocol": Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
    "sasl_mechanism": Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"],
    **dict.fromkeys(_SECRETS, SecretRef),
}
_DEFAULTS: Final[Mapping[str, Any]] = {
    "client_id": "keytrail", "max_partition_fetch_bytes": 2 << 20, "fetch_max_bytes": 16 << 20,
    "fetch_min_bytes": 256 << 10, "fetch_max_wait_ms": 100, "metadata_max_age_ms": 10_000,
    "reconnect_backoff_max_ms": 2_000, "metrics_enabled": False,
}  # fmt: skip

_LEAST: Final = 1 << 20  # bytes
_Seconds = Annotated[float, msgspec.Meta(ge=0)]
_Int32 = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]  # as the protocol has it


class Own(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of the table is not the client's."""

    quiet_seconds: _Seconds = 1.0  # a partition read to its end and silent this long holds no other back
    stall_seconds: _Seconds = 30.0  # the partition furthest behind is waited for this long when it brings nothing
    handover_seconds: _Seconds = 30.0  # a partition that leaves waits this long for the commit of what was read of it
    check_records: Annotated[int, msgspec.Meta(ge=0)] = 64  # before the position: compared with what was read there
    buffer_bytes: Annotated[int, msgspec.Meta(ge=_LEAST)] = 64 << 20  # read ahead of the line, over all partitions
    batch_bytes: Annotated[int, msgspec.Meta(ge=_LEAST)] = 40 << 20  # taken at once, about, over all partitions
    max_batch_bytes: Annotated[int, msgspec.Meta(ge=_LEAST)] = MAX_BATCH_BYTES  # unpacked; more is told as oversize
    split_batches: bool = True  # false: by the client's own records, slower, for comparison
    sasl_oauth_token: SecretRef | None = None  # read anew for every connection


def _fields() -> list[tuple[str, Any, Any]]:
    fields: list[tuple[str, Any, Any]] = []
    for name, default in KafkaConsumer.DEFAULT_CONFIG.items():
        if name in _NOT_OFFERED:
            continue
        value = _DEFAULTS.get(name, default)
        if name.endswith("_ms"):
            fields.append((_seconds(name), _Seconds | None, None if value is None else value / 1000))
            continue
        plain = bool if isinstance(value, bool) else _Int32 if isinstance(value, int) else str
        kind = _TYPES.get(name) or plain
        fields.append((name, kind | None, value))
    return fields


def _seconds(name: str) -> str:
    return name.removesuffix("_ms") + "_seconds"


if TYPE_CHECKING:

    class Config(Own, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Table `[sources.kafka]`: `Own` and the client's options."""
else:
    Config = msgspec.defstruct(
        "Config", _fields(), bases=(Own,), frozen=True, kw_only=True, forbid_unknown_fields=True, module=__name__
    )


def within(config: Config, max_memory: int) -> Config:
    """The same with less read ahead and taken at once, where the process is to stay below `max_memory` bytes."""
    return msgspec.structs.replace(
        config,
        buffer_bytes=max(_LEAST, min(config.buffer_bytes, max_memory // 32)),
        batch_bytes=max(_LEAST, min(config.batch_bytes, max_memory // 48)),
    )


def client_options(config: Config) -> dict[str, Any]:
    """Options for the consumer in its own units, secrets in their places. Raises ConfigError."""
    made: dict[str, Any] = {}
    for name in KafkaConsumer.DEFAULT_CONFIG:
        if name in _NOT_OFFERED:
            continue
        value = getattr(config, _seconds(name) if name.endswith("_ms") else name)
        if name.endswith("_ms") and value is not None:
            value = round(value * 1000)
        if isinstance(value, SecretRef):
            value = proxy_url(value) if name == "proxy_url" else value.resolve()
        made[name] = value
    if config.sasl_oauth_token is not None:
        made["sasl_oauth_token_provider"] = Tokens(config.sasl_oauth_token)
    if made["sasl_mechanism"] == "OAUTHBEARER" and config.sasl_oauth_token is None:
        raise ConfigError("[sources.kafka] sasl_mechanism OAUTHBEARER needs sasl_oauth_token")
    return {
        **made, "enable_auto_commit": False, "auto_offset_reset": "none", "check_crcs": True,
        "isolation_level": "read_committed", "allow_auto_create_topics": False,
        "partition_assignment_strategy": [CooperativeStickyAssignor],
    }  # fmt: skip


def admin_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a consumer's options that says how to reach the brokers."""
    return {name: value for name, value in options.items() if name in KafkaAdminClient.DEFAULT_CONFIG}
