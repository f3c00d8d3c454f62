"""Every tamper as a row of a table: what is done to a bucket, and the places that must be told for it.

A tamper changes the bucket and returns what it expects: verdict, cause, source, from, to, count.
"""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable
from typing import Any

from tests.signed_chains import ACCOUNTS, HOUR, REGIONS, START, Bucket, Made, fingerprint, pack, public_key, signer

HOURS = 8
END = START + HOURS * HOUR
NOW = END + dt.timedelta(minutes=30)
DUE = NOW - 2 * HOUR
CHAIN = (ACCOUNTS[0], REGIONS[0])
REGION = REGIONS[0]

Place = tuple[str, str, str, dt.datetime | None, dt.datetime | None, int]
Tamper = Callable[[Bucket], list[Place]]
TAMPERS: dict[str, Tamper] = {}


def tamper(make: Tamper) -> Tamper:
    TAMPERS[make.__name__] = make
    return make


def digest(bucket: Bucket, number: int) -> Made:
    return bucket.chains[CHAIN][number]


def listed(made: Made, number: int = 0) -> dict[str, Any]:
    return made.said["logFiles"][number]


def times(log: dict[str, Any]) -> tuple[dt.datetime, dt.datetime]:
    return dt.datetime.fromisoformat(log["oldestEventTime"]), dt.datetime.fromisoformat(log["newestEventTime"])


def at_digest(made: Made, verdict: str, cause: str) -> list[Place]:
    return [(verdict, cause, made.key, made.start, made.end, 1)]


def at_log(log: dict[str, Any], verdict: str, cause: str) -> list[Place]:
    return [(verdict, cause, log["s3Object"], *times(log), 1)]


# What the vendor's validator lets pass


@tamper
def newest_digests_and_logs_deleted(bucket: Bucket) -> list[Place]:
    gone = bucket.chains[CHAIN][-4:]
    for made in gone:
        bucket.remove(made.key, *made.logs)
    return [("truncated", "stale", REGION, gone[0].start, DUE, 2)]


@tamper
def all_digests_deleted_logs_kept(bucket: Bucket) -> list[Place]:
    for made in bucket.chains[CHAIN] + bucket.backfills[CHAIN]:
        bucket.remove(made.key)
    first = (START + dt.timedelta(minutes=8)).replace(second=0)
    last = (START + 7 * HOUR + dt.timedelta(minutes=28)).replace(second=0)
    return [("gap", "no_digests", REGION, first, last, 7)]


@tamper
def all_digests_and_logs_deleted(bucket: Bucket) -> list[Place]:
    for made in bucket.chains[CHAIN] + bucket.backfills[CHAIN]:
        bucket.remove(made.key, *made.logs)
    return [("gap", "no_digests", REGION, None, None, 1)]


@tamper
def forged_log_no_digest_lists(bucket: Bucket) -> list[Place]:
    at = START + 2 * HOUR + dt.timedelta(minutes=15)
    key = bucket.log(CHAIN, at, "forged")["s3Object"]
    minute = at.replace(second=0)
    return [("unsigned", "unlisted_log", key, minute, minute, 1)]


@tamper
def listed_log_copied_to_a_new_key(bucket: Bucket) -> list[Place]:
    at = START + 6 * HOUR + dt.timedelta(minutes=15)
    key = bucket.log_key(CHAIN, at, "copy")
    bucket.put(key, bucket.path(digest(bucket, 1).logs[0]).read_bytes())
    minute = at.replace(second=0)
    return [("duplicate", "copied_log", key, minute, minute, 1)]


@tamper
def listed_log_copied_after_the_newest_digest(bucket: Bucket) -> list[Place]:
    at = END + dt.timedelta(minutes=15)
    key = bucket.log_key(CHAIN, at, "copy")
    bucket.put(key, bucket.path(digest(bucket, 1).logs[0]).read_bytes())
    minute = at.replace(second=0)
    return [("duplicate", "copied_log", key, minute, minute, 1)]


