"""A whole bucket, made once, and copies of it to tamper with."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import pytest

from tests.signed_chains import Bucket, build
from tests.unit.integrity_cloudtrail.tampers import HOURS


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Bucket:
    """Two accounts in two regions, eight hours, two of them idle, and a backfill chain."""
    return build(tmp_path_factory.mktemp("bucket") / "whole", hours=HOURS)


@pytest.fixture
def bucket(whole: Bucket, tmp_path: Path) -> Bucket:
    """A bucket of one's own."""
    mine = copy.deepcopy(whole)
    mine.root = tmp_path / "mirror"
    shutil.copytree(whole.root, mine.root)
    return mine
