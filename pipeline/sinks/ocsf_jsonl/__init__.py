"""Alerts as OCSF Detection Findings in a JSON-lines file, one event a line: on disk before `send` returns."""

from __future__ import annotations

import msgspec

from pipeline.core.clock import Clock, system_clock
from pipeline.core.model import Message
from pipeline.core.ports import Sink
from pipeline.core.text import json_bytes
from pipeline.sinks.ocsf import detection_finding
from pipeline.sinks.ocsf_jsonl.file import JsonLines


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The `[sinks.NAME]` table of kind `ocsf_jsonl`. A file is set aside when it is full or its period is over."""

    path: str
    max_bytes: int = 268_435_456
    max_age_hours: float = 24

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("path must be given")
        if self.max_bytes < 1 or self.max_age_hours <= 0:
            raise ValueError("max_bytes and max_age_hours must be above 0")


def wire(message: Message, config: Config) -> bytes:  # noqa: ARG001  every sink's `wire` is asked the same way
    """The line of one message, with its line end."""
    return json_bytes(detection_finding(message)) + b"\n"


def create(config: Config, *, clock: Clock = system_clock) -> Sink:
    """The sink. The file is opened at the first `send`."""
    return JsonLines(config.path, config.max_bytes, config.max_age_hours, lambda message: wire(message, config), clock)
