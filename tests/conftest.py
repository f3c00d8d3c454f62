"""What holds for every test: how long counterexamples are looked for, and that the user's own files are left alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.chaos.table import table
from tests.lakes import SAMPLES, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.kafka.broker import Broker

# A few examples on every change, more in `make chaos`, many where somebody asked for it: HYPOTHESIS_PROFILE=thorough.
_COMMON = settings(
    deadline=None,
    derandomize=True,  # a change is judged on the same examples as the change before; thorough looks further
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],  # explaining can take many minutes
)
settings.register_profile("quick", _COMMON, max_examples=10)
settings.register_profile("more", _COMMON, max_examples=25)
settings.register_profile("thorough", _COMMON, max_examples=500, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table of docs/reliability.md, from this run. Here since it is the process that hands tests out that tells."""
    for line in table(terminalreporter.stats):
        terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def _own_config_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Signing keys made by a test land in a folder of the test."""
    folder = tmp_path_factory.getbasetemp() / "config"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def small_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of the smallest sample story, its signing key beside it. To be read; who changes one copies it first."""
    lake = tmp_path_factory.mktemp("small") / "lake"
    run(lake, SAMPLES / "vault" / "torn_file")
    return lake


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running Kafka broker, one for all tests of a process; with a listener SECURE, if it is ours."""
    from tests.integration.kafka.broker import outside, running, secured  # noqa: PLC0415  for those who use it
    from tests.integration.kafka.cluster import required  # noqa: PLC0415
    from tests.receivers.syslog import certificate  # noqa: PLC0415

    required()
    folder = tmp_path_factory.mktemp("broker")
    with running(folder / "kafka", **({} if outside() else secured(certificate(folder)))) as made:
        yield made
