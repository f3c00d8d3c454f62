"""What the HTTP receivers share: a real server on loopback, and a list of bad days it works through first."""

from __future__ import annotations

import gzip
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


@dataclass(frozen=True)
class Request:
    """What came in; `body` is decompressed."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BadDay:
    """Instead of an answer. `first` takes the request in before: the receiver has it, the sender does not know."""

    answer: Answer | None = None  # None: hang up
    first: bool = False
    sleep: float = 0.0
    drip: bool = False  # one byte at a time, never ending


class Receiver:
    """`handle` is the receiver's own rule. `bad_days` are used up one a request, then all is well."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.bad_days: deque[BadDay] = deque()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver._serve(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def handle(self, request: Request) -> Answer:
        raise NotImplementedError

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        if handler.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        request = Request(handler.path, {k.lower(): v for k, v in handler.headers.items()}, body)
        with self._lock:
            self.requests.append(request)
            bad = self.bad_days.popleft() if self.bad_days else None
            answer = self.handle(request) if bad is None or bad.first else None
        if bad is not None:
            self._stop.wait(bad.sleep)
            answer = bad.answer
            if bad.drip:
                self._drip(handler)
        if answer is None:
            handler.close_connection = True
            return
        self._reply(handler, answer)

    def _drip(self, handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        end = time.monotonic() + 30
        while time.monotonic() < end and not self._stop.wait(0.05):
            try:
                handler.wfile.write(b" ")
            except OSError:
                return

    def _reply(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        try:
            handler.send_response(answer.status)
            for name, value in answer.headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(answer.body)))
            handler.end_headers()
            handler.wfile.write(answer.body)
        except OSError:  # whoever asked has gone
            handler.close_connection = True

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
