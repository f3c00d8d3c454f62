"""Posting: what an answer means, what may not be waited for, and where secrets do not go."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.core.errors import ConfigError, DeliveryError
from pipeline.sinks._http import Poster, Reply, check_url, tls_context
from tests.receivers.http import Answer, BadDay, Receiver, Request
from tests.receivers.syslog import certificate


class Plain(Receiver):
    def handle(self, request: Request) -> Answer:
        return Answer(200, b"{}")


POSTERS: list[Poster] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while POSTERS:
        POSTERS.pop().close()


def poster(url: str, seconds: float = 5.0, ca_file: str = "") -> Poster:
    POSTERS.append(Poster(url, "the test", {"Authorization": "Splunk hush"}, ca_file=ca_file, seconds=seconds))
    return POSTERS[-1]


@pytest.mark.parametrize(
    ("status", "permanent"),
    [
        *((status, True) for status in (400, 413, 422)),
        *((status, False) for status in (302, 401, 403, 404, 408, 410, 425, 429, 500, 502, 503, 504)),
    ],
)
def test_what_an_answer_means(status: int, permanent: bool) -> None:
    """A bad message is refused for good; a busy receiver and a wrong set-up are not the message's fault."""
    error = Reply(status, {}, b"").failure("x")
    assert error.permanent is permanent
    assert str(status) in str(error)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "Mon, 02 Mar 2026 08:00:30 GMT", "date": "Mon, 02 Mar 2026 08:00:00 GMT"}, 30.0),
        ({"retry-after": "Mon, 02 Mar 2020 08:00:30 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "9" * 400}, 999_999_999.0),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, or a date that counts from the answer's own; nonsense is no wish."""
    assert Reply(429, headers, b"").retry_after == seconds


@pytest.mark.parametrize(
    "url",
    ["http://siem.example/x", "ftp://x", "https://", "https://u:hush@x/", "https://x/?token=hush", "not a url",
     "https://x:99999/", "https://x:port/", "https://x/a b", "https://x/\u00e9"],
)  # fmt: skip
def test_urls_that_are_refused(url: str) -> None:
    """Plain HTTP off this machine, credentials, and what no request can be made of are refused; none is repeated."""
    with pytest.raises(ValueError, match=r"http|url") as raised:
        check_url(url)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize("url", ["https://x.example/a/", "http://127.0.0.1:80", "http://[::1]/", "http://localhost"])
def test_urls_that_are_taken(url: str) -> None:
    """https anywhere, http on loopback; a trailing slash is dropped."""
    assert check_url(url) == url.rstrip("/")


def test_a_connection_is_kept_and_renewed_when_it_went_stale() -> None:
    """Posts share a connection; one closed for idleness is opened again without a word."""
    with Plain() as receiver:
        post = poster(receiver.url)
        assert post.post("/a", b"1", {}).status == 200
        receiver.bad_days.append(BadDay())
        assert post.post("/b", b"2", {}, compress=True).status == 200
        assert [request.body for request in receiver.requests] == [b"1", b"2", b"2"]


def test_a_hang_up_on_a_fresh_connection_is_a_failure() -> None:
    """A receiver that hangs up on a new connection is not asked twice, and the error holds nothing that was sent."""
    with Plain() as receiver:
        receiver.bad_days.append(BadDay())
        with pytest.raises(DeliveryError, match="the test cannot be reached: RemoteDisconnected") as raised:
            poster(receiver.url).post("", b"body", {})
        assert "hush" not in repr(raised.value)
        assert len(receiver.requests) == 1


@pytest.mark.parametrize("day", [BadDay(drip=True), BadDay(sleep=20)])
def test_a_receiver_that_drips_or_sleeps_is_cut_off(day: BadDay) -> None:
    """An exchange ends within its time, whether the receiver says nothing or something for ever."""
    with Plain() as receiver:
        receiver.bad_days.append(day)
        with pytest.raises(DeliveryError, match="cannot be reached"):
            poster(receiver.url, seconds=0.3).post("", b"", {})


def test_redirects_are_not_followed() -> None:
    """A token goes where the config says and nowhere else."""
    with Plain() as there, Plain() as here:
        here.bad_days.append(BadDay(Answer(307, b"", {"Location": there.url})))
        assert poster(here.url).post("", b"", {}).status == 307
        assert there.requests == []


def test_nobody_there() -> None:
    """A closed port is a failure that may pass."""
    with Plain() as receiver:
        url = receiver.url
    with pytest.raises(DeliveryError, match="ConnectionRefusedError") as raised:
        poster(url).post("", b"", {})
    assert not raised.value.permanent


def test_tls_is_verified(tmp_path: Path) -> None:
    """A certificate of an unknown authority, or of another host, gets no byte of ours; the right one does."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    (tmp_path / "other").mkdir()
    (tmp_path / "right").mkdir()
    right, other = certificate(tmp_path / "right"), certificate(tmp_path / "other", "elsewhere.example")
    for pem, trusted, works in ((right, right, True), (right, None, False), (other, other, False)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                pass

        server = Quiet(("127.0.0.1", 0), Handler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        post = poster(f"https://127.0.0.1:{server.server_address[1]}", ca_file=str(trusted or ""))
        if works:
            assert post.post("", b"", {}).status == 204
        else:
            with pytest.raises(DeliveryError, match="SSLCertVerificationError"):
                post.post("", b"", {})
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_missing_authority_file_is_a_config_error(tmp_path: Path) -> None:
    """It is said at the start, not at the first alert."""
    with pytest.raises(ConfigError, match=r"nowhere\.pem"):
        tls_context(str(tmp_path / "nowhere.pem"))
