"""The thread that owns the client, without a broker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.core.errors import SourceError
from pipeline.sources.kafka import Config, pump
from pipeline.sources.kafka import facts as room
from pipeline.sources.kafka.client import KafkaTimeoutError
from pipeline.sources.kafka.facts import Facts


class Client:
    """A client whose broker has gone after it was reached."""

    def __init__(self) -> None:
        self.closed = False
        self._fetcher, self._net = SimpleNamespace(), SimpleNamespace(sleep=None)

    def end_offsets(self, partitions: Any) -> Any:
        raise KafkaTimeoutError(f"no answer for {len(partitions)}")

    def close(self, **_options: Any) -> None:
        self.closed = True


def test_a_broker_lost_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that goes before the group is joined is a SourceError, and the client is closed."""
    client = Client()
    monkeypatch.setattr(pump, "connected", lambda _options: client)
    facts = Facts("cluster", {"audit": "id"}, {"audit": (0, 1)}, {"audit": "delete"})
    made = pump.Pump(Config(), facts, ["audit"], {}, follow=False)
    with pytest.raises(SourceError, match="KafkaTimeoutError"):
        made.start()
    assert client.closed


def test_a_refused_log_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client tells of a refused log-in as of a broker that is away; where there is one, it is named as well."""

    def client(**_options: Any) -> Any:
        raise KafkaTimeoutError

    monkeypatch.setattr(room, "KafkaAdminClient", client)
    for protocol, said in (("SASL_SSL", "refused the log-in or certificate"), ("SSL", "refused the certificate")):
        with pytest.raises(SourceError, match=said):
            room.ask(["broker:9092"], ["audit"], {"security_protocol": protocol})
    with pytest.raises(SourceError, match=r"does not answer: KafkaTimeoutError$"):
        room.ask(["broker:9092"], ["audit"], {"security_protocol": "PLAINTEXT"})
