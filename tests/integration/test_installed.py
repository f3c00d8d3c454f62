"""keytrail as a user installs it: a wheel in an environment of its own, away from the source tree."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.scenarios.vault_lines import pairs

pytestmark = [pytest.mark.slow, pytest.mark.integration]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `keytrail` command of a fresh environment made by `pip install` from a copy of the source."""
    home = tmp_path_factory.mktemp("installed")
    source = home / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".git", ".venv", "lake", "__pycache__", ".*_cache"))
    venv.create(home / "env", with_pip=True)
    pip = [str(home / "env" / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    done = subprocess.run([*pip, str(source)], capture_output=True, text=True, check=False, cwd=home)
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip(f"the package index is out of reach: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    shutil.rmtree(source)
    return home / "env" / "bin" / "keytrail"


def call(command: Path, *words: str, home: Path) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": os.defpath, "HOME": str(home), "LANG": "C.UTF-8"}
    return subprocess.run([command, *words], capture_output=True, text=True, check=False, cwd=home, env=clean)


def test_run_and_look(installed: Path, tmp_path: Path) -> None:
    """From a foreign folder: run, query, alerts and a detector's page work, with nothing of the source tree about."""
    (tmp_path / "audit.log").write_bytes(pairs(range(20)))
    ran = call(installed, "run", "audit.log", "--format", "json", home=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["operations"] == 20
    asked = call(installed, "query", "SELECT count(*) AS n FROM operations", "--format", "csv", home=tmp_path)
    assert asked.stdout == "n\n20\n"
    assert call(installed, "alerts", "--format", "json", home=tmp_path).returncode == 0
    page = call(installed, "detectors", "explain", "rate", home=tmp_path)
    assert (page.returncode, page.stdout[:1]) == (0, "#")
    report = call(installed, "report", "access-review", "--out", "reports", home=tmp_path)
    assert report.returncode == 0, report.stderr
    assert list((tmp_path / "reports").rglob("*.html"))


def test_every_detector_came_along(installed: Path, tmp_path: Path) -> None:
    """The installed suite is the one in the source tree, each with its cases."""
    listed = call(installed, "detectors", "list", "--format", "json", home=tmp_path)
    names = {json.loads(line)["name"] for line in listed.stdout.splitlines()}
    assert names == {path.parent.name for path in (ROOT / "detectors").glob("*/README.md")}
    tested = call(installed, "detectors", "test", "--format", "json", home=tmp_path)
    assert tested.returncode == 0, tested.stdout[-2000:] + tested.stderr
    assert {json.loads(line)["detector"] for line in tested.stdout.splitlines()} == names


def test_version(installed: Path, tmp_path: Path) -> None:
    """The command knows the version that was installed."""
    shown = call(installed, "--version", home=tmp_path)
    python = installed.parent / "python"
    asked = subprocess.run(
        [python, "-c", "import importlib.metadata as m; print(m.version('keytrail'))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert asked.stdout.strip() in shown.stdout
    assert sys.version_info >= (3, 11)
