"""Batches of any size, each gone through the whole line at once, give the same lake on recorded and simulated logs."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest

from pipeline import line
from tests.lakes import SAMPLES, differences, real_logs, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """The lake of a run that does all of some logs at once, made once."""

    @cache
    def made(logs: Path) -> Path:
        lake = tmp_path_factory.mktemp("whole") / "lake"
        run(lake, logs, batch=None)
        return lake

    return made


@pytest.fixture
def cut_in(
    whole: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int, Path], list[str]]:
    """In what a run that does so many entries at a time differs from one that does all at once."""

    def differs(size: int, logs: Path) -> list[str]:
        once = whole(logs)
        monkeypatch.setattr(line, "STRETCH", size)
        run(tmp_path / "lake", logs, batch=size)
        return differences(tmp_path / "lake", once)

    return differs


@pytest.mark.parametrize(
    ("name", "batch"),
    [
        ("vault-testdrivenio", 7),
        pytest.param("vault-didentity", 1, marks=pytest.mark.slow),
        pytest.param("vault-trenner", 7, marks=pytest.mark.slow),
        pytest.param("vault-ops-agent", 1, marks=pytest.mark.slow),
        pytest.param("vault-testdrivenio", 1, marks=pytest.mark.slow),
        pytest.param("vault-trenner", 1, marks=pytest.mark.slow),
        pytest.param("vault-didentity", 7, marks=pytest.mark.slow),
        pytest.param("vault-ops-agent", 7, marks=pytest.mark.slow),
    ],
)
def test_small_recordings_cut_small(name: str, batch: int, cut_in: Callable[[int, Path], list[str]]) -> None:
    """Batches of 1 and 7 leave the same lake as everything at once."""
    assert cut_in(batch, real_logs(name)) == []


@pytest.mark.parametrize("batch", [*(pytest.param(size, marks=pytest.mark.slow) for size in (7, 1000)), 61])
def test_five_devices_cut_small(batch: int, cut_in: Callable[[int, Path], list[str]]) -> None:
    """The same holds for five devices of one store, read side by side."""
    assert cut_in(batch, real_logs("openbao-live")) == []


def test_samples_cut_small(cut_in: Callable[[int, Path], list[str]]) -> None:
    """The same holds for a sample story with an attack, findings and alerts in it."""
    assert cut_in(211, SAMPLES / "vault" / "audit_off") == []


@pytest.mark.parametrize("most", [1, 40])
def test_a_way_gone_in_steps(
    most: int, whole: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is released at once may be gone through in steps of any size, too."""
    logs = real_logs("vault-ops-agent")
    once = whole(logs)
    monkeypatch.setattr(line, "STRETCH", most)
    run(tmp_path / "lake", logs, batch=None)
    assert differences(tmp_path / "lake", once) == []
