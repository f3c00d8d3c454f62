"""Posting over HTTP/1.1 with the standard library: TLS verified, no redirects followed, time and answer bounded."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from pipeline.core.errors import ConfigError, DeliveryError

REPLY_MAX: Final = 16_777_216
_RETRY: Final = frozenset({408, 425, 429})
_OPERATOR: Final = frozenset({401, 403, 404, 405, 407, 410})  # the set-up is wrong, not the message: keep it


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: status, header names in lower case, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after(self) -> float | None:
        """`Retry-After` (RFC 9110 §10.2.3) in seconds; a date counts from the answer's own `Date` where it has one."""
        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return float(text[:9])
        then, now = _date(text), _date(self.headers.get("date", "")) or datetime.now(UTC)
        return max((then - now).total_seconds(), 0.0) if then else None

    def failure(self, receiver: str, detail: str = "") -> DeliveryError:
        """What an answer other than success means: try again, look at the set-up, or never."""
        text = f"{receiver} answered {self.status}{': ' + detail if detail else ''}"
        if self.status < 400 or self.status >= 500 or self.status in _RETRY:
            return DeliveryError(text, retry_after=self.retry_after, answered=self.status not in _RETRY)
        if self.status in _OPERATOR:
            text += " (check its url and credentials)"
            return DeliveryError(text, retry_after=self.retry_after, answered=True)
        return DeliveryError(text, permanent=True)


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def check_url(url: str) -> str:
    """`url` without a trailing slash. Raises ValueError for plain HTTP off this machine, for credentials in it, and
    where no request could be made of it.
    """
    parts = urlsplit(url)
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("the port of a url is a number up to 65535") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"not an http or https url: {parts.scheme}://{parts.hostname or ''}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("a url is given without credentials, query and fragment")
    if not all("!" <= letter <= "~" for letter in parts.path):
        raise ValueError("the path of a url is ASCII without blanks: write others as %XX")
    if parts.scheme == "http" and not _loopback(parts.hostname):
        raise ValueError("plain http is for loopback only: use https")
    return url.rstrip("/")


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def tls_context(ca_file: str) -> ssl.SSLContext:
    """Verified TLS 1.2 or later, by the system's authorities or those in `ca_file`."""
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot read the certificates in {ca_file}: {type(error).__name__}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Poster:
    """One kept-alive connection to `url`. `receiver` names it in errors; `seconds` bound a whole exchange."""

    def __init__(self, url: str, receiver: str, headers: Mapping[str, str], *, ca_file: str, seconds: float) -> None:
        parts = urlsplit(check_url(url))
        self._host, self._port, self._base = parts.hostname or "", parts.port, parts.path
        self._tls = tls_context(ca_file) if parts.scheme == "https" else None
        self._receiver, self._headers, self._seconds = receiver, dict(headers), seconds
        self._connection: http.client.HTTPConnection | None = None

    def post(self, path: str, body: bytes, headers: Mapping[str, str], *, compress: bool = False) -> Reply:
        """POST `body` (gzip when `compress`) and read the answer. Raises DeliveryError when there is none to be had."""
        sent = {"Content-Type": "application/json", "User-Agent": "keytrail"} | self._headers | dict(headers)
        if compress:
            body = gzip.compress(body, compresslevel=5, mtime=0)
            sent["Content-Encoding"] = "gzip"
        reused = self._connection is not None
        try:
            return self._exchange(path, body, sent)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            stale = isinstance(error, (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError))
            if not (reused and stale):  # else: it was closed for idleness; every body may be sent twice
                raise self._unreachable(error) from None
        try:
            return self._exchange(path, body, sent)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._unreachable(error) from None

    def close(self) -> None:
        """Drop the connection; the next post opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _unreachable(self, error: Exception) -> DeliveryError:
        """The error by its kind alone: its text could repeat what was sent."""
        return DeliveryError(f"{self._receiver} cannot be reached: {type(error).__name__}")

    def _exchange(self, path: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        connection = self._connection = self._connection or self._connect()
        if connection.sock is None:
            connection.connect()
        over = threading.Event()
        watchdog = threading.Timer(self._seconds, _cut, (connection.sock, over))
        watchdog.daemon = True
        watchdog.start()
        try:
            connection.request("POST", self._base + path, body, dict(headers))
            with connection.getresponse() as response:
                content = response.read(REPLY_MAX)
        finally:
            watchdog.cancel()
        if response.length or over.is_set():  # cut off, or longer than anything we ask for
            raise http.client.IncompleteRead(b"")
        if response.will_close:
            self.close()
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, content)

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._seconds)
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._seconds, context=self._tls)


def _cut(sock: socket.socket, over: threading.Event) -> None:
    """End an exchange that drips on for ever: whoever waits for it gets an error."""
    over.set()
    with contextlib.suppress(OSError):  # it ended by itself meanwhile
        sock.shutdown(socket.SHUT_RDWR)
