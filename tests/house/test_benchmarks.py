"""Benchmarks that reach into the rooms they measure still run, over little: figures are not looked at.

The others run whole commands, or cannot be made small.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.house.documents import ROOT

SMALL = {
    "decode": ["400"],
    "line": ["--entries", "3000", "--rounds", "1", "--stages"],
    "cloudtrail": ["20"],
    "formats": ["40"],
    "scan": ["1"],
}


@pytest.mark.parametrize("name", SMALL)
def test_runs(name: str) -> None:
    """It ends well and says something of each thing that it measures."""
    command = [sys.executable, "-m", f"tests.bench.bench_{name}", *SMALL[name]]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.splitlines()) > 2
