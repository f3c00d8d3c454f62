"""Notebooks: checked, run as scripts, and their own tests run, over a small lake."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.documents import ROOT

pytest.importorskip("marimo", reason="notebooks need the extra 'notebook'")

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))


def python(lake: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python over a lake; a marimo that finds pytest's own variables takes itself for a part of this test."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, *map(str, words)], cwd=ROOT, env={**kept, "KEYTRAIL_LAKE": str(lake)}, check=False,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_well_formed(notebook: Path, small_lake: Path) -> None:
    """`marimo check` has nothing to say."""
    done = python(small_lake, "-m", "marimo", "check", "--strict", notebook)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_a_script(notebook: Path, small_lake: Path) -> None:
    """It runs from top to bottom without a warning."""
    done = python(small_lake, "-W", "error", notebook)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_tested(notebook: Path, small_lake: Path) -> None:
    """pytest finds its test cells, and they hold."""
    done = python(small_lake, "-m", "pytest", "-q", "-p", "no:cacheprovider", notebook)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_without_a_lake_says_so(notebook: Path, tmp_path: Path) -> None:
    """The error names the folder and what to do."""
    done = python(tmp_path / "none", notebook)
    assert done.returncode != 0
    assert "there is no lake in" in done.stderr
