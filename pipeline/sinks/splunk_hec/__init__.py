"""Alerts to a Splunk HTTP Event Collector: the OCSF object as `event`, acknowledged where the token has that."""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.core.model import Message
from pipeline.core.ports import Sink
from pipeline.core.secrets import SecretRef
from pipeline.core.text import json_bytes
from pipeline.sinks._http import check_url
from pipeline.sinks.ocsf import detection_finding
from pipeline.sinks.splunk_hec.collector import Collector


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[sinks.NAME]` table of kind `splunk_hec`. `batch_bytes` bounds a request before compression."""

    url: str
    token: SecretRef
    index: str = ""
    source: str = "keytrail"
    sourcetype: str = "ocsf:detection_finding"
    ack: bool = False
    ack_timeout_seconds: float = 60
    timeout_seconds: float = 30
    batch_bytes: int = 800_000
    tls_ca: str = ""

    def __post_init__(self) -> None:
        check_url(self.url)
        if min(self.ack_timeout_seconds, self.timeout_seconds, self.batch_bytes) <= 0:
            raise ValueError("ack_timeout_seconds, timeout_seconds and batch_bytes must be above 0")


def wire(message: Message, config: Config) -> bytes:
    """One event of the request body. `fields` are indexed, so that a repeated event id is found without searching."""
    event = detection_finding(message)
    envelope: dict[str, Any] = {
        "time": event["time"] / 1000,
        "source": config.source,
        "sourcetype": config.sourcetype,
        "index": config.index,
        "fields": {
            "event_id": event["metadata"]["uid"],
            "alert_uid": event["finding_info"]["uid"],
            "revision": message.revision,
        },
        "event": event,
    }
    return json_bytes({name: value for name, value in envelope.items() if value != ""})


def create(config: Config) -> Sink:
    """The sink. Nothing is connected before the first `send`. Raises ConfigError when the token cannot be had."""
    return Collector(
        config.url,
        config.token.for_header(),
        lambda message: wire(message, config),
        ack=config.ack,
        ack_seconds=config.ack_timeout_seconds,
        seconds=config.timeout_seconds,
        batch_bytes=config.batch_bytes,
        ca_file=config.tls_ca,
    )
