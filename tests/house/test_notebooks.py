"""Notebooks: checked, run as scripts, and their own tests run, over a small lake; over an empty and a hostile one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.documents import ROOT
from tests.lakes import SAMPLES, run

pytest.importorskip("marimo", reason="notebooks need the extra 'notebook'")

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))


def python(lake: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python over a lake; a marimo that finds pytest's own variables takes itself for a part of this test."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, *map(str, words)], cwd=ROOT, env={**kept, "KEYTRAIL_LAKE": str(lake)}, check=False,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


# Notebooks as scripts over lakes, in one process: what one costs is mostly to import what all of them use.
SCRIPTS = """
import os, runpy, sys
for lake, path in zip(sys.argv[1::2], sys.argv[2::2]):
    os.environ["KEYTRAIL_LAKE"] = lake
    try:
        runpy.run_path(path, run_name="__main__")
    except Exception as error:
        print(f"{lake} {path}: {error}")
"""


def test_notebooks_are_well_formed(small_lake: Path) -> None:
    """`marimo check` has nothing to say."""
    done = python(small_lake, "-m", "marimo", "check", "--strict", *NOTEBOOKS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_notebooks_are_scripts(small_lake: Path, tmp_path: Path) -> None:
    """They run from top to bottom without a warning: over a lake, over one of nothing, and over one with names that are
    markup, quotes and braces."""
    for name, text in (("empty", ""), ("hostile", hostile())):
        (tmp_path / f"{name}.log").write_text(text)
        run(tmp_path / name, tmp_path / f"{name}.log")
    pairs = [(small_lake, path) for path in NOTEBOOKS]
    pairs += [(tmp_path / "empty", path) for path in NOTEBOOKS if path.stem != "first_look"]  # which wants operations
    pairs += [(tmp_path / "hostile", path) for path in NOTEBOOKS if path.stem == "debug"]  # which asks for chosen names
    done = python(small_lake, "-W", "error", "-c", SCRIPTS, *(word for pair in pairs for word in pair))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def hostile() -> str:
    """The smallest story, with names that would act where they are not taken as text."""
    text = (SAMPLES / "vault" / "torn_file" / "audit.log").read_text("utf-8", "replace")
    return text.replace("payments", "<img src=x onerror=alert(1)>{{7*7}}'); DROP TABLE x; --")


def test_notebooks_are_tested(small_lake: Path) -> None:
    """pytest finds the test cells of each, and they hold."""
    done = python(small_lake, "-m", "pytest", "-v", "-p", "no:cacheprovider", *NOTEBOOKS)
    assert done.returncode == 0, done.stdout
    assert {path for path in NOTEBOOKS if f"{path.name}::test_" not in done.stdout} == set()


def test_notebooks_without_a_lake_say_so(tmp_path: Path) -> None:
    """The error names the folder and what to do."""
    none = tmp_path / "none"
    done = python(none, "-c", SCRIPTS, *(word for path in NOTEBOOKS for word in (none, path)))
    assert [line.partition(": ")[0] for line in done.stdout.splitlines()] == [f"{none} {path}" for path in NOTEBOOKS]
    assert done.stdout.count("there is no lake in") == len(NOTEBOOKS)


def test_no_name_of_a_log_stands_in_markup() -> None:
    """In what is rendered as Markdown there are counts, times and the lake's folder alone."""
    allowed = {"told", "lake", "period"}
    for notebook in NOTEBOOKS:
        for text in re.findall(r"mo\.md\(\s*f(\"{3}.*?\"{3}|\".*?\")", notebook.read_text("utf-8"), re.DOTALL):
            names = {part.split("[")[0].strip("{") for part in re.findall(r"\{\w+", text)}
            assert names <= allowed, f"{notebook.name}: {names}"
