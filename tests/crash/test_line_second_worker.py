"""A second worker that comes between what upkeep has made ready and the commit that is to exchange it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import config as conf
from pipeline.app import RunOptions
from pipeline.core.clock import system_clock
from pipeline.job import Run
from pipeline.store import Lake, StoreConfig
from tests.crash.line_story import BATCH, broken, sent, write_config
from tests.lakes import differences

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_second_worker_merges_what_the_first_was_to_exchange(
    logs: Path, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first drops what it made ready, goes on from its last commit, and leaves what it would have left."""
    came, taken_up = [], Lake.take_up

    def overtaken(lake: Lake, *, wait: bool = False) -> None:
        taken_up(lake, wait=wait)
        if lake.exchanging and not came:
            with Lake.open(lake.path, StoreConfig(), writer=True, clock=system_clock, worker="second") as second:
                came.append(second.compact())

    monkeypatch.setattr(Lake, "take_up", overtaken)
    options = RunOptions((str(logs),), tmp_path / "lake", signing_key=str(tmp_path / "keys" / "key"))
    run = Run(options, conf.load(write_config(tmp_path, BATCH)))
    run.execute()
    assert (came[0] > 0, run.fenced) == (True, 1)
    assert differences(tmp_path / "lake", reference / "lake") == []
    assert sent(tmp_path) == sent(reference)
    untold = [told for told in broken(tmp_path) if "no run had done that" not in told]  # the second has no ledger
    assert untold == []
