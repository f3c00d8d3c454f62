"""The stories in `sample_logs/`: made here, and made again the same by anybody."""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from pipeline.simulate.run import simulate
from pipeline.simulate.scenario import Attack, Scenario
from pipeline.simulate.stage import Incident

_LIVE_LINES = 56
_TORN_LINES = 90


@dataclass(frozen=True)
class Story:
    """A scenario with a headline. `expected` names per attack the detectors that ought to see it."""

    name: str
    headline: str
    scenario: Scenario
    expected: dict[str, tuple[str, ...]] = field(default_factory=dict)
    integrity: tuple[str, ...] = ()
    torn: bool = False


STORIES = (
    Story(
        "quiet_days",
        "Four ordinary days: deploys, and a night in which the secrets of all teams are rotated. Nothing is wrong.",
        Scenario(days=4, rate=0.1, seed=11, preset="xs", confusers=("deploy", "rotation_storm")),
    ),
    Story(
        "stolen_approle",
        "An AppRole is used from a network it never came from; later a service reads what other teams own.",
        Scenario(
            days=4, rate=0.12, seed=43, preset="xs", confusers=("deploy", "oncall"),
            attacks=(Attack("stolen_token", "easy", 3.05), Attack("mass_read", "easy", 3.7)),
        ),
        {"stolen_token": ("source_novelty",), "mass_read": ("pair_novelty", "denials")},
    ),
    Story(
        "audit_off",
        "An operator widens a policy, reads with it, and switches one of two audit devices off for two hours.",
        Scenario(
            days=3, rate=0.15, seed=37, preset="xs", confusers=("deploy",), devices=2,
            attacks=(Attack("policy_escalation", "easy", 2.45), Attack("audit_off", "medium", 2.46)),
        ),
        {"policy_escalation": ("invariant",), "audit_off": ("invariant", "integrity")},
        ("device_change",),
    ),
    Story(
        "torn_file",
        "A disk was full for a moment: one line is cut short with the next glued to it, and zero bytes follow.",
        Scenario(days=1, rate=0.05, seed=41, preset="xs", confusers=()),
        {},
        ("torn", "unpaired"),
        torn=True,
    ),
)  # fmt: skip


def write_samples(out: Path) -> None:
    """Write every story below `out`/vault, replacing what is there. About 2 MB."""
    for story in STORIES:
        folder = out / "vault" / story.name
        shutil.rmtree(folder, ignore_errors=True)
        summary = simulate(story.scenario, folder)
        for file in map(Path, summary.files):
            if story.torn:
                _tear(file)
            _rotate(file)
        incidents = _read(folder / "labels.jsonl")
        happenings = _read(folder / "confusers.jsonl")
        (folder / "expected.json").write_text(_expected(story, incidents))
        (folder / "story.md").write_text(_told(story, incidents, happenings))


def _read(path: Path) -> list[Incident]:
    return [msgspec.json.decode(line, type=Incident) for line in path.read_bytes().splitlines()]


def _rotate(file: Path) -> None:
    """All but the last lines go to the rotated sibling, compressed, as a log rotation leaves it."""
    lines = file.read_bytes().splitlines(keepends=True)
    if len(lines) > 2 * _LIVE_LINES:
        with gzip.GzipFile(f"{file}.1.gz", "wb", compresslevel=9, mtime=0) as old:
            old.write(b"".join(lines[:-_LIVE_LINES]))
        file.write_bytes(b"".join(lines[-_LIVE_LINES:]))


def _tear(file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)[:_TORN_LINES]
    third = len(lines) // 3
    lines[third] = lines[third][: len(lines[third]) // 2]  # no line end: what follows is glued to it
    lines[2 * third] = b"\x00" * 512 + b"\n" + lines[2 * third]
    file.write_bytes(b"".join(lines))


def _expected(story: Story, incidents: list[Incident]) -> str:
    findings = [
        {
            "attack": i.attack,
            "principal": i.principal,
            "from": i.begin,
            "to": i.end,
            "detectors": list(story.expected[i.attack]),
        }
        for i in incidents
    ]
    return json.dumps({"story": story.name, "incidents": findings, "integrity": list(story.integrity)}, indent=2) + "\n"


def _told(story: Story, incidents: list[Incident], happenings: list[Incident]) -> str:
    rows = [(i, "attack") for i in incidents] + [(i, "harmless") for i in happenings]
    table = []
    for i, kind in sorted(rows, key=lambda pair: pair[0].begin):
        begin, end = (t[:16].replace("T", " ") for t in (i.begin, i.end))
        table.append(f"| {begin} | {end} | {kind} | {i.attack} | {i.principal} | {len(i.secrets) or ''} |")
    head = ["| from (UTC) | to | | what | principal | secrets |", "|---|---|---|---|---|---|"]
    body = "\n".join(head + table) if table else "Nothing but ordinary work."
    return f"# {story.name}\n\n{story.headline}\n\n{body}\n"
