"""The documents say what is so: commands, outputs, folders, configuration."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.command import keytrail
from tests.house import documents
from tests.house.documents import ROOT
from tests.lakes import SAMPLES, run

README = (ROOT / "README.md").read_text("utf-8")
PAGES = sorted(
    [*ROOT.glob("*.md"), ROOT / "sample_logs" / "README.md"]
    + [page for folder in ("docs", "pipeline", "detectors") for page in (ROOT / folder).rglob("*.md")]
)


def same_or_written(path: Path, text: str) -> None:
    """The file holds exactly this text; or it is written, when that was asked for."""
    if documents.WRITE:
        path.write_text(text, "utf-8")
    assert path.read_text("utf-8") == text, f"{path.name} is out of date: KEYTRAIL_WRITE_DOCS=1 writes it"


def test_the_readme_prints_what_the_commands_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of README.md, in order, where keytrail never ran before, ends and prints as it says there."""
    (tmp_path / "sample_logs").symlink_to(SAMPLES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME")
    told = documents.commands(README)
    results = [documents.printed(command.words) for command in told]
    if documents.WRITE:
        (ROOT / "README.md").write_text(documents.with_outputs(README, [output for _, output in results]), "utf-8")
        told = documents.commands((ROOT / "README.md").read_text("utf-8"))
    assert [code for code, _ in results] == [10 if "run" in command.words else 0 for command in told]
    for command, (_, output) in zip(told, results, strict=True):
        assert documents.steady(command.output) == documents.steady(output), command.line


def test_make_run_is_what_the_readme_shows() -> None:
    """`make run` runs the very command whose output stands in README.md."""
    assert f"keytrail {' '.join(documents.MAKE_RUN)} " in (ROOT / "Makefile").read_text("utf-8")


def test_every_command_is_in_the_readme() -> None:
    """The table has each command of the help, in its order, and none besides."""
    rows = re.findall(r"^\| `keytrail (\w+)", README, re.MULTILINE)
    assert list(dict.fromkeys(rows)) == documents.command_names()


def test_illustrations_use_options_that_exist() -> None:
    """Every command and option in a document, run there or not, is one that keytrail has."""
    known: dict[str, str] = {}
    for page in PAGES:
        text = page.read_text("utf-8")
        lines = re.findall(r"`(keytrail [^`]+)`", text) + re.findall(
            r"^(?:\$ )?(?:.*\| )?(keytrail .+)$", text, re.MULTILINE
        )
        for line in lines:
            words = line.partition("  #")[0].replace("\\|", " ").split()
            if words[1].startswith(("-", "COMMAND")):
                continue
            assert words[1] in documents.command_names(), f"{page}: {line}"
            grouped = words[1] in {"verify", "detectors", "ledger"} and bool(words[2:])
            sub = words[2] if grouped and words[2].isalpha() and words[2].islower() else ""
            name = f"{words[1]} {sub}".strip()
            if name not in known:
                known[name] = keytrail(*name.split(), "--help").stdout
            for option in re.findall(r"(?<= )--[a-z][a-z-]*", line.partition("  #")[0]):
                assert option in known[name], f"{page}: {line}"


def test_no_page_knows_a_machine() -> None:
    """No document names a folder of somebody's machine."""
    for page in PAGES:
        found = re.findall(r"(?<![\w.])/(?:work|root|home|tmp|Users)/\S*", page.read_text("utf-8"))
        assert not found, f"{page}: {found}"


def test_links_lead_somewhere() -> None:
    """Every relative link of a document is a file or folder of the tree."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_the_map_is_the_tree() -> None:
    """ARCHITECTURE.md names every room and module of pipeline/, and nothing that is not there."""
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    inside = ROOT / "pipeline"
    for room in inside.iterdir():
        if room.is_dir() and room.name != "__pycache__":
            assert f"`pipeline/{room.name}/" in text, room
        elif room.suffix == ".py" and room.name != "__init__.py":
            assert room.name in text, room
    for named in re.findall(r"`((?:pipeline|detectors|notebooks|tests|docs)/[\w/.]*)`", text):
        assert (ROOT / named).exists(), named


def test_the_configuration_of_the_readme_is_accepted(tmp_path: Path) -> None:
    """Every TOML block passes `keytrail check`, which shows the values as the file's."""
    for block in re.findall(r"```toml\n(.*?)```", README, re.DOTALL):
        config = tmp_path / "keytrail.toml"
        config.write_text(block)
        done = keytrail("check", "--config", config, "--format", "json")
        assert done.code == 0, done.error
        assert {row["from"] for row in done.rows} == {"default", str(config)}


def test_the_suppression_of_the_readme_works(tmp_path: Path) -> None:
    """Under the README's config the backup's snapshot goes to the log, with the reason, instead of a ticket."""
    tables = tomllib.loads(re.findall(r"```toml\n(.*?)```", README, re.DOTALL)[0])
    run(tmp_path / "lake", SAMPLES / "vault" / "torn_file", tables={"alerts": tables["alerts"]})
    rows = keytrail("alerts", "--lake", tmp_path / "lake", "--format", "json").rows
    (snapshot,) = [row for row in rows if "napshot" in row["title"]]
    assert snapshot["route"] == "log"
    assert tables["alerts"]["suppressions"][0]["reason"] in snapshot["suppression"]


def test_the_commands_page_is_the_help(monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/commands.md is what `--help` prints."""
    monkeypatch.setenv("COLUMNS", "100")
    same_or_written(ROOT / "docs" / "commands.md", documents.commands_page())


def test_the_lake_page_has_the_views(small_lake: Path) -> None:
    """docs/lake.md lists every view's columns and types as they are."""
    path = ROOT / "docs" / "lake.md"
    prose, heading, _ = path.read_text("utf-8").partition("## Views\n\n")
    same_or_written(path, prose + heading + documents.views_section(small_lake))