@tamper
def logging_gap(bucket: Bucket) -> list[Place]:
    gone = bucket.chains[CHAIN].pop(4)
    bucket.remove(gone.key)
    bucket.resign(CHAIN, 4, **bucket.link(None))
    return [("gap", "logging_gap", REGION, gone.start, gone.end, 1)]


@tamper
def logging_gap_with_a_link_across_it(bucket: Bucket) -> list[Place]:
    gone = bucket.chains[CHAIN].pop(4)
    bucket.remove(gone.key)
    bucket.resign(CHAIN, 4, **bucket.link(digest(bucket, 3)))
    return [("gap", "logging_gap", REGION, gone.start, gone.end, 1)]


@tamper
def bytes_appended_to_a_digest(bucket: Bucket) -> list[Place]:
    made = digest(bucket, 3)
    bucket.put(made.key, bucket.path(made.key).read_bytes() + b"\0")
    return at_digest(made, "altered", "trailing_data")


@tamper
def gzip_member_appended_to_a_log(bucket: Bucket) -> list[Place]:
    log = listed(digest(bucket, 3))
    bucket.put(log["s3Object"], bucket.path(log["s3Object"]).read_bytes() + pack(b'{"Records":[]}'))
    return at_log(log, "altered", "trailing_data")


@tamper
def signature_algorithm_changed(bucket: Bucket) -> list[Place]:
    made = digest(bucket, 3)
    bucket.describe(made.key, bucket.metadata(made.key) | {"signature-algorithm": "MD5withRSA"})
    return at_digest(made, "altered", "signature_algorithm")


@tamper
def link_hash_is_not_the_predecessors(bucket: Bucket) -> list[Place]:
    made = bucket.resign(CHAIN, 5, previousDigestHashValue="00" * 32)
    return [("altered", "link_hash", made.key, digest(bucket, 4).start, made.end, 1)]


@tamper
def link_signature_is_not_the_predecessors(bucket: Bucket) -> list[Place]:
    made = bucket.resign(CHAIN, 5, previousDigestSignature="ab" * 256)
    return [("altered", "link_signature", made.key, digest(bucket, 4).start, made.end, 1)]


# Digests


@tamper
def one_digest_deleted(bucket: Bucket) -> list[Place]:
    made = digest(bucket, 3)
    bucket.remove(made.key)
    return at_digest(made, "gap", "digest_missing")


@tamper
def three_adjacent_digests_deleted(bucket: Bucket) -> list[Place]:
    gone = bucket.chains[CHAIN][2:5]
    bucket.remove(*(made.key for made in gone))
    return [("gap", "digest_missing", REGION, gone[0].start, gone[-1].end, 3)]


@tamper
def first_digests_deleted(bucket: Bucket) -> list[Place]:
    gone = bucket.chains[CHAIN][:2]
    bucket.remove(*(made.key for made in gone))
    return at_digest(gone[1], "gap", "digest_missing")


@tamper
def digest_body_changed(bucket: Bucket) -> list[Place]:
    made = digest(bucket, 3)
    bucket.put(made.key, pack(bucket.read(made.key).replace(b'"SHA-256"', b'"SHA-257"')))
    return at_digest(made, "altered", "signature_failed")


@tamper
def signature_of_another_digest(bucket: Bucket) -> list[Place]:
    made = digest(bucket, 3)
    bucket.describe(made.key, bucket.metadata(digest(bucket, 2).key))
    return at_digest(made, "altered", "signature_failed")


@tamper
def signature_is_no_hexadecimal(bucket: Bucket) -> list[Place]:
    made = digest(bucket, 3)
    bucket.describe(made.key, bucket.metadata(made.key) | {"signature": "zz"})
    return at_digest(made, "altered", "signature_failed")


@tamper
def signed_by_somebody_else(bucket: Bucket) -> list[Place]:
    made = digest(bucket, HOURS - 1)
    made.said["logFiles"] = []
    bucket.sign(made.key, made.said, "somebody else")
    bucket.remove(*made.logs)
    return at_digest(made, "altered", "signature_failed")


