"""The tamper table: every attack on a CloudTrail bucket is found, with its cause and interval, and nothing else."""

from __future__ import annotations

import datetime as dt
import os
import shutil

import polars as pl
import pytest

from tests.signed_chains import HOUR, Bucket
from tests.unit.integrity_cloudtrail.looking import look, places
from tests.unit.integrity_cloudtrail.tampers import (
    ACCOUNTS,
    CHAIN,
    END,
    HOURS,
    REGION,
    START,
    TAMPERS,
    digest,
)


def test_a_whole_bucket_holds(whole: Bucket) -> None:
    """Two accounts, two regions, idle hours and a backfill chain give ok rows only, one a chain."""
    verified = look(whole)
    assert not verified.broken
    assert verified.integrity["count"].to_list() == [8, 2, 8, 8, 8]
    assert set(verified.coverage.filter(pl.col("hour").dt.hour().is_between(1, 7))["completeness"]) == {"proven"}


@pytest.mark.parametrize("name", TAMPERS)
def test_tamper_is_found(name: str, bucket: Bucket) -> None:
    """The tamper gives exactly its places: verdict, cause, source, interval and count."""
    expected = TAMPERS[name](bucket)
    verified = look(bucket)
    assert verified.broken
    assert sorted(places(verified), key=str) == sorted(expected, key=str)


@pytest.mark.parametrize("count", [1, 2])
def test_newest_digests_gone_before_the_requested_end(bucket: Bucket, count: int) -> None:
    """With --to in the past every digest up to it must be there, even the last."""
    gone = bucket.chains[CHAIN][-count - 3 : -3]
    for made in bucket.chains[CHAIN][-count - 3 :]:
        bucket.remove(made.key, *made.logs)
    end = END - 3 * HOUR
    assert places(look(bucket, end=end)) == [("truncated", "stale", REGION, gone[0].start, end, count)]


def test_from_a_time_the_first_digest_may_point_outside(bucket: Bucket) -> None:
    """With --from the older digests and logs need not be there, and what was deleted after it is still found."""
    for made in bucket.chains[CHAIN][:3]:
        bucket.remove(made.key, *made.logs)
    start = digest(bucket, 3).start
    assert not look(bucket, start=start).broken
    early = start - dt.timedelta(minutes=30)
    found = places(look(bucket, start=early))
    assert found == [("gap", "digest_missing", digest(bucket, 2).key, early, start, 1)]


def test_a_chain_that_begins_after_the_requested_start(bucket: Bucket) -> None:
    """Hours that were asked for and lie before the first digest of every chain are a gap."""
    early = START - 2 * HOUR
    found = places(look(bucket, start=early))
    assert found == [("gap", "starts_late", region, early, START, 2) for _, region in bucket.chains]


def test_tampers_outside_the_scope_are_not_told(bucket: Bucket) -> None:
    """Only the requested time counts."""
    TAMPERS["log_altered"](bucket)
    assert not look(bucket, start=digest(bucket, 4).start).broken
    assert not look(bucket, end=digest(bucket, 3).start).broken
    assert look(bucket, end=digest(bucket, 3).end).broken


def test_a_forged_log_just_before_the_requested_end(bucket: Bucket) -> None:
    """Where the digest after --to is there, nothing before --to still waits for one."""
    end = digest(bucket, 5).end
    key = bucket.log(CHAIN, end - dt.timedelta(minutes=3), "forged")["s3Object"]
    assert [place[:3] for place in places(look(bucket, end=end))] == [("unsigned", "unlisted_log", key)]


def test_a_start_before_cloudtrail_began_is_no_endless_table(bucket: Bucket) -> None:
    """Hours are told from when CloudTrail began at the earliest."""
    coverage = look(bucket, start=dt.datetime(1, 1, 1, tzinfo=dt.UTC)).coverage
    assert str(coverage["hour"].min()) == "2013-11-01 00:00:00+00:00"


def test_a_vanished_account_is_found_by_what_was_seen_before(bucket: Bucket) -> None:
    """Heads kept from an earlier verification tell of chains that are gone, or end earlier, or were written anew."""
    heads = look(bucket).heads
    shutil.rmtree(bucket.path(f"AWSLogs/{ACCOUNTS[1]}"))
    assert not look(bucket).broken
    found = places(look(bucket, seen=heads))
    assert found == [("gap", "chain_vanished", region, END, END, 1) for region in ("eu-west-1", "us-east-1")]


def test_a_rolled_back_chain_is_found_by_what_was_seen_before(bucket: Bucket) -> None:
    """A chain that is fresh enough and still shorter than before was cut."""
    heads = look(bucket).heads
    made = digest(bucket, HOURS - 1)
    bucket.remove(made.key, *made.logs)
    assert not look(bucket).broken
    assert places(look(bucket, seen=heads)) == [("truncated", "rolled_back", REGION, made.start, made.end, 1)]


