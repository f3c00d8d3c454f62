"""A topic that is read to its end in spite of everything, and what must be the same as after one undisturbed run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.crash.line_story import unlike as unlike_lake
from tests.integration.kafka.cluster import stored

if TYPE_CHECKING:
    from tests.crash.line_nursery import Child, Nursery
    from tests.integration.kafka.cluster import Offsets

CONFIG = """
[line]
commit_seconds = 0
batch_entries = {batch}

[detection]
window_seconds = 7200

[store]
publish_seconds = 0
compact_files = 4
keep_removed_seconds = 0
keep_unpublished_seconds = 0

[sources.kafka]
group_instance_id = "{name}"
session_timeout_seconds = 6

[outbox]
retry_first_seconds = 0.01

[sinks.siem]
kind = "ocsf_jsonl"
path = "{home}/siem.jsonl"
"""


@dataclass(frozen=True, slots=True)
class Story:
    """What was produced, and the home of a run that nothing disturbed."""

    address: str
    topic: str
    produced: Offsets
    nursery: Nursery
    reference: Path
    seconds: float

    def begin(self, home: Path, fault: str = "", limits: dict[str, int] | None = None) -> Child:
        """Start a run into the lake below `home`."""
        return self.nursery.start(*words(self.address, self.topic, home), fault=fault, limits=limits)

    def finish(self, home: Path) -> None:
        """Run to the end, undisturbed."""
        child = self.begin(home)
        assert child.wait() in {0, 10}, child.text()

    def unlike(self, home: Path) -> list[str]:
        """In what lake, ledger and sink differ from those of the undisturbed run. Every offset must be there once."""
        assert stored(home / "lake") == self.produced
        return unlike_lake(home, self.reference, leaves=False)


def prepare(home: Path, batch: int = 97) -> Path:
    """A home with its config; one group and member a home."""
    home.mkdir(parents=True, exist_ok=True)
    name = f"{home.parent.name}-{home.name}"[-80:]
    (home / "keytrail.toml").write_text(CONFIG.format(batch=batch, name=name, home=home), "utf-8")
    return home


def words(address: str, topic: str, home: Path) -> tuple[str | Path, ...]:
    """The arguments of a run."""
    group = f"{home.parent.name}-{home.name}"[-80:]
    return (
        "run", "--kafka", address, "--topic", topic, "--group", group, "--lake", home / "lake",
        "--signing-key", home / "keys" / "key", "--config", home / "keytrail.toml", "--format", "json",
    )  # fmt: skip


def sent_ids(path: Path) -> list[str]:
    """The event ids in a file of OCSF objects, as often as they stand there."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [json.loads(line)["metadata"]["uid"] for line in lines]
