"""What the tests of a run's deaths begin with; a module may have another nursery or reference of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.crash.line_nursery import Nursery
from tests.crash.line_story import WIDE, words, write_config, write_logs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("nursery")) as nursery:
        yield nursery


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("story") / "logs"
    write_logs(folder)
    return folder


@pytest.fixture(scope="module")
def reference(nursery: Nursery, logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a run that nothing disturbed."""
    home = tmp_path_factory.mktemp("reference")
    child = nursery.start(*words(home, write_config(home, WIDE), logs))
    assert child.wait() == 10, child.text()
    return home