@tamper
def digest_is_not_gzip(bucket: Bucket) -> list[Place]:
    made = digest(bucket, 3)
    bucket.put(made.key, b"not gzip at all")
    return at_digest(made, "altered", "invalid_format")


@tamper
def digest_is_empty(bucket: Bucket) -> list[Place]:
    made = digest(bucket, 3)
    bucket.put(made.key, b"")
    return at_digest(made, "altered", "invalid_format")


@tamper
def digest_is_cut_short(bucket: Bucket) -> list[Place]:
    made = digest(bucket, 3)
    bucket.put(made.key, bucket.path(made.key).read_bytes()[:-9])
    return at_digest(made, "altered", "invalid_format")


@tamper
def digest_is_no_json(bucket: Bucket) -> list[Place]:
    made = digest(bucket, 3)
    bucket.put(made.key, pack(b"[" * 100_000))
    return at_digest(made, "altered", "invalid_format")


@tamper
def digest_lacks_a_required_key(bucket: Bucket) -> list[Place]:
    made = digest(bucket, HOURS - 1)
    del made.said["digestEndTime"]
    bucket.put(made.key, pack(json.dumps(made.said).encode()))
    return at_digest(made, "altered", "invalid_format")


@tamper
def digest_inflates_without_end(bucket: Bucket) -> list[Place]:
    made = digest(bucket, 3)
    bucket.put(made.key, bomb(65))
    return at_digest(made, "unverifiable", "too_large")


@tamper
def digest_moved_to_another_key(bucket: Bucket) -> list[Place]:
    made = digest(bucket, 3)
    end = made.end + 2 * HOUR + dt.timedelta(minutes=20)
    key = bucket.digest_key(CHAIN, end)
    for suffix in ("", ".metadata.json"):
        bucket.path(made.key + suffix).rename(bucket.path(key + suffix))
    return [("altered", "moved", key, end - HOUR, end, 1), *at_digest(made, "gap", "digest_missing")]


@tamper
def digest_replaced_by_an_older_one(bucket: Bucket) -> list[Place]:
    made, older = digest(bucket, 3), digest(bucket, 2)
    for suffix in ("", ".metadata.json"):
        bucket.put(made.key + suffix, bucket.path(older.key + suffix).read_bytes())
    return at_digest(made, "altered", "moved")


@tamper
def digest_under_a_name_that_is_none(bucket: Bucket) -> list[Place]:
    made = digest(bucket, 3)
    key = made.key.replace(".json.gz", " (copy).json.gz")
    bucket.put(key, bucket.path(made.key).read_bytes())
    return [("altered", "moved", key, None, None, 1)]


@tamper
def digest_of_the_year_9999(bucket: Bucket) -> list[Place]:
    key = bucket.digest_key(CHAIN, END).replace("20260302T", "99990302T")
    bucket.put(key, pack(b"{}"))
    return [("altered", "invalid_format", key, None, None, 1)]


@tamper
def junk_digest_between_two_good_ones(bucket: Bucket) -> list[Place]:
    end = digest(bucket, 3).end + dt.timedelta(minutes=20)
    key = bucket.digest_key(CHAIN, end)
    bucket.put(key, pack(b"{}"))
    return [("altered", "invalid_format", key, end - HOUR, end, 1)]


@tamper
def metadata_deleted(bucket: Bucket) -> list[Place]:
    made = digest(bucket, 3)
    bucket.path(made.key + ".metadata.json").unlink()
    return at_digest(made, "unsigned", "metadata_missing")


@tamper
def metadata_without_signature(bucket: Bucket) -> list[Place]:
    made = digest(bucket, 3)
    bucket.describe(made.key, {"signature-algorithm": "SHA256withRSA"})
    return at_digest(made, "unsigned", "signature_missing")


