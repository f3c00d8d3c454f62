"""The house rules that a tool can check."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_imports_point_one_way() -> None:
    """Every import contract in pyproject.toml holds."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_contracts_name_every_module() -> None:
    """Each module and room of the pipeline has its layer, and all but the core are closed to detectors."""
    layers, closed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][
        :2
    ]
    there = {f"pipeline.{file.stem}" for file in (ROOT / "pipeline").glob("[a-z]*.py")}
    there |= {f"pipeline.{file.parent.name}" for file in (ROOT / "pipeline").glob("*/__init__.py")}
    assert {name.strip() for layer in layers["layers"] for name in layer.split("|")} == there
    assert set(closed["forbidden_modules"]) == there - {"pipeline.core"}


def test_types_hold() -> None:
    """mypy in strict mode has nothing to say."""
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_style_holds() -> None:
    """ruff has nothing to say about the code or its layout."""
    for command in (("check", "."), ("format", "--check", ".")):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


def test_no_detector_needs_another() -> None:
    """Deleting a detector's folder takes nothing with it: what several share stands beside them, with an underscore."""
    imported = {
        (file.relative_to(ROOT / "detectors").parts[0], name)
        for file in (ROOT / "detectors").glob("[a-z]*/**/*.py")
        for name in re.findall(r"\bdetectors\.([a-z]\w*)", file.read_text("utf-8"))
    }
    assert imported
    assert [(own, other) for own, other in sorted(imported) if own != other] == []


def test_no_command_waits_for_what_few_need() -> None:
    """A command's start does not import what only few need: a second and more, for those who use them."""
    asked = (
        "import sys, pipeline.cli; print(*sorted({'sklearn', 'sigma', 'hvac', 'rfc3161_client'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
