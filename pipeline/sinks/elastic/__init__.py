"""Alerts into an Elasticsearch or OpenSearch data stream by `_bulk`: one document per revision, `_id` its event id."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime

import msgspec

from pipeline.core.model import Message
from pipeline.core.ports import Sink
from pipeline.core.secrets import SecretRef
from pipeline.core.text import json_bytes, plain
from pipeline.sinks._http import check_url
from pipeline.sinks.elastic.bulk import Bulk
from pipeline.sinks.ocsf import detection_finding

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[sinks.NAME]` table of kind `elastic`: `api_key`, or `username` with `password` (OpenSearch)."""

    url: str
    data_stream: str = "logs-keytrail.alerts-default"
    api_key: SecretRef | None = None
    username: str = ""
    password: SecretRef | None = None
    timeout_seconds: float = 30
    tls_ca: str = ""

    def __post_init__(self) -> None:
        check_url(self.url)
        if not _NAME.fullmatch(self.data_stream):
            raise ValueError("data_stream is lower-case letters, digits, dots, dashes and underscores")
        if self.timeout_seconds <= 0:
            raise ValueError("timeout_seconds must be above 0")
        if bool(self.username) != (self.password is not None) or (self.api_key is not None and self.username):
            raise ValueError("give api_key, or username and password, or neither")


def wire(message: Message, config: Config) -> bytes:  # noqa: ARG001  every sink's `wire` is asked the same way
    """The two lines of one document: `create`, so that a second one with its id is refused and nothing is replaced."""
    event = detection_finding(message)
    moment = datetime.fromtimestamp(event["time"] / 1000, UTC)
    document = {"@timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"} | event
    action = {"create": {"_id": plain(message.event_id)}}
    return json_bytes(action) + b"\n" + json_bytes(document) + b"\n"


def create(config: Config) -> Sink:
    """The sink. Nothing is connected before the first `send`. Raises ConfigError when a secret cannot be had."""
    headers = {}
    if config.api_key is not None:
        headers["Authorization"] = f"ApiKey {config.api_key.for_header()}"
    elif config.password is not None:
        pair = f"{config.username}:{config.password.resolve()}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    return Bulk(
        config.url,
        config.data_stream,
        headers,
        lambda message: wire(message, config),
        seconds=config.timeout_seconds,
        ca_file=config.tls_ca,
    )
