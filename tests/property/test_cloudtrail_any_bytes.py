"""CloudTrail verification over arbitrary damage: nothing raises, every flipped bit is found and located."""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import gzip
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError
from pipeline.core.schema import COVERAGE, INTEGRITY
from pipeline.integrity.cloudtrail import Scope, Verified, parse_keys, verify
from pipeline.integrity.cloudtrail.event_ids import EventIds
from tests.signed_chains import HOUR, START, Bucket, build

HOURS = 3
NOW = int((START + HOURS * HOUR + dt.timedelta(minutes=30)).timestamp()) * 1_000_000
SHARED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Bucket:
    made = build(tmp_path_factory.mktemp("any"), accounts=("111111111111",), regions=("eu-west-1",), hours=HOURS)
    made.backfill(("111111111111", "eu-west-1"), (0, 1))
    return made


def look(bucket: Bucket) -> Verified:
    return verify(bucket.root, parse_keys(json.dumps(bucket.keys).encode()), Scope(None, None, NOW))


def objects(bucket: Bucket) -> list[Path]:
    return sorted(path for path in bucket.root.rglob("*.gz") if path.is_file())


@SHARED
@given(data=st.data())
def test_a_changed_byte_of_any_object_is_found_there(bucket: Bucket, data: st.DataObject) -> None:
    """Whatever byte of a digest or log differs after inflating, the row names that object."""
    path = data.draw(st.sampled_from(objects(bucket)))
    whole = path.read_bytes()
    content = bytearray(gzip.decompress(whole))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(gzip.compress(bytes(content), 1, mtime=0))
    try:
        broken = look(bucket).integrity.filter(pl.col("verdict") != "ok")
    finally:
        path.write_bytes(whole)
    assert path.relative_to(bucket.root).as_posix() in broken["source"].to_list()


@SHARED
@given(data=st.data())
def test_any_bytes_in_place_of_any_file_never_raise(bucket: Bucket, data: st.DataObject) -> None:
    """Objects and metadata may hold anything: the rows keep their schema and something is told."""
    path = data.draw(st.sampled_from([*objects(bucket), *sorted(bucket.root.rglob("*.metadata.json"))]))
    whole = path.read_bytes()
    junk = data.draw(
        st.one_of(
            st.binary(max_size=80),
            st.recursive(st.none() | st.text() | st.integers(), st.lists).map(
                lambda value: gzip.compress(json.dumps(value).encode())
            ),
            st.integers(0, len(whole) - 1).map(lambda end: whole[:end]),
        )
    )
    path.write_bytes(junk)
    try:
        verified = look(bucket)
    finally:
        path.write_bytes(whole)
    assert verified.broken
    assert (verified.integrity.schema, verified.coverage.schema) == (INTEGRITY, COVERAGE)


@SHARED
@given(data=st.data())
def test_any_value_in_a_signed_digest_never_raises(bucket: Bucket, data: st.DataObject) -> None:
    """Even what is well signed may say anything: it is told or it holds, it never stops the verification."""
    made = bucket.chains["111111111111", "eu-west-1"][-1]
    said = copy.deepcopy(made.said)
    name = data.draw(st.sampled_from(sorted(set(said) - {"digestS3Object"})))
    times = st.datetimes().map(lambda at: at.isoformat() + "Z")
    said[name] = data.draw(st.one_of(st.none(), st.text(), st.integers(), st.lists(st.none()), times))
    texts = ("digestEndTime", "digestS3Bucket")
    if not all(isinstance(said[text], str) for text in texts) or not isinstance(
        said["previousDigestSignature"], str | None
    ):
        return
    held = {suffix: bucket.path(made.key + suffix).read_bytes() for suffix in ("", ".metadata.json")}
    try:
        bucket.sign(made.key, said, "eu-west-1")
        verified = look(bucket)
    except UnicodeEncodeError:
        return  # what cannot be encoded cannot be signed
    finally:
        for suffix, content in held.items():
            bucket.put(made.key + suffix, content)
    assert (verified.integrity.schema, verified.coverage.schema) == (INTEGRITY, COVERAGE)
    assert verified.coverage.height < 24 * 366 * 10


@SHARED
@given(st.binary(max_size=200) | st.text().map(lambda text: json.dumps({text: {"PublicKeyList": []}}).encode()))
def test_any_bytes_as_keys_are_refused_or_read(data: bytes) -> None:
    """A file of keys that is none raises the declared error only."""
    with contextlib.suppress(ConfigError):
        assert parse_keys(data).find("region", "fingerprint", (0, 1)) is not None


@SHARED
@given(st.lists(st.lists(st.integers(0, 30), max_size=12), max_size=8), st.sampled_from([1, 5, 10_000]))
def test_repeated_events_are_those_a_dictionary_finds(logs: list[list[int]], limit: int) -> None:
    """On disk or in memory, the same pairs of logs and the same counts as a plain count gives."""
    first: dict[int, int] = {}
    expected: dict[tuple[int, int], int] = {}
    with EventIds(limit) as ids:
        for number, log in enumerate(logs):
            records = [{"eventID": f"{event:08x}-0000-4000-8000-000000000000"} for event in log]
            ids.add("trail", str(number), (number, number), json.dumps({"Records": records}).encode())
            for event in log:
                before = first.setdefault(event, number)
                expected[number, before] = expected.get((number, before), 0) + 1
        found = {(int(key), int(before)): count for key, _, before, count in ids.repeated()}
    for log in range(len(logs)):  # the first appearance of an event is no repetition
        firsts = sum(1 for number in first.values() if number == log)
        if firsts:
            expected[log, log] -= firsts
    assert found == {pair: count for pair, count in expected.items() if count}
