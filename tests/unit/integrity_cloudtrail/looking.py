"""Verifying a test's bucket, and what was found in it as rows of the tamper table."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import polars as pl

from pipeline.integrity.cloudtrail import Scope, Verified, parse_keys, verify
from tests.signed_chains import Bucket
from tests.unit.integrity_cloudtrail.tampers import NOW, Place


def micros(at: dt.datetime | None) -> int | None:
    return None if at is None else int(at.timestamp()) * 1_000_000


def look(bucket: Bucket, start: dt.datetime | None = None, end: dt.datetime | None = None, **more: Any) -> Verified:
    now = micros(NOW)
    assert now is not None
    ring = parse_keys(json.dumps(bucket.keys).encode())
    return verify(bucket.root, ring, Scope(micros(start), micros(end), now), **more)


def places(verified: Verified) -> list[Place]:
    """What was found broken, as the table tells it."""
    broken = verified.integrity.filter(pl.col("verdict") != "ok")
    return broken.select("verdict", "cause", "source", "from_time", "to_time", "count").rows()
