"""A witness: cosigns checkpoints of the logs it knows, each only if it continues what it has cosigned before.

Small, for a second trust domain of one's own and for tests: c2sp.org/tlog-witness v1.0.0 over plain HTTP, one file
per log. Put TLS in front of it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pipeline.core.clock import Clock, system_clock
from pipeline.ledger import checkpoint as checkpoints
from pipeline.ledger import merkle, note
from pipeline.ledger.checkpoint import Checkpoint
from pipeline.ledger.errors import LedgerError
from pipeline.ledger.files import read_optional, replace_durable
from pipeline.ledger.note import Signer, Verifier
from pipeline.ledger.witness import MAX_HASHES

SIZE_TYPE = "text/x.tlog.size"
TEXT_TYPE = "text/plain; charset=utf-8"
_MAX_BODY = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back over HTTP."""

    status: int
    body: bytes = b""
    kind: str = TEXT_TYPE


@dataclass(frozen=True, slots=True)
class Request:
    """An add-checkpoint request taken apart."""

    old: int
    proof: tuple[bytes, ...]
    checkpoint: bytes


class Witness:
    """The decisions, without HTTP. Safe for several threads."""

    def __init__(self, folder: Path, signer: Signer, logs: Iterable[Verifier], clock: Clock = system_clock) -> None:
        self._folder = folder
        self._signer = signer
        self._logs = {log.name: log for log in logs}
        self._clock = clock
        self._lock = threading.Lock()

    @property
    def verifier(self) -> Verifier:
        """The key that opens its cosignatures."""
        return Verifier(self._signer.name, note.COSIGNATURE, self._signer.public)

    def add_checkpoint(self, body: bytes) -> Answer:
        """One request. The new checkpoint is on disk before the cosignature leaves."""
        try:
            request = parse_request(body)
            stated = checkpoints.parse(note.parse(request.checkpoint).text)
        except LedgerError:
            return Answer(400)
        if stated.origin not in self._logs:
            return Answer(404)
        try:
            checkpoints.open_checkpoint(request.checkpoint, [self._logs[stated.origin]])
        except LedgerError:
            return Answer(403)
        if request.old > stated.size:
            return Answer(400)
        with self._lock:
            return self._advance(request, stated)

    def latest(self, origin_hash: str) -> Answer:
        """The newest checkpoint it has cosigned, by the hexadecimal SHA-256 of the log's origin."""
        known = {hashlib.sha256(name.encode()).hexdigest() for name in self._logs}
        data = read_optional(self._folder / origin_hash) if origin_hash in known else None
        return Answer(404) if data is None else Answer(200, data)

    def _advance(self, request: Request, stated: Checkpoint) -> Answer:
        path = self._folder / hashlib.sha256(stated.origin.encode()).hexdigest()
        data = read_optional(path)
        seen = checkpoints.empty(stated.origin) if data is None else checkpoints.parse(note.parse(data).text)
        if request.old != seen.size:
            return Answer(409, f"{seen.size}\n".encode(), SIZE_TYPE)
        try:
            if seen.size:
                merkle.verify_consistency(seen.size, stated.size, request.proof, seen.root, stated.root)
            elif request.proof:
                return Answer(422)
        except LedgerError:
            return Answer(422)
        parsed = note.parse(request.checkpoint)
        signature = note.cosign(parsed.text, self._signer, self._clock() // 1_000_000_000)
        self._folder.mkdir(parents=True, exist_ok=True)
        replace_durable(path, note.Note(parsed.text, (*parsed.signatures, signature)).encode())
        return Answer(200, signature.line().encode())


def parse_request(body: bytes) -> Request:
    """Raises LedgerError for anything that is not an add-checkpoint request."""
    head, blank, checkpoint = body.partition(b"\n\n")
    lines = head.decode("utf-8", "replace").split("\n")
    if not blank or not lines[0].startswith("old ") or len(lines) - 1 > MAX_HASHES:
        raise LedgerError("not an add-checkpoint request")
    return Request(checkpoints.decimal(lines[0][4:]), tuple(map(note.decode_base64, lines[1:])), checkpoint)


def serve(witness: Witness, address: tuple[str, int]) -> ThreadingHTTPServer:
    """An HTTP server for a witness, bound and not yet running: call `serve_forever`, later `shutdown`."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not self.path.endswith("/add-checkpoint"):
                self._send(Answer(404))
            elif not length.isdecimal() or int(length) > _MAX_BODY:
                self._send(Answer(400))
            else:
                self._send(witness.add_checkpoint(self.rfile.read(int(length))))

        def do_GET(self) -> None:
            name, _, last = self.path.lstrip("/").rpartition("/")
            self._send(witness.latest(name) if last == "checkpoint" else Answer(404))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
            """Keep quiet."""

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

    return ThreadingHTTPServer(address, Handler)
