"""What is measured is kept seed by seed: a run that breaks off has a report, and the next one goes on from there."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from pipeline.evaluate.plan import Plan

NAME: Final = "detection.partial.jsonl"
_CODE: Final = ("pipeline", "detectors")


class Kept:
    """One line a seed in DIR/detection.partial.jsonl, gone once all seeds are done; without DIR nothing is kept.

    A line counts for the same plan (but for its other seeds), place in the plan, configuration and code alone.
    """

    def __init__(self, plan: Plan, tree: dict[str, Any], out: Path | None) -> None:
        self._path = None if out is None else out / NAME
        self._plan = plan
        same = msgspec.to_builtins(msgspec.structs.replace(plan, seeds=(0,)))
        self._of = hashlib.sha256(msgspec.json.encode([same, tree, _code()], order="deterministic")).hexdigest()

    def done(self) -> dict[int, dict[str, Any]]:
        """What is there already, by place in the plan."""
        if self._path is None or not self._path.exists():
            return {}
        found: dict[int, dict[str, Any]] = {}
        for line in self._path.read_bytes().splitlines():
            try:
                row = msgspec.json.decode(line)
            except msgspec.DecodeError:  # cut off while it was written
                continue
            nth = row["nth"]
            if row["of"] == self._of and nth < len(self._plan.seeds) and row["seed"] == self._plan.seeds[nth]:
                found[nth] = row["measured"]
        return found

    def add(self, nth: int, measured: dict[str, Any]) -> None:
        """Keep one more. Raises OSError."""
        if self._path is None:
            return
        row = {"of": self._of, **row_of(self._plan, nth, measured)}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(row) + b"\n")

    def clear(self) -> None:
        """All is done and written."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def row_of(plan: Plan, nth: int, measured: Any) -> dict[str, Any]:
    """What one seed gave, with its place in the plan."""
    return {"nth": nth, "seed": plan.seeds[nth], "measured": measured}


def _code() -> str:
    """A hash over the source that does the measuring."""
    root = Path(__file__).resolve().parent.parent.parent
    sum_ = hashlib.sha256()
    for path in sorted(path for folder in _CODE for path in (root / folder).rglob("*.py")):
        sum_.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return sum_.hexdigest()
