"""Documents that are executed: commands with their output, and references made from the code.

A `console` block of README.md holds commands (`$ …`) each with what it prints, stderr included. KEYTRAIL_WRITE_DOCS=1
writes what is printed now in place of what stands there, so that nobody types it.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pipeline.store.tables import VIEWS
from tests.command import keytrail

ROOT = Path(__file__).parents[2]
WRITE = os.environ.get("KEYTRAIL_WRITE_DOCS") == "1"
MAKE_RUN = ("run", "sample_logs", "--lake", "lake")  # what `make run` does once everything is installed
_BLOCK = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)

# What differs from run to run by design.
_VARYING = (
    (re.compile(r"\bin [\d.]+ s \([\d,]+ entries/s\)"), "in T"),
    (re.compile(r"\b(?:[0-9a-f]{64}|keytrail/[0-9a-f]{16}\S*)"), "KEY"),
)


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a document and what the document says it prints."""

    words: tuple[str, ...]
    line: str
    output: str


def commands(text: str) -> list[Command]:
    """The commands of all console blocks, in order."""
    found = []
    for block in _BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, output = part.partition("\n")
            found.append(Command(tuple(shlex.split(line, comments=True)), line, output))
    return found


def with_outputs(text: str, outputs: list[str]) -> str:
    """The document with other outputs, one a command."""
    rest = iter(outputs)

    def block(found: re.Match[str]) -> str:
        lines = [line for line in found[0].splitlines() if line.startswith("$ ")]
        return "".join(f"{line}\n{next(rest)}" for line in lines)

    return _BLOCK.sub(block, text)


def printed(words: tuple[str, ...]) -> tuple[int, str]:
    """Exit code and output of a command of a document, as a terminal shows them."""
    done = keytrail(*(MAKE_RUN if words == ("make", "run") else words[1:]))
    return done.code, done.both


def steady(text: str) -> str:
    """A command's output without what differs from run to run."""
    for pattern, word in _VARYING:
        text = pattern.sub(word, text)
    return text


@cache
def command_names() -> list[str]:
    """Every command in the order of the help, subcommands of `verify` after it."""
    lines = keytrail("--help").stdout.split("Commands:\n")[1].splitlines()
    return [line.split()[0] for line in lines]


def commands_page() -> str:
    """docs/commands.md: the help of every command."""
    parts = ["# Commands\n\nWhat `keytrail COMMAND --help` prints, for every command.\n"]
    for name in command_names():
        text = keytrail(name, "--help").stdout
        parts.append(f"## keytrail {name}\n\n```\n{text.strip()}\n```\n")
        listed = text.split("Commands:\n")[1].splitlines() if "Commands:\n" in text else []
        for sub in (line.split()[0] for line in listed):
            parts.append(f"### keytrail {name} {sub}\n\n```\n{keytrail(name, sub, '--help').stdout.strip()}\n```\n")
    return "\n".join(parts)


def views_section(lake: Path) -> str:
    """The end of docs/lake.md: every view with its columns and their types."""
    parts = []
    for view in VIEWS:
        rows = keytrail("query", f"DESCRIBE {view}", "--lake", lake, "--format", "json").rows
        columns = "\n".join(f"| `{row['column_name']}` | {row['column_type'].lower()} |" for row in rows)
        parts.append(f"### {view}\n\n| column | type |\n|---|---|\n{columns}\n")
    return "\n".join(parts)
