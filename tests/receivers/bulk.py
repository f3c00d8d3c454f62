"""An Elasticsearch data stream behind `_bulk`: create only, `@timestamp` or nothing, an answer per document."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from tests.receivers.http import Answer, Receiver, Request


class Elastic(Receiver):
    """`faults`: statuses that a document (by `_id`) is refused with first. `silent`: ids it does not answer for."""

    def __init__(self, data_stream: str, api_key: str, *, body_max: int = 10_000_000) -> None:
        super().__init__()
        self.data_stream, self.api_key, self.body_max = data_stream, api_key, body_max
        self.documents: dict[str, dict[str, Any]] = {}
        self.faults: dict[str, list[int]] = {}
        self.silent: set[str] = set()

    def handle(self, request: Request) -> Answer:  # noqa: PLR0911  one rule a line
        if request.headers.get("authorization") != f"ApiKey {self.api_key}":
            return Answer(401, b'{"error":{"type":"security_exception"}}')
        if urlsplit(request.path).path != f"/{self.data_stream}/_bulk":
            return Answer(404)
        if len(request.body) > self.body_max:
            return Answer(413)
        if request.headers.get("content-type") != "application/x-ndjson":
            return Answer(406)
        if not request.body.endswith(b"\n"):
            return Answer(400, b'{"error":{"type":"illegal_argument_exception"}}')
        lines = request.body.split(b"\n")[:-1]
        try:
            pairs = [(json.loads(lines[i]), json.loads(lines[i + 1])) for i in range(0, len(lines), 2)]
        except (ValueError, IndexError):
            return Answer(400, b'{"error":{"type":"x_content_parse_exception"}}')
        items = [item for action, document in pairs if (item := self._create(action, document))]
        return Answer(200, json.dumps({"items": items}).encode())

    def _create(self, action: dict[str, Any], document: dict[str, Any]) -> dict[str, Any] | None:
        ((verb, target),) = action.items()
        key = target["_id"]
        if verb != "create":
            return {verb: {"_id": key, "status": 400, "error": {"type": "illegal_argument_exception"}}}
        if self.faults.get(key):
            return {"create": {"_id": key, "status": self.faults[key].pop(0), "error": {"type": "made_up_exception"}}}
        if "@timestamp" not in document:
            return {"create": {"_id": key, "status": 400, "error": {"type": "document_parsing_exception"}}}
        if key in self.documents:
            return {"create": {"_id": key, "status": 409, "error": {"type": "version_conflict_engine_exception"}}}
        self.documents[key] = document
        return None if key in self.silent else {"create": {"_id": key, "status": 201}}
