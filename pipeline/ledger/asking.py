"""One HTTP request to a witness or a time-stamping authority. No redirects are followed, no proxy is asked."""

from __future__ import annotations

import http.client
from typing import NamedTuple
from urllib.parse import urlsplit

from pipeline.core.errors import ConfigError

MAX_ANSWER = 1 << 20


class Answer(NamedTuple):
    """At most MAX_ANSWER bytes of it."""

    status: int
    kind: str  # content type
    body: bytes


def usable(url: str, what: str) -> None:
    """Raises ConfigError unless it is an http or https address without a user in it."""
    try:
        place = urlsplit(url)
        fine = place.scheme in {"http", "https"} and place.hostname and place.port != 0
    except ValueError:
        fine = False
    if not fine:
        raise ConfigError(f"{what}: {url} is not an http or https address")
    if place.username is not None:
        raise ConfigError(f"{what}: the address may not hold a user or password")


def post(url: str, body: bytes, kind: str, seconds: float) -> Answer:
    """What came back. Raises OSError or HTTPException when nothing did within `seconds` of silence."""
    place = urlsplit(url)
    connect = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    connection = connect(place.netloc, timeout=seconds)
    try:
        target = (place.path or "/") + (f"?{place.query}" if place.query else "")
        connection.request("POST", target, body, {"Content-Type": kind})
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers.get_content_type(), answer.read(MAX_ANSWER))
    finally:
        connection.close()