@tamper
def metadata_is_no_json(bucket: Bucket) -> list[Place]:
    made = digest(bucket, 3)
    bucket.put(made.key + ".metadata.json", b"\xff{")
    return at_digest(made, "unsigned", "signature_missing")


@tamper
def older_digests_in_another_bucket(bucket: Bucket) -> list[Place]:
    gone = bucket.chains[CHAIN][:4]
    made = bucket.resign(CHAIN, 4, previousDigestS3Bucket="older-bucket")
    for before in gone:
        bucket.remove(before.key, *before.logs)
    for late in bucket.backfills.pop(CHAIN):
        bucket.remove(late.key, *late.logs)
    return [("unverifiable", "bucket_change", REGION, made.start - HOUR, made.start, 1)]


@tamper
def chain_of_another_bucket(bucket: Bucket) -> list[Place]:
    made = digest(bucket, HOURS - 1)
    bucket.resign(CHAIN, HOURS - 1, digestS3Bucket="attackers-own", logFiles=[])
    bucket.remove(*made.logs)
    return at_digest(made, "altered", "moved")


@tamper
def link_names_another_digest(bucket: Bucket) -> list[Place]:
    made = bucket.resign(CHAIN, 5, **bucket.link(digest(bucket, 3)))
    return [("altered", "link_key", made.key, digest(bucket, 4).start, made.end, 1)]


@tamper
def link_left_out(bucket: Bucket) -> list[Place]:
    made = bucket.resign(CHAIN, 5, **bucket.link(None))
    return [("altered", "link_missing", made.key, digest(bucket, 4).start, made.end, 1)]


@tamper
def two_digests_claim_one_time(bucket: Bucket) -> list[Place]:
    made = bucket.resign(CHAIN, 5, digestStartTime="2026-03-02T04:40:30Z")
    return [("altered", "overlap", made.key, digest(bucket, 4).start, made.end, 1)]


@tamper
def signed_digest_of_an_impossible_span(bucket: Bucket) -> list[Place]:
    made = bucket.resign(CHAIN, HOURS - 1, digestStartTime="0002-01-01T00:00:00Z", logFiles=[])
    bucket.remove(*made.logs)
    return at_digest(made, "altered", "invalid_format")


@tamper
def signed_digest_of_tomorrow(bucket: Bucket) -> list[Place]:
    made = bucket.digest(CHAIN, START + 24 * HOUR, [], digest(bucket, HOURS - 1))
    return at_digest(made, "clock_step", "from_the_future")


# Keys


@tamper
def key_is_not_given(bucket: Bucket) -> list[Place]:
    bucket.keys[REGION] = {"PublicKeyList": [public_key("somebody else")]}
    return of_the_whole_region("key_unknown")


@tamper
def key_is_no_der(bucket: Bucket) -> list[Place]:
    bucket.keys[REGION] = {"PublicKeyList": [public_key(REGION, Value="AAAA")]}
    return of_the_whole_region("key_unreadable")


@tamper
def key_is_not_base64(bucket: Bucket) -> list[Place]:
    bucket.keys[REGION] = {"PublicKeyList": [public_key(REGION, Value="*")]}
    return of_the_whole_region("key_unreadable")


@tamper
def key_was_not_valid_then(bucket: Bucket) -> list[Place]:
    bucket.keys[REGION] = {"PublicKeyList": [public_key(REGION, ValidityEndTime=1_700_000_000.0)]}
    return of_the_whole_region("key_not_valid")


@tamper
def key_of_one_digest_is_not_given(bucket: Bucket) -> list[Place]:
    made = bucket.resign(CHAIN, 3, digestPublicKeyFingerprint=fingerprint("another key"))
    return at_digest(made, "unverifiable", "key_unknown")


def of_the_whole_region(cause: str) -> list[Place]:
    late = (START + HOUR, START + 4 * HOUR, 2)
    return [("unverifiable", cause, REGION, *span) for span in ((START, END, HOURS), (START, END, HOURS), late)]


# Logs


