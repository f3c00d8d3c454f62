"""The whole loop: a canary to a store, its lines on two devices, a run that follows them, and back out of the lake."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from tests.lakes import view
from tests.processes import keytrail, start
from tests.vault_double import TOKEN, VaultDouble

pytest.importorskip("hvac", reason="the probe's extra is not installed")
KEY = "the canary's key"


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[VaultDouble]:
    """A store with two devices, and the configuration of its canary."""
    (tmp_path / "logs").mkdir()
    devices = [tmp_path / "logs" / name for name in ("main.log", "second.log")]
    for device in devices:
        device.touch()
    (tmp_path / "key").write_text(KEY)
    with VaultDouble(*devices) as double:
        (tmp_path / "keytrail.toml").write_text(
            f'[canary]\nkey = {{ file = "{tmp_path / "key"}" }}\n[probe]\naddress = "{double.address}"\n'
            f'numbers = "{tmp_path / "numbers"}"\ninterval_seconds = 0.1\n'
        )
        yield double
        assert double.faults == []


def test_every_canary_comes_back(vault: VaultDouble, tmp_path: Path) -> None:
    """Each is found in the lake on both devices, and the canaries are whole by their numbers and MACs."""
    lake, config = tmp_path / "lake", tmp_path / "keytrail.toml"
    following = start("run", "--follow", tmp_path / "logs", "--lake", lake, "--config", config, home=tmp_path)
    words = ("probe", "--lake", lake, "--config", config, "--count", "3", "--timeout", "60", "--format", "json")
    try:
        done = keytrail(*words, home=tmp_path, timeout=240, BAO_TOKEN=TOKEN)
    finally:
        following.send_signal(signal.SIGTERM)
        _, told = following.communicate(timeout=60)
    assert following.returncode == 0, told
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["number"], row["outcome"], row["devices"]) for row in rows] == [(n, "success", 2) for n in (1, 2, 3)]
    assert all(0 < row["return_seconds"] < 60 for row in rows)
    assert view(lake, "integrity").filter(pl.col("cause").str.starts_with("canary")).is_empty()
    assert TOKEN not in done.stdout + done.stderr
    assert KEY not in done.stdout + done.stderr


def test_a_canary_that_does_not_come_back_is_a_failure(vault: VaultDouble, tmp_path: Path) -> None:
    """Nobody fills the lake: the read succeeded, the trail did not."""
    words = ("probe", "--lake", tmp_path / "lake", "--config", tmp_path / "keytrail.toml", "--timeout", "1")
    done = keytrail(*words, home=tmp_path, VAULT_TOKEN=TOKEN)
    assert done.returncode == 1, done.stderr
    assert "not in the lake within 1 s" in done.stdout
    calm = keytrail(*words[:-1], "0", home=tmp_path, VAULT_TOKEN=TOKEN)
    assert calm.returncode == 0, calm.stderr


def test_what_is_missing_is_said(vault: VaultDouble, tmp_path: Path) -> None:
    """A token, a key and an address are asked for by name, and nothing is sent."""
    lake = tmp_path / "lake"
    assert keytrail("probe", "--lake", lake, home=tmp_path, BAO_TOKEN=TOKEN).returncode == 2
    words = ("probe", "--lake", lake, "--config", tmp_path / "keytrail.toml")
    without = keytrail(*words, home=tmp_path)
    assert (without.returncode, "probe needs a token" in without.stderr) == (2, True)
    assert vault.seen == []


def test_a_store_that_is_away_is_told(vault: VaultDouble, tmp_path: Path) -> None:
    """One that nobody listens for is unreachable, exit 1, and its number comes again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    words = ("probe", "--lake", tmp_path / "lake", "--config", tmp_path / "keytrail.toml", "--address", address)
    done = keytrail(*words, home=tmp_path, BAO_TOKEN=TOKEN)
    assert done.returncode == 1
    assert "not sent: the number is used again" in done.stdout
    assert (tmp_path / "numbers").read_text() == "0\n"
