"""Batches of any size, each gone through the whole line at once, give the same lake on recorded and simulated logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline import line
from tests.lakes import SAMPLES, differences, real_logs, run

if TYPE_CHECKING:
    from pathlib import Path


def cut_in(size: int, logs: Path, lakes: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """In what a run that does so many entries at a time differs from one that does all at once."""
    run(lakes / "whole" / "lake", logs, batch=None)
    monkeypatch.setattr(line, "STRETCH", size)
    run(lakes / "cut" / "lake", logs, batch=size)
    return differences(lakes / "cut" / "lake", lakes / "whole" / "lake")


@pytest.mark.parametrize("name", ["vault-didentity", "vault-ops-agent", "vault-testdrivenio", "vault-trenner"])
@pytest.mark.parametrize("batch", [1, 7])
def test_small_recordings_cut_small(name: str, batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 1 and 7 leave the same lake as everything at once."""
    assert cut_in(batch, real_logs(name), tmp_path, monkeypatch) == []


@pytest.mark.parametrize("batch", [pytest.param(7, marks=pytest.mark.slow), 61, 1000])
def test_five_devices_cut_small(batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same holds for five devices of one store, read side by side."""
    assert cut_in(batch, real_logs("openbao-live"), tmp_path, monkeypatch) == []


def test_samples_cut_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same holds for a sample story with an attack, findings and alerts in it."""
    assert cut_in(211, SAMPLES / "vault" / "audit_off", tmp_path, monkeypatch) == []


@pytest.mark.parametrize("most", [1, 40])
def test_a_way_gone_in_steps(most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is released at once may be gone through in steps of any size, too."""
    logs = real_logs("vault-ops-agent")
    run(tmp_path / "whole" / "lake", logs, batch=None)
    monkeypatch.setattr(line, "STRETCH", most)
    run(tmp_path / "steps" / "lake", logs, batch=None)
    assert differences(tmp_path / "steps" / "lake", tmp_path / "whole" / "lake") == []
