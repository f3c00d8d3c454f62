"""A time-stamping authority of our own: openssl answers, an HTTP server hands it out. It can be told to misbehave."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.components import absent

CONFIG = """
[req]
distinguished_name = dn
prompt = no
x509_extensions = ext
[dn]
CN = {name}
[ext]
extendedKeyUsage = critical,timeStamping
keyUsage = critical,digitalSignature
[tsa]
default_tsa = one
[one]
serial = {folder}/serial
signer_cert = {folder}/cert
signer_key = {folder}/key
signer_digest = sha256
default_policy = 1.2.3.4
digests = {digests}
"""


def openssl(*arguments: object) -> int:
    """The exit code of an openssl command."""
    command = ["openssl", *(str(part) for part in arguments)]
    return subprocess.run(command, capture_output=True, check=False).returncode


@dataclass
class Authority:
    """`digests` are the kinds of hash it stamps. `instead` makes something else of each answer."""

    folder: Path
    digests: str = "sha256"
    instead: Callable[[bytes], bytes] | None = None
    status: int = 200
    url: str = ""
    asked: list[bytes] = field(default_factory=list)
    answered: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        if shutil.which("openssl") is None:
            absent("openssl is not installed: no time stamp can be made")
        self.folder.mkdir()
        (self.folder / "serial").write_text("01\n")
        self._configure()
        made = openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config",
                       self.folder / "config", "-keyout", self.folder / "key", "-out", self.roots)  # fmt: skip
        assert made == 0

    @property
    def roots(self) -> Path:
        return self.folder / "cert"

    def stamp(self, path: Path) -> bytes:
        """A token over a file."""
        query = self.folder / "data.query"
        assert openssl("ts", "-query", "-data", path, "-sha256", "-cert", "-out", query) == 0
        return self.reply(query.read_bytes())

    def reply(self, query: bytes) -> bytes:
        """What openssl answers; a refusal is an answer, too."""
        self._configure()
        asked, reply = self.folder / "query", self.folder / "reply"
        asked.write_bytes(query)
        assert openssl("ts", "-reply", "-config", self.folder / "config", "-queryfile", asked, "-out", reply) == 0
        return reply.read_bytes()

    def verifies(self, path: Path, token: Path) -> bool:
        """What openssl says of a token over a file."""
        return openssl("ts", "-verify", "-data", path, "-in", token, "-CAfile", self.roots) == 0

    @contextmanager
    def serving(self) -> Iterator[Authority]:
        """It listens at `url`."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}/tsr"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def _configure(self) -> None:
        text = CONFIG.format(folder=self.folder, digests=self.digests, name=self.folder.name)
        (self.folder / "config").write_text(text)


def _handler(authority: Authority) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            authority.asked.append(query)
            answer = authority.reply(query)
            authority.answered.append(answer)
            if authority.instead is not None:
                answer = authority.instead(answer)
            self.send_response(authority.status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
