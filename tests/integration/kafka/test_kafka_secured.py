"""Over TLS, with each way to log in: a topic is read and alerts are written; who is refused hears of it in time."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.core.errors import DeliveryError, SourceError
from pipeline.sinks import kafka as sink
from tests.integration.kafka.broker import CREDENTIALS, SECURE, Broker
from tests.integration.kafka.cluster import feed, read, stored
from tests.receivers.messages import message

pytestmark = pytest.mark.integration
NewTopic = Callable[..., str]
USER, WORD = next(iter(CREDENTIALS.items()))
WRONG = "hush-7f31c2"
SECONDS, LIMIT_SECONDS = 1.5, 12.0  # given to connect; in which it has been told


@pytest.fixture
def address(broker: Broker) -> str:
    """Of the listener with TLS and SASL."""
    if SECURE not in broker.ports:
        pytest.skip("KEYTRAIL_TEST_KAFKA names a broker of somebody else, whose listeners are not known")
    return broker.at(SECURE)


def token() -> str:
    """An unsecured JWS, as the broker's own test login takes it."""
    claims = {"sub": USER, "iat": time.time() - 5, "exp": time.time() + 600}
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "none"}, claims))
    return ".".join([part.decode() for part in parts] + [""])


def options(broker: Broker, mechanism: str) -> dict[str, Any]:
    shared = {
        "security_protocol": "SASL_SSL", "ssl_cafile": str(broker.folder.parent / "receiver.pem"),
        "sasl_mechanism": mechanism,
    }  # fmt: skip
    return shared if mechanism == "OAUTHBEARER" else {**shared, "sasl_plain_username": USER}


def secret(folder: Path, text: str) -> dict[str, str]:
    (folder / "secret").write_text(f"{text}\n", "utf-8")
    return {"file": str(folder / "secret")}


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512", "OAUTHBEARER"])
def test_logged_in(  # noqa: PLR0917
    broker: Broker, address: str, new_topic: NewTopic, lines: list[bytes], tmp_path: Path, mechanism: str
) -> None:
    """What was produced is stored, and a sink's alert is acknowledged."""
    topic, bearer = new_topic(), mechanism == "OAUTHBEARER"
    produced = feed(broker.address, topic, lines[:20])
    place, shared = secret(tmp_path, token() if bearer else WORD), options(broker, mechanism)
    table = {**shared, "sasl_oauth_token" if bearer else "sasl_plain_password": place}
    read(address, topic, tmp_path / "lake", tables={"sources": {"kafka": table}})
    assert stored(tmp_path / "lake") == produced
    given = {"servers": address, "topic": topic, "options": shared, "sasl_oauth_token" if bearer else "password": place}
    writer = sink.create(msgspec.convert(given, sink.Config))
    assert writer.send([message()]) == {}
    writer.close()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512", "OAUTHBEARER"])
def test_refused(broker: Broker, address: str, new_topic: NewTopic, tmp_path: Path, mechanism: str) -> None:
    """A wrong password or token is a plain error within the time given to connect; it does not stand in it."""
    topic, bearer = new_topic(), mechanism == "OAUTHBEARER"
    place, shared = secret(tmp_path, WRONG), options(broker, mechanism)
    table = {
        **shared, "sasl_oauth_token" if bearer else "sasl_plain_password": place, "bootstrap_timeout_seconds": SECONDS,
    }  # fmt: skip
    begun = time.monotonic()
    with pytest.raises(SourceError, match="does not answer: KafkaTimeoutError, or it has refused the log-in") as caught:
        read(address, topic, tmp_path / "lake", tables={"sources": {"kafka": table}})
    assert time.monotonic() - begun < LIMIT_SECONDS
    given = {
        "servers": address, "topic": topic, "options": shared, "timeout_seconds": SECONDS,
        "sasl_oauth_token" if bearer else "password": place,
    }  # fmt: skip
    begun = time.monotonic()
    with pytest.raises(DeliveryError) as undelivered:
        sink.create(msgspec.convert(given, sink.Config)).send([message()])
    assert time.monotonic() - begun < LIMIT_SECONDS
    assert WRONG not in f"{caught.value!r} {undelivered.value!r}"
