"""A strict stand-in for a Vault on loopback: it answers one read, and writes of it to its audit devices."""

from __future__ import annotations

import datetime as dt
import json
import re
import threading
import time
import uuid
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.trail import START, Request, entry

TOKEN = "hvs.of-the-canary"
PATH = "auth/token/lookup-self"
_CANARY = re.compile(r"([0-9]+)\.[0-9a-f]{32}")


class VaultDouble:
    """`moods` say how the next requests are met: ok, denied, missing, broken, sealed, redirect, silent, nameless.

    `seen` are the canary values that arrived; `faults` what a client did that no client should.
    """

    def __init__(self, *devices: Path) -> None:
        self.devices = devices
        self.moods: deque[str] = deque()
        self.seen: list[str] = []
        self.faults: list[str] = []
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                double.meet(self)

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  the base class's name
                """Nothing is printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> VaultDouble:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def meet(self, handler: BaseHTTPRequestHandler) -> None:
        mood = self.moods.popleft() if self.moods else "ok"
        if mood == "sealed":
            return self.answer(handler, 503, {"errors": ["Vault is sealed"]})
        if mood == "redirect":
            return self.answer(handler, 307, {}, {"Location": "http://127.0.0.1:9/v1/elsewhere"})
        canary = handler.headers.get("X-Audit-Canary", "")
        self.seen.append(canary)
        self._judge(handler, canary)
        uid = str(uuid.uuid4())
        if mood == "silent":
            self.write(uid, canary)
            handler.close_connection = True
            return None
        self.write(uid, canary, "permission denied" if mood == "denied" else "")
        body = {"ok": {"data": {"id": "x"}}, "nameless": {"data": {}}}.get(mood, {"errors": []})
        status = {"denied": 403, "missing": 404, "broken": 500}.get(mood, 200)
        return self.answer(handler, status, body if mood == "nameless" else {"request_id": uid, **body})

    def _judge(self, handler: BaseHTTPRequestHandler, canary: str) -> None:
        expected = {"X-Vault-Token": TOKEN, "X-Vault-Request": "true"}
        self.faults += [f"{name} is {handler.headers.get(name)!r}" for name, value in expected.items()
                        if handler.headers.get(name) != value]  # fmt: skip
        if handler.path != f"/v1/{PATH}":
            self.faults.append(f"asked for {handler.path}")
        if not _CANARY.fullmatch(canary):
            self.faults.append(f"canary header {canary!r}")

    def answer(
        self, handler: BaseHTTPRequestHandler, status: int, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> None:
        data = json.dumps(body).encode()
        handler.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)

    def write(self, uid: str, canary: str, error: str = "") -> None:
        """The two lines of a request, on every device."""
        number = int(_CANARY.fullmatch(canary)[1]) if _CANARY.fullmatch(canary) else 0  # type: ignore[index]
        now = time.time() - START.timestamp()
        request = Request(uid, now, PATH, who="canary", canary=number, error=error, answer={"id": "x"})
        for device in self.devices:
            with device.open("a") as file:
                for phase, after in (("request", 0.0), ("response", 0.001)):
                    told = entry(request, phase, f"salt of {device.name}", START + dt.timedelta(seconds=now + after))
                    told["request"]["headers"]["x-audit-canary"] = [canary]
                    file.write(json.dumps(told, separators=(",", ":")) + "\n")