def test_looking_at_an_earlier_time_forgets_no_newer_head(bucket: Bucket) -> None:
    """What was seen is kept when a later verification is of a time before it."""
    heads = look(bucket).heads
    again = look(bucket, end=digest(bucket, 3).end, seen=heads)
    assert not again.broken
    assert set(again.heads) == set(heads)


def test_a_head_signed_anew_is_found_by_what_was_seen_before(bucket: Bucket) -> None:
    """A head with other contents under the same key was replaced, whoever signed it."""
    heads = look(bucket).heads
    made = bucket.resign(CHAIN, HOURS - 1, newestEventTime=None)
    assert places(look(bucket, seen=heads)) == [("altered", "head_changed", made.key, made.start, made.end, 1)]


def test_a_bucket_that_cannot_be_read_is_unverifiable(bucket: Bucket) -> None:
    """A root that is not there gives its own row beside the regions that are missing."""
    bucket.root /= "elsewhere"
    found = {(verdict, cause) for verdict, cause, *_ in places(look(bucket))}
    assert found == {("unverifiable", "unreadable"), ("gap", "no_digests")}


def test_a_pipe_in_the_bucket_is_not_waited_for(bucket: Bucket) -> None:
    """Neither a pipe nor a link stands for an object: what should be there is missing."""
    log = digest(bucket, 3).logs[0]
    bucket.remove(log)
    os.mkfifo(bucket.path(log))
    bucket.path(log).with_name("link.json.gz").symlink_to(bucket.path(digest(bucket, 2).logs[0]))
    assert [place[:3] for place in places(look(bucket))] == [("gap", "log_missing", log)]


def test_a_digest_that_is_a_folder_is_missing(bucket: Bucket) -> None:
    """The hour is missing, and what lies in the folder has no name a digest could have."""
    made = digest(bucket, 3)
    bucket.remove(made.key)
    bucket.put(f"{made.key}/x", b"")
    found = {(verdict, cause) for verdict, cause, *_ in places(look(bucket))}
    assert found == {("gap", "digest_missing"), ("altered", "moved")}


def test_coverage_tells_every_hour(bucket: Bucket) -> None:
    """Each clock hour of a region is covered, missing, altered or a gap, and names the cause."""
    for name in ("three_adjacent_digests_deleted", "log_altered"):
        if name == "log_altered":
            log = digest(bucket, 6).logs[0]
            bucket.put(log, b"")
        else:
            TAMPERS[name](bucket)
    coverage = look(bucket).coverage.filter(source=REGION)
    grades = dict(zip(coverage["hour"].dt.hour(), coverage["completeness"], strict=True))
    words = dict(zip(coverage["hour"].dt.hour(), coverage["note"].str.split(";").list.first(), strict=True))
    assert list(grades) == list(range(9))
    assert [hour for hour, grade in grades.items() if grade == "violated"] == [2, 3, 4, 5, 6, 7]
    assert grades[1] == "proven"
    assert (words[1], words[3], words[6]) == ("covered", "missing: digest_missing", "altered: invalid_format")
    assert coverage.filter(completeness="violated")["missing_operations"].to_list() == [None] * 6


def test_an_unreadable_region_says_so_in_its_coverage(bucket: Bucket) -> None:
    """Hours that nothing can be said of are unknown, not violated."""
    TAMPERS["key_is_not_given"](bucket)
    coverage = look(bucket).coverage.filter(source=REGION)
    assert set(coverage["completeness"]) == {"unknown"}


def test_a_successor_vouches_for_a_digest_without_signature(bucket: Bucket) -> None:
    """The link of a sound successor proves the contents of a digest whose metadata is lost."""
    TAMPERS["metadata_deleted"](bucket)
    evidence = look(bucket).integrity.filter(cause="metadata_missing")["evidence"].item()
    assert "the digest after it vouches for its contents" in evidence
    TAMPERS["digest_body_changed"](bucket)
    evidence = look(bucket).integrity.filter(cause="metadata_missing")["evidence"].item()
    assert "vouches" not in evidence


def test_logs_of_a_missing_hour_are_counted_there(bucket: Bucket) -> None:
    """Logs whose digest is gone are told with it, not one by one."""
    TAMPERS["one_digest_deleted"](bucket)
    evidence = look(bucket).integrity.filter(cause="digest_missing")["evidence"].item()
    assert "2 logs of that time are listed by no sound digest" in evidence


def test_the_place_of_appended_bytes_is_told(bucket: Bucket) -> None:
    """The first byte after the compressed stream is the position of the row."""
    made = digest(bucket, 3)
    size = bucket.path(made.key).stat().st_size
    TAMPERS["bytes_appended_to_a_digest"](bucket)
    row = look(bucket).integrity.filter(cause="trailing_data").row(0, named=True)
    assert (row["from_position"], row["to_position"]) == (size, size)
