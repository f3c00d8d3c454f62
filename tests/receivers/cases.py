"""The cases of a sink's folder: a message and a config, and the exact bytes that must come of them."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec

from pipeline.core import plugins
from pipeline.core.model import Message
from pipeline.sinks import ocsf
from pipeline.sinks.syslog import message as syslog
from tests.receivers.messages import from_json

ROOM = "pipeline.sinks"
KINDS = plugins.kinds(ROOM)


@dataclass(frozen=True)
class Case:
    """One case of one kind."""

    kind: str
    name: str
    message: Message
    config: Any
    expected: Path

    def wire(self) -> bytes:
        """What the sink makes of it as version "0" (frames tell their length), which the files call @VERSION@."""
        sink = plugins.load(ROOM, self.kind)
        with (
            mock.patch.object(ocsf, "product_version", return_value="0"),
            mock.patch.object(syslog, "product_version", return_value="0"),
        ):
            made: bytes = sink.wire(self.message, self.config)
        for around in ('"version":"{}"}}', "CEF:0|keytrail|keytrail|{}|"):
            made = made.replace(around.format("0").encode(), around.format("@VERSION@").encode())
        return made


def folder(kind: str) -> Path:
    return Path(str(importlib.import_module(f"{ROOM}.{kind}").__file__)).parent


def find_cases() -> list[Case]:
    """Every case of every kind."""
    cases = []
    for kind in KINDS:
        for path in sorted((folder(kind) / "cases").glob("*.json")):
            raw = json.loads(path.read_text("utf-8"))
            config = msgspec.convert(raw.get("config", {}), plugins.config_type(ROOM, kind))
            cases.append(Case(kind, path.stem, from_json(raw["message"]), config, path.with_suffix(".out")))
    return cases
