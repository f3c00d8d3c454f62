"""A run over an outbox that is full: it makes room itself or says which sink keeps it from that."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pipeline import config as conf
from pipeline import job
from pipeline.app import RunOptions
from pipeline.core.errors import StoreError
from pipeline.core.model import Commit
from pipeline.store import Lake, StoreConfig
from tests.lakes import SAMPLES
from tests.receivers.messages import message

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.line import Line

LOGS = SAMPLES / "vault" / "audit_off"
WAITING = [message(number) for number in (1, 2, 3)]


def full(home: Path, name: str, **sink: object) -> conf.Settings:
    """A lake in which messages wait for sink `name`, and settings under which that is all there is room for."""
    with Lake.open(home / "lake", StoreConfig(), writer=True, clock=lambda: 0) as lake:
        lake.set_sinks((name,))
        lake.commit(Commit((), messages=WAITING))
    return conf.Settings(None, {"outbox": {"max_bytes": 1}, "sinks": {name: sink}})


@pytest.mark.parametrize("follow", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_full_outbox_is_emptied_and_the_run_goes_on(follow: bool, tmp_path: Path) -> None:
    """Following or not, what waits is delivered and reading goes on to the end."""
    settings = full(tmp_path, "file", kind="ocsf_jsonl", path=str(tmp_path / "out.jsonl"))
    options = RunOptions((str(LOGS),), tmp_path / "lake", follow=follow, signing_key=str(tmp_path / "key"))
    run = job.Run(options, settings)

    def sent() -> list[str]:
        text = (tmp_path / "out.jsonl").read_text("utf-8") if (tmp_path / "out.jsonl").exists() else ""
        return [json.loads(line)["metadata"]["uid"] for line in text.splitlines()]

    def seen(line: Line) -> None:
        if follow and line.totals.entries and sent():
            run.stop()

    result = run.execute(seen)
    assert sent()[:3] == [m.event_id for m in WAITING]
    assert result["entries"] > 0


def test_a_full_outbox_that_nobody_takes_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that does not follow does not wait for good: it ends with the name of the sink that takes nothing."""
    monkeypatch.setattr(job, "DRAIN_SECONDS", 0.3)
    monkeypatch.setenv("T", "hush")
    settings = full(tmp_path, "chat", kind="webhook", url="http://127.0.0.1:9", secret={"env": "T"})
    options = RunOptions((str(LOGS),), tmp_path / "lake", signing_key=str(tmp_path / "key"))
    with pytest.raises(StoreError, match=r"outbox is full .* chat \(.*ConnectionRefusedError") as raised:
        job.Run(options, settings).execute()
    assert "hush" not in str(raised.value)
