"""Batches of any size give the same lake on recorded and simulated logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lakes import SAMPLES, differences, real_logs, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["vault-didentity", "vault-ops-agent", "vault-testdrivenio", "vault-trenner"])
@pytest.mark.parametrize("batch", [1, 7])
def test_small_recordings_cut_small(name: str, batch: int, tmp_path: Path) -> None:
    """Batches of 1 and 7 leave the same lake as everything at once."""
    logs = real_logs(name)
    for cut in (batch, None):
        run(tmp_path / str(cut) / "lake", logs, batch=cut)
    assert differences(tmp_path / str(batch) / "lake", tmp_path / "None" / "lake") == []


@pytest.mark.parametrize("batch", [7, 1000])
def test_five_devices_cut_small(batch: int, tmp_path: Path) -> None:
    """The same holds for five devices of one store, read side by side."""
    logs = real_logs("openbao-live")
    for cut in (batch, None):
        run(tmp_path / str(cut) / "lake", logs, batch=cut)
    assert differences(tmp_path / str(batch) / "lake", tmp_path / "None" / "lake") == []


def test_samples_cut_small(tmp_path: Path) -> None:
    """The same holds for a sample story with an attack, findings and alerts in it."""
    for cut in (211, None):
        run(tmp_path / str(cut) / "lake", SAMPLES / "vault" / "audit_off", batch=cut)
    assert differences(tmp_path / "211" / "lake", tmp_path / "None" / "lake") == []
