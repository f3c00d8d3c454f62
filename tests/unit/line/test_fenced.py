"""A run that others take partitions from begins again, but not for ever."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from pipeline import config as conf
from pipeline import job
from pipeline.app import RunOptions
from pipeline.core.errors import FencedError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("apart", "comes_to_an_end"), [(1.0, True), (job.REST_SECONDS + 1, False)])
def test_only_what_does_not_come_to_rest_is_given_up(
    apart: float, comes_to_an_end: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred times within an hour of each other are too many; over a long life they are not."""
    now = [1000.0]

    class Contested(job.Run):
        def _session(self, *_: object) -> dict[str, int]:
            now[0] += apart
            if self.fenced < 3 * job.FENCED_MAX:
                raise FencedError("another worker has read on from here")
            return {"fenced": self.fenced}

    monkeypatch.setattr(job, "time", SimpleNamespace(monotonic=lambda: now[0]))
    run = Contested(RunOptions((), tmp_path / "lake", kafka=("127.0.0.1:1",)), conf.Settings())
    if comes_to_an_end:
        with pytest.raises(FencedError):
            run.execute()
        assert run.fenced == job.FENCED_MAX + 1
    else:
        assert run.execute() == {"fenced": 3 * job.FENCED_MAX}