@tamper
def log_deleted(bucket: Bucket) -> list[Place]:
    log = listed(digest(bucket, 3))
    bucket.remove(log["s3Object"])
    return at_log(log, "gap", "log_missing")


@tamper
def log_altered(bucket: Bucket) -> list[Place]:
    log = listed(digest(bucket, 3))
    bucket.put(log["s3Object"], pack(bucket.read(log["s3Object"]).replace(b"GetSecretValue", b"DescribeSecret")))
    return at_log(log, "altered", "hash_mismatch")


@tamper
def log_is_not_gzip(bucket: Bucket) -> list[Place]:
    log = listed(digest(bucket, 3))
    bucket.put(log["s3Object"], bucket.read(log["s3Object"]))
    return at_log(log, "altered", "invalid_format")


@tamper
def log_is_cut_short(bucket: Bucket) -> list[Place]:
    log = listed(digest(bucket, 3))
    bucket.put(log["s3Object"], bucket.path(log["s3Object"]).read_bytes()[:60])
    return at_log(log, "altered", "invalid_format")


@tamper
def log_inflates_without_end(bucket: Bucket) -> list[Place]:
    log = listed(digest(bucket, 3))
    bucket.put(log["s3Object"], bomb(129))
    return at_log(log, "unverifiable", "too_large")


@tamper
def log_of_another_account_put_in_its_place(bucket: Bucket) -> list[Place]:
    log = listed(digest(bucket, 3))
    other = bucket.chains[ACCOUNTS[1], REGION][3].logs[0]
    bucket.put(log["s3Object"], bucket.path(other).read_bytes())
    return at_log(log, "altered", "hash_mismatch")


@tamper
def log_lies_in_another_bucket(bucket: Bucket) -> list[Place]:
    log = listed(digest(bucket, 7)) | {"s3Bucket": "elsewhere"}
    bucket.remove(log["s3Object"])
    bucket.resign(CHAIN, 7, logFiles=[log, listed(digest(bucket, 7), 1)])
    return at_log(log, "unverifiable", "log_elsewhere")


@tamper
def log_listed_with_another_hash_function(bucket: Bucket) -> list[Place]:
    log = listed(digest(bucket, 7)) | {"hashAlgorithm": "MD5"}
    bucket.resign(CHAIN, 7, logFiles=[log, listed(digest(bucket, 7), 1)])
    return at_log(log, "unverifiable", "hash_algorithm")


@tamper
def events_listed_twice(bucket: Bucket) -> list[Place]:
    made = digest(bucket, 7)
    body = bucket.read(digest(bucket, 2).logs[0]) + b"\n"
    log = listed(made) | {"s3Object": bucket.log_key(CHAIN, made.start, "again")}
    log["hashValue"] = hashlib.sha256(body).hexdigest()
    bucket.put(log["s3Object"], pack(body))
    bucket.resign(CHAIN, 7, logFiles=[*made.said["logFiles"], log])
    return [("duplicate", "event_id", log["s3Object"], *times(log), 3)]


@tamper
def events_copied_to_another_region(bucket: Bucket) -> list[Place]:
    other = (ACCOUNTS[0], REGIONS[1])
    at = (START + 2 * HOUR + dt.timedelta(minutes=15)).replace(second=0)
    key = bucket.log_key(other, at, "copy")
    bucket.put(key, bucket.path(digest(bucket, 1).logs[0]).read_bytes())
    return [("unsigned", "unlisted_log", key, at, at, 1), ("duplicate", "event_id", key, at, at, 3)]


@tamper
def log_outside_any_region(bucket: Bucket) -> list[Place]:
    key = f"AWSLogs/{ACCOUNTS[0]}/CloudTrail/forged.json"
    bucket.put(key, b'{"Records":[]}')
    return [("unsigned", "unlisted_log", key, None, None, 1)]


