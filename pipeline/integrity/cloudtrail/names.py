"""What the keys of a CloudTrail bucket say: whose digest or log an object is, and of when.

`[prefix/]AWSLogs/[o-organisation/]ACCOUNT/CloudTrail-Digest/REGION/YYYY/MM/DD/ACCOUNT_CloudTrail-Digest_REGION_TRAIL_HOME_END.json.gz`
`[prefix/]AWSLogs/[o-organisation/]ACCOUNT/CloudTrail/REGION/YYYY/MM/DD/ACCOUNT_CloudTrail_REGION_TIME_UNIQUE.json.gz`
(AWS CloudTrail user guide, "CloudTrail digest file structure" and "CloudTrail log file name format").
A name proves nothing; what is signed does. Times are microseconds since 1970, UTC.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Final

HOUR: Final = 3_600_000_000
MINUTE: Final = 60_000_000
SIDECAR: Final = ".metadata.json"

_DIGEST: Final = re.compile(
    r"(\d{12})_CloudTrail-Digest_([a-z0-9-]+)_(.+)_([a-z0-9-]+)_(\d{8}T\d{6}Z)(_backfill)?\.json\.gz", re.ASCII
)
_LOG: Final = re.compile(r"\d{12}_CloudTrail[A-Za-z-]*_[a-z0-9-]+_(\d{8}T\d{4}Z)_[^_/]+\.json\.gz", re.ASCII)
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Chain:
    """One row of digests that follow one another: of one account, region and trail, regular or backfilled."""

    account: str
    region: str
    trail: str
    home: str
    backfill: bool

    def __str__(self) -> str:
        return f"account {self.account}, trail {self.trail}{', backfill' if self.backfill else ''}"


@dataclass(frozen=True, slots=True)
class DigestName:
    """A digest object by its key."""

    key: str
    chain: Chain
    end: int


def digest_name(key: str, account: str, region: str) -> DigestName | None:
    """What the key of an object in the digest folder of `account` and `region` says; None when it is no digest's."""
    match = _DIGEST.fullmatch(key.rpartition("/")[2])
    if match is None or match[1] != account or match[2] != region:
        return None
    end = _stamp(match[5], "%Y%m%dT%H%M%SZ")
    return None if end is None else DigestName(key, Chain(account, region, match[3], match[4], bool(match[6])), end)


def log_time(key: str) -> int | None:
    """When the log object was made, to the minute, as its key says."""
    match = _LOG.fullmatch(key.rpartition("/")[2])
    return None if match is None else _stamp(match[1], "%Y%m%dT%H%MZ")


def micros(text: str) -> int | None:
    """An RFC 3339 time; without an offset it is UTC. None when it is none."""
    try:
        moment = dt.datetime.fromisoformat(text)
        return to_micros(moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC))
    except (ValueError, OverflowError):
        return None


def to_micros(moment: dt.datetime) -> int:
    """Microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def rfc3339(at: int) -> str:
    """A time as people read it."""
    return (_EPOCH + at * _MICROSECOND).isoformat().replace("+00:00", "Z")


def hours(start: int, end: int) -> int:
    """How many digests are due between two times: one an hour, at least one."""
    return max(1, round((end - start) / HOUR))


def _stamp(text: str, form: str) -> int | None:
    try:
        return to_micros(dt.datetime.strptime(text, form).replace(tzinfo=dt.UTC))
    except ValueError:
        return None
