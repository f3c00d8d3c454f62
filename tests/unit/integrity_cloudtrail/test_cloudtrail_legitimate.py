"""What real buckets go through without anybody having touched them: no alarm, as a table."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.signed_chains import HOUR, Bucket, build, pack, public_key
from tests.unit.integrity_cloudtrail.looking import look, places
from tests.unit.integrity_cloudtrail.tampers import ACCOUNTS, CHAIN, END, HOURS, REGION, START, digest

Change = Callable[[Bucket], dict[str, Any] | None]  # returns options of the verification
LEGITIMATE: dict[str, Change] = {}


def legitimate(make: Change) -> Change:
    LEGITIMATE[make.__name__] = make
    return make


@legitimate
def nothing_happened(_bucket: Bucket) -> None:
    return None


@legitimate
def logs_newer_than_the_newest_digest(bucket: Bucket) -> None:
    for minute in (-3, 5, 20):
        bucket.log(CHAIN, END + dt.timedelta(minutes=minute), f"new {minute}")


@legitimate
def newest_digest_is_not_due_yet(bucket: Bucket) -> None:
    made = digest(bucket, HOURS - 1)
    bucket.remove(made.key)


@legitimate
def prefix_changed(bucket: Bucket) -> None:
    bucket.prefix = "audit/2026/AWSLogs"
    bucket.hour(CHAIN, END, HOURS)


@legitimate
def bucket_changed_and_both_mirrored_together(bucket: Bucket) -> None:
    bucket.name = "new-bucket"
    for chain in bucket.chains:
        bucket.hour(chain, END, HOURS)


@legitimate
def key_rotated(bucket: Bucket) -> None:
    bucket.keys[REGION]["PublicKeyList"].insert(0, public_key("next key"))


@legitimate
def one_list_of_keys_for_every_region(bucket: Bucket) -> None:
    bucket.keys = {"PublicKeyList": [key for told in bucket.keys.values() for key in told["PublicKeyList"]]}


@legitimate
def keys_as_the_first_version_prints_them(bucket: Bucket) -> None:
    for told in bucket.keys.values():
        told["PublicKeyList"][0] |= {"ValidityStartTime": 1_771_545_600.0, "ValidityEndTime": 1_774_000_000.0}


@legitimate
def keys_without_validity(bucket: Bucket) -> None:
    for told in bucket.keys.values():
        del told["PublicKeyList"][0]["ValidityStartTime"], told["PublicKeyList"][0]["ValidityEndTime"]


@legitimate
def a_second_trail_tells_of_the_same_events(bucket: Bucket) -> None:
    second = Bucket(bucket.root, trail="security_team")
    made = None
    for number in range(HOURS):
        start = START + number * HOUR
        logs = []
        for log in digest(bucket, number).said["logFiles"]:
            key = log["s3Object"].replace("Z_", "Z_second")
            bucket.put(key, pack(bucket.read(log["s3Object"])))
            logs.append(log | {"s3Object": key})
        made = second.digest(CHAIN, start, logs, made)


@legitimate
def validation_turned_on_later_in_one_account(bucket: Bucket) -> None:
    account = "333333333333"
    for _, region in list(bucket.chains)[:2]:
        bucket.extend((account, region), 2, END - 2 * HOUR)


@legitimate
def other_services_in_the_bucket(bucket: Bucket) -> None:
    for key in (
        f"AWSLogs/{ACCOUNTS[0]}/elasticloadbalancing/{REGION}/2026/03/02/x.log.gz",
        f"AWSLogs/{ACCOUNTS[0]}/Config/{REGION}/2026/3/2/x.json.gz",
        "cost/report.csv",
        f"AWSLogs/{ACCOUNTS[0]}/CloudTrail/{REGION}/2026/03/02/y.json.gz.metadata.json",
    ):
        bucket.put(key, b"x")


@legitimate
def insight_logs(bucket: Bucket) -> None:
    made = digest(bucket, HOURS - 1)
    log = dict(made.said["logFiles"][0])
    body = b'{"Records":[{"eventID":"no uuid"},{"eventID":null},{}]}'
    log |= {"s3Object": log["s3Object"].replace("/CloudTrail/", "/CloudTrail-Insight/")}
    log |= {"hashValue": hashlib.sha256(body).hexdigest(), "oldestEventTime": None, "hashAlgorithm": None}
    bucket.put(log["s3Object"], pack(body))
    bucket.resign(CHAIN, HOURS - 1, logFiles=[*made.said["logFiles"], log])


@legitimate
def hashes_in_capitals(bucket: Bucket) -> None:
    made = digest(bucket, HOURS - 1)
    logs = [log | {"hashValue": log["hashValue"].upper()} for log in made.said["logFiles"]]
    bucket.resign(CHAIN, HOURS - 1, logFiles=logs)
    told = bucket.metadata(made.key)
    bucket.describe(made.key, told | {"signature": told["signature"].upper()})


@legitimate
def a_log_without_records(bucket: Bucket) -> None:
    made = digest(bucket, HOURS - 1)
    body = b"{}"
    log = made.said["logFiles"][0]
    bucket.put(log["s3Object"], pack(body))
    listed = log | {"hashValue": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}
    bucket.resign(CHAIN, HOURS - 1, logFiles=[listed, *made.said["logFiles"][1:]])


@legitimate
def to_a_time_in_the_middle(bucket: Bucket) -> dict[str, Any]:
    for made in bucket.chains[CHAIN][6:]:
        bucket.remove(made.key, *made.logs)
    return {"end": digest(bucket, 5).end}


@legitimate
def from_a_time_within_a_digest(bucket: Bucket) -> dict[str, Any]:
    for made in bucket.chains[CHAIN][:3]:
        bucket.remove(made.key, *made.logs)
    return {"start": digest(bucket, 3).start + dt.timedelta(minutes=1), "end": END}


@legitimate
def from_the_minute_a_log_was_made(bucket: Bucket) -> dict[str, Any]:
    made = digest(bucket, 3)
    log = bucket.log(CHAIN, made.end - dt.timedelta(seconds=20), "last of its hour")
    bucket.resign(CHAIN, 3, logFiles=[*made.said["logFiles"], log])
    bucket.remove(*(before.key for before in bucket.chains[CHAIN][:4]))
    return {"start": made.end}


@legitimate
def log_listed_by_the_digest_after_the_scope(bucket: Bucket) -> dict[str, Any]:
    made = digest(bucket, 6)
    log = bucket.log(CHAIN, made.start - dt.timedelta(minutes=30), "delivered late")
    bucket.resign(CHAIN, 6, logFiles=[*made.said["logFiles"], log])
    return {"end": made.start}


@legitimate
def account_that_came_after_the_scope(bucket: Bucket) -> dict[str, Any]:
    account = "333333333333"
    for _, region in list(bucket.chains)[:2]:
        bucket.extend((account, region), 2, END - 2 * HOUR)
    return {"end": END - 3 * HOUR}


@legitimate
def the_same_was_seen_before(bucket: Bucket) -> dict[str, Any]:
    return {"seen": look(bucket).heads}


@pytest.mark.parametrize("name", LEGITIMATE)
def test_no_alarm(name: str, bucket: Bucket) -> None:
    """A bucket that nobody touched gives no verdict but ok."""
    options = LEGITIMATE[name](bucket) or {}
    assert places(look(bucket, **options)) == []


@pytest.mark.parametrize("prefix", ["AWSLogs/o-abc123def4", "some/prefix/AWSLogs", "AWSLogs/o-abc/AWSLogs"])
def test_organisations_and_prefixes(tmp_path: Path, prefix: str) -> None:
    """Chains under an organisation's id or any prefix are found; a folder layout that CloudTrail has not is none."""
    bucket = build(tmp_path, accounts=ACCOUNTS[:1], hours=HOURS, prefix=prefix)
    verified = look(bucket)
    if prefix.endswith("o-abc/AWSLogs"):
        assert {cause for _, cause, *_ in places(verified)} == {"no_digests"}
    else:
        assert places(verified) == []
        assert verified.digests == 2 * HOURS + 2


def test_waiting_logs_are_counted(bucket: Bucket) -> None:
    """Logs whose digest is not due yet are no fault, and are told."""
    logs_newer_than_the_newest_digest(bucket)
    assert look(bucket).waiting == 3


def test_a_bucket_is_the_same_whatever_the_order_of_its_files(bucket: Bucket) -> None:
    """Two verifications of one bucket give equal rows and uids."""
    first, second = look(bucket), look(bucket)
    assert first.integrity.equals(second.integrity)
    assert first.coverage.equals(second.coverage)
    assert json.dumps([head.key for head in first.heads]) == json.dumps([head.key for head in second.heads])