@tamper
def named_log_outside_any_region(bucket: Bucket) -> list[Place]:
    at = (START + 2 * HOUR).replace(second=0)
    key = bucket.log_key(CHAIN, at, "forged").rpartition("/")[2]
    key = f"AWSLogs/{ACCOUNTS[0]}/CloudTrail/{key}"
    bucket.put(key, pack(b'{"Records":[]}'))
    return [("unsigned", "unlisted_log", key, at, at, 1)]


@tamper
def log_of_the_year_1(bucket: Bucket) -> list[Place]:
    key = bucket.log_key(CHAIN, START, "forged").replace("20260302T", "00010302T")
    bucket.put(key, pack(b'{"Records":[]}'))
    return [("unsigned", "unlisted_log", key, None, None, 1)]


@tamper
def log_under_a_name_that_is_none(bucket: Bucket) -> list[Place]:
    key = f"AWSLogs/{ACCOUNTS[0]}/CloudTrail/{REGION}/2026/03/02/forged.json"
    bucket.put(key, b'{"Records":[]}')
    return [("unsigned", "unlisted_log", key, None, None, 1)]


@tamper
def logs_from_before_the_chain(bucket: Bucket) -> list[Place]:
    minutes = [(START - number * HOUR).replace(second=0) for number in (3, 2)]
    for at in minutes:
        bucket.log(CHAIN, at, f"early {at}")
    return [("unsigned", "before_validation", REGION, *minutes, 2)]


# Backfilled digests


@tamper
def backfilled_digest_deleted(bucket: Bucket) -> list[Place]:
    made = bucket.backfills[CHAIN][0]
    bucket.remove(made.key, *made.logs)
    return at_digest(made, "gap", "digest_missing")


@tamper
def newest_backfilled_digest_deleted(bucket: Bucket) -> list[Place]:
    made = bucket.backfills[CHAIN][1]
    bucket.remove(made.key)
    at = (made.start + dt.timedelta(minutes=50)).replace(second=0)
    return [("unsigned", "unlisted_log", made.logs[0], at, at, 1)]


@tamper
def backfilled_log_deleted(bucket: Bucket) -> list[Place]:
    made = bucket.backfills[CHAIN][0]
    bucket.remove(*made.logs)
    return at_log(listed(made), "gap", "log_missing")


@tamper
def backfilled_digest_without_its_time(bucket: Bucket) -> list[Place]:
    made = bucket.backfills[CHAIN][1]
    told = bucket.metadata(made.key)
    del told["backfill-generation-timestamp"]
    bucket.describe(made.key, told)
    at = (made.start + dt.timedelta(minutes=50)).replace(second=0)
    return [*at_digest(made, "altered", "invalid_format"), ("unsigned", "unlisted_log", made.logs[0], at, at, 1)]


@tamper
def backfilled_link_hash(bucket: Bucket) -> list[Place]:
    made = bucket.backfills[CHAIN][1]
    made.said["previousDigestHashValue"] = "00" * 32
    bucket.sign(made.key, made.said, REGION, {"backfill-generation-timestamp": "2026-03-02T08:00:00Z"})
    return at_digest(made, "altered", "link_hash")


# Whole regions and accounts


@tamper
def region_of_one_account_deleted(bucket: Bucket) -> list[Place]:
    for folder in ("CloudTrail", "CloudTrail-Digest"):
        bucket.path(f"AWSLogs/{ACCOUNTS[1]}/{folder}/{REGION}").rename(bucket.root / f"gone-{folder}")
    return [("gap", "no_digests", REGION, None, None, 1)]


@tamper
def everything_deleted(bucket: Bucket) -> list[Place]:
    (bucket.root / "AWSLogs").rename(bucket.root / "gone")
    return [("gap", "no_digests", region, None, None, 1) for region in REGIONS]


def bomb(megabytes: int) -> bytes:
    """Gzip of that many megabytes of zeros, made without holding them."""
    engine = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(engine.compress(bytes(1 << 20)) for _ in range(megabytes)) + engine.flush()


assert signer("somebody else") is not signer(REGION)
assert gzip.decompress(pack(b"x")) == b"x"
