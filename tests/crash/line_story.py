"""A day on two audit devices with rotations, attacks and damage; and what must be the same after any death."""

from __future__ import annotations

import gzip
import json
from functools import cache
from typing import TYPE_CHECKING, Any

import polars as pl

from pipeline.core.clock import system_clock
from pipeline.ledger import keys
from pipeline.simulate import Attack, Scenario, simulate
from pipeline.store import Lake, StoreConfig
from pipeline.verification import verify_lake
from tests.lakes import VIEWS, view

if TYPE_CHECKING:
    from pathlib import Path

BATCH = 121
WIDE = 2000  # all at once: what a run leaves does not depend on it

# Small batches and a commit after each; every kind of upkeep comes up within a run.
CONFIG = """
[line]
commit_seconds = 0
batch_entries = {batch}

[detection]
window_seconds = 7200

[store]
publish_seconds = 0
compact_files = 3
fold_files = 2
keep_removed_seconds = 0
keep_unpublished_seconds = 0
retention_days = 36500

[outbox]
retry_first_seconds = 0.01
retry_max_seconds = 0.5

[sinks.siem]
kind = "ocsf_jsonl"
path = "{sink}"
"""


def write_logs(folder: Path) -> None:
    """Two devices, one rotated twice; the second one lost a stretch, and holds a torn line and a repeated one."""
    attacks = (Attack("policy_escalation", "easy", 0.3), Attack("audit_off", "medium", 0.5))
    simulate(
        Scenario(
            days=1, rate=0.03, seed=41, preset="xs", confusers=(), devices=2, history=0.0, attacks=attacks
        ),
        folder,
    )  # fmt: skip
    first, second = folder / "audit.log", folder / "audit-2.log"
    lines = first.read_bytes().splitlines(keepends=True)
    third = len(lines) // 3
    (folder / "audit.log.2.gz").write_bytes(gzip.compress(b"".join(lines[:third]), mtime=0))
    (folder / "audit.log.1").write_bytes(b"".join(lines[third : 2 * third]))
    first.write_bytes(b"".join(lines[2 * third :]))
    lines = second.read_bytes().splitlines(keepends=True)
    at = len(lines) // 4
    torn = lines[at + 40][:100] + lines[at + 41]
    kept = [*lines[:at], *lines[at + 20 : at + 40], torn, *lines[at + 42 :]]
    kept.insert(at + 60, kept[at + 59])
    second.write_bytes(b"".join(kept))


def write_config(home: Path, batch: int) -> Path:
    """The config of one lake below `home`."""
    path = home / "keytrail.toml"
    path.write_text(CONFIG.format(batch=batch, sink=home / "siem.jsonl"), "utf-8")
    return path


def words(home: Path, config: Path, logs: Path, *more: str) -> tuple[str | Path, ...]:
    """The arguments of a run into the lake below `home`."""
    return ("run", logs, "--lake", home / "lake", "--signing-key", home / "keys" / "key", "--config", config, *more)


def sent(home: Path) -> dict[str, dict[str, Any]]:
    """What the sink was given, by event id; a message that came twice must say the same twice.

    In all files that were rotated: a day of the clock has one.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in home.glob("siem.jsonl*"):
        for line in path.read_text("utf-8").splitlines():
            message = json.loads(line)
            assert found.setdefault(message["metadata"]["uid"], message) == message
    return found


def unlike(home: Path, reference: Path, *, leaves: bool = True) -> list[str]:
    """In what the lake and the sink below `home` differ from those of the uninterrupted run.

    Without `leaves`, the order in which the streams were taken in may differ: leaf indexes are left out.
    """
    views = [name for name in VIEWS if not view(home / "lake", name).equals(_undisturbed(reference / "lake", name))]
    if not leaves:
        views = [name for name in views if not _placed(home, name).equals(_placed(reference, name))]
    found = [f"view {name}" for name in views]
    ours, theirs = sent(home), sent(reference)
    found += [f"message {name}" for name in sorted(ours.keys() ^ theirs.keys())]
    found += [f"text of {name}" for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]]
    committed = alert_states(home)
    found += [f"not sent: {name}" for name in sorted(committed - ours.keys())]
    return found + broken(home)


@cache
def _undisturbed(lake: Path, name: str) -> pl.DataFrame:
    """A view of a lake that nobody writes to any more."""
    return view(lake, name)


def _placed(home: Path, name: str) -> pl.DataFrame:
    frame = view(home / "lake", name)
    kept = frame.drop("leaf_index", "request_leaf", "response_leaf", strict=False)
    return kept.sort([c for c, kind in kept.schema.items() if not kind.is_nested()])


def alert_states(home: Path) -> set[str]:
    """The event ids of the newest state of every alert that is told to sinks."""
    with Lake.open(home / "lake", StoreConfig(), writer=False, clock=system_clock) as lake:
        frames = [frame.filter(pl.col("revision") >= 1) for frame in lake.read("alerts")]
    rows = pl.concat(frames).select("uid", "revision").rows() if frames else []
    return {f"{uid}:{revision}" for uid, revision in rows}


def broken(home: Path) -> list[str]:
    """What the ledger's verification has to say against the lake."""
    lake = home / "lake"
    signer = keys.for_lake(home / "keys" / "key", lake)
    report = verify_lake(lake, keys.note.verifier_of(signer).vkey(), (), None)[0].report
    entries = len(view(lake, "raw"))
    rows = (
        report.rows.filter(~pl.col("verdict").is_in(("ok", "redacted"))).select("source", "verdict", "evidence").rows()
    )
    told = [f"ledger {row}" for row in rows]
    return told if report.leaves == entries == report.size else [*told, f"ledger holds {report.size} of {entries}"]
