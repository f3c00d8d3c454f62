"""The broker that tests run against."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.integration.kafka.broker import running


def test_a_broker_of_somebody_else_is_not_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever kills or pauses one that was not started here hears of it: going on would pass for a death survived."""
    monkeypatch.setenv("KEYTRAIL_TEST_KAFKA", "127.0.0.1:1")
    with running(tmp_path / "kafka") as broker:
        with pytest.raises(RuntimeError, match="somebody else"):
            broker.kill()
        with pytest.raises(RuntimeError, match="somebody else"):
            broker.send(signal.SIGSTOP)
