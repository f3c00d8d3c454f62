"""The vendor's own validator on the same buckets: what it refuses is refused here, and what it lets pass."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.signed_chains import START, Bucket, build
from tests.unit.integrity_cloudtrail.looking import look
from tests.unit.integrity_cloudtrail.tampers import CHAIN, END, HOURS, REGION, TAMPERS, Place
from tests.unit.integrity_cloudtrail.test_cloudtrail_legitimate import LEGITIMATE

pytestmark = pytest.mark.integration
Vendor = subprocess.Popen[str]
DRIVER = Path(__file__).parents[1] / "interop" / "cloudtrail" / "vendor.py"

# The vendor's states, and the causes that are the same thing here.
STATES = {
    "signature verification failed": {"signature_failed", "metadata_missing", "signature_missing"},
    "invalid format": {"invalid_format", "too_large"},
    "has been moved": {"moved"},
    "public key not found": {"key_unknown", "key_not_valid"},
    "Unable to load PKCS #1 key": {"key_unreadable"},
    "not found": {"digest_missing", "log_missing", "log_elsewhere", "bucket_change"},
    "hash value doesn't match": {"hash_mismatch", "invalid_format", "hash_algorithm"},
    "unexpected data after end": {"trailing_data"},
}
# What it exits 0 on: the nine of its known holes, and their kin.
PASSES = {
    "newest_digests_and_logs_deleted", "all_digests_deleted_logs_kept", "all_digests_and_logs_deleted",
    "forged_log_no_digest_lists", "listed_log_copied_to_a_new_key", "listed_log_copied_after_the_newest_digest",
    "logging_gap", "logging_gap_with_a_link_across_it", "bytes_appended_to_a_digest", "signature_algorithm_changed",
    "link_hash_is_not_the_predecessors", "link_signature_is_not_the_predecessors", "link_left_out",
    "link_names_another_digest", "two_digests_claim_one_time",
    "events_listed_twice", "newest_backfilled_digest_deleted", "backfilled_link_hash", "everything_deleted",
    "digest_of_the_year_9999", "junk_digest_between_two_good_ones", "log_outside_any_region",
    "named_log_outside_any_region", "log_of_the_year_1", "signed_digest_of_tomorrow",
    "log_listed_with_another_hash_function",
    "log_under_a_name_that_is_none", "logs_from_before_the_chain", "events_copied_to_another_region",
    "region_of_one_account_deleted", "digest_under_a_name_that_is_none", "signed_digest_of_an_impossible_span",
}  # fmt: skip


@pytest.fixture(scope="session")
def vendor(awscli: Path) -> Iterator[Vendor]:
    """The validator in a process of its own, asked and answering line by line."""
    with subprocess.Popen([awscli, DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="session")
def awscli(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python of its own with awscli."""
    given = os.environ.get("KEYTRAIL_AWSCLI_PYTHON")
    if given:
        return Path(given)
    folder = tmp_path_factory.mktemp("awscli")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    done = subprocess.run([python, "-m", "pip", "install", "-q", "awscli"], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = f"awscli cannot be had: {done.stderr[-300:]}"
        if os.environ.get("KEYTRAIL_REQUIRE_INTEGRATION") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return python


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Bucket:
    return build(tmp_path_factory.mktemp("bucket") / "whole", hours=HOURS)


def copied(whole: Bucket, root: Path) -> Bucket:
    mine = copy.deepcopy(whole)
    mine.root = root
    shutil.copytree(whole.root, root)
    return mine


def question(bucket: Bucket) -> dict[str, Any]:
    return {
        "root": str(bucket.root),
        "bucket": bucket.name,
        "keys": bucket.keys,
        "trail": bucket.trail,
        "account": CHAIN[0],
        "region": REGION,
        "start": START.isoformat(),
        "end": END.isoformat(),
    }


def ask(vendor: Vendor, bucket: Bucket) -> dict[str, Any]:
    assert vendor.stdin is not None
    assert vendor.stdout is not None
    vendor.stdin.write(json.dumps(question(bucket)) + "\n")
    vendor.stdin.flush()
    answer: dict[str, Any] = json.loads(vendor.stdout.readline())
    return answer


def refused(said: str) -> list[tuple[str, str]]:
    """Object and state of every line that says INVALID."""
    return re.findall(r"file\ts3://[^/]+/(\S.*?)\tINVALID: (.+)", said)


@pytest.mark.parametrize("name", [name for name in TAMPERS if not name.endswith("without_end")])
def test_tampers_by_both(vendor: Vendor, whole: Bucket, tmp_path: Path, name: str) -> None:
    """What the vendor calls invalid has a row here with the same state; what it lets pass is the list above."""
    bucket = copied(whole, tmp_path / "mirror")
    expected: list[Place] = TAMPERS[name](bucket)
    answer = ask(vendor, bucket)
    assert (answer["code"] == 0) == (name in PASSES), answer["said"]
    broken = look(bucket).integrity.filter(pl.col("verdict") != "ok")
    causes = set(broken["cause"])
    assert len(broken) == len(expected)
    for key, state in refused(answer["said"]):
        same = next((known for told, known in STATES.items() if told in state), None)
        assert same is None or same & causes, (key, state, causes)


@pytest.mark.parametrize(
    "name", ["nothing_happened", "logs_newer_than_the_newest_digest", "newest_digest_is_not_due_yet",
             "a_log_without_records", "insight_logs", "keys_as_the_first_version_prints_them",
             "other_services_in_the_bucket", "a_second_trail_tells_of_the_same_events"],
)  # fmt: skip
def test_whole_buckets_by_both(vendor: Vendor, whole: Bucket, tmp_path: Path, name: str) -> None:
    """Both find nothing wrong with a bucket that nobody touched, and count the same digests and logs."""
    bucket = copied(whole, tmp_path / "mirror")
    LEGITIMATE[name](bucket)
    answer = ask(vendor, bucket)
    verified = look(bucket)
    assert (answer["code"], verified.broken) == (0, False), answer["said"]
    if name == "nothing_happened":
        assert "8/8 digest files valid" in answer["said"]
        assert "2/2 backfill digest files valid" in answer["said"]
        regular = next(iter(re.findall(r"(\d+)/\d+ log files valid", answer["said"])))
        assert int(regular) == sum(len(made.logs) for made in bucket.chains[CHAIN] + bucket.backfills[CHAIN])


def test_adjacent_digests_deleted_are_counted_one_by_one_here(vendor: Vendor, whole: Bucket, tmp_path: Path) -> None:
    """The vendor counts three deleted digests as one invalid; here each hour counts."""
    bucket = copied(whole, tmp_path / "mirror")
    TAMPERS["three_adjacent_digests_deleted"](bucket)
    assert len(refused(ask(vendor, bucket)["said"])) == 1
    assert look(bucket).integrity.filter(cause="digest_missing")["count"].to_list() == [3]
