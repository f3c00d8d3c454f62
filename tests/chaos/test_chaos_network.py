"""A broker that is slow to reach, out of reach without a word, or hangs up, while a worker follows a busy topic."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.chaos.conftest import Told
from tests.chaos.proxy import Proxy, proxy
from tests.chaos.test_chaos_kafka_live import producing
from tests.integration.kafka.broker import free_port, running
from tests.integration.kafka.cluster import make_topic, required, stored, until
from tests.integration.kafka.workers import group, made

pytestmark = [pytest.mark.integration, pytest.mark.slow]

FAR = "FAR"
PATIENCE = "request_timeout_seconds = 8\nreconnect_backoff_max_seconds = 0.5\n"
ROUNDS = 3


def _slow(network: Proxy) -> None:
    network.delay = 0.4
    time.sleep(8)
    network.delay = 0.0


def _cut_off(network: Proxy) -> None:
    """Past the session (3 s) and past the client's patience with a request."""
    network.cut = True
    time.sleep(12)
    network.cut = False


def _hung_up(network: Proxy) -> None:
    for _ in range(5):
        network.hang_up()
        time.sleep(0.5)


@pytest.mark.parametrize(
    ("fault", "harm"),
    [
        ("broker slow to reach, 0.4 s each way", _slow),
        ("broker out of reach for 12 s, then back", _cut_off),
        ("broker hangs up every half second", _hung_up),
    ],
)
def test_a_bad_network(fault: str, harm: object, many_lines: list[bytes], tmp_path: Path, told: Told) -> None:
    """The worker lives through it, makes up for what it missed, and stores every offset once."""
    required()
    port, topic = free_port(), "far"
    with running(tmp_path / "kafka", extra={FAR: "PLAINTEXT"}, advertised={FAR: port}) as broker:
        make_topic(broker.address, topic, 4)
        far = f"127.0.0.1:{port}"
        with (
            proxy(broker.ports[FAR], port) as network,
            group(tmp_path / "many", far, topic, PATIENCE) as some,
            producing(broker, topic, many_lines) as thread,
        ):
            some.begin("a")
            until(lambda: made(some.lake))
            for _ in range(ROUNDS):
                assert callable(harm)
                harm(network)
                assert some.alive("a"), some.text("a")
                before = sum(stored(some.lake).values())
                until(lambda before=before: sum(stored(some.lake).values()) > before, 60)
            produced = thread.end()
            some.holds(produced)
            assert network.passed > sum(map(len, many_lines[:100]))
            told(fault, ROUNDS, produced, some.lake)
            assert some.end("a") in {0, 10}, some.text("a")
