"""Every way a CloudTrail bucket can fail to hold: the cause, the verdict it is, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# cause -> (verdict of core.schema.VERDICTS, what is true). The documentation lists exactly these.
CAUSES: Final = {
    "digest_missing": ("gap", "a digest that is known to have been made is not there"),
    "logging_gap": ("gap", "no digest was made for this time: logging or validation was off"),
    "starts_late": ("gap", "the chain begins after the start that was asked for"),
    "no_digests": ("gap", "there is no digest at all where there should be"),
    "chain_vanished": ("gap", "a chain seen before is gone"),
    "log_missing": ("gap", "a log that a digest lists is not there"),
    "stale": ("truncated", "the newest digest is older than it should be"),
    "rolled_back": ("truncated", "the chain ends before what was seen before"),
    "signature_failed": ("altered", "the signature does not fit the digest"),
    "invalid_format": ("altered", "the object is not what CloudTrail writes"),
    "moved": ("altered", "the digest was made for another place"),
    "hash_mismatch": ("altered", "the log is not the one its digest lists"),
    "trailing_data": ("altered", "bytes follow the end of the compressed stream"),
    "signature_algorithm": ("altered", "another signature algorithm is named than CloudTrail uses"),
    "link_hash": ("altered", "the hash in the link is not that of the digest before"),
    "link_signature": ("altered", "the signature in the link is not that of the digest before"),
    "link_key": ("altered", "the link names another object than the digest before"),
    "link_missing": ("altered", "there is no link to the digest before"),
    "overlap": ("altered", "two digests claim the same time"),
    "head_changed": ("altered", "a digest seen before has other contents now"),
    "key_changed": ("altered", "the given public key is not the one that was recorded first under its fingerprint"),
    "from_the_future": ("clock_step", "a well signed digest ends after now: a clock is wrong, perhaps this machine's"),
    "copied_log": ("duplicate", "a listed log lies under a second key"),
    "event_id": ("duplicate", "events stand in the trail twice"),
    "unlisted_log": ("unsigned", "no digest lists this log"),
    "before_validation": ("unsigned", "logs from before validation was turned on"),
    "metadata_missing": ("unsigned", "the object's metadata, where the signature is, was not mirrored or is gone"),
    "signature_missing": ("unsigned", "the object's metadata holds no signature"),
    "key_unknown": ("unverifiable", "none of the given public keys is the one it was signed with"),
    "key_unreadable": ("unverifiable", "the public key it names cannot be loaded"),
    "key_not_valid": ("unverifiable", "the public key it names was not valid then"),
    "bucket_change": ("unverifiable", "the digest before lies in another bucket"),
    "log_elsewhere": ("unverifiable", "the log lies in another bucket"),
    "hash_algorithm": ("unverifiable", "the log is listed with another hash than SHA-256"),
    "too_large": ("unverifiable", "inflated it is larger than any CloudTrail object"),
    "unreadable": ("unverifiable", "the file cannot be read"),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that does not hold; `cause` is a key of CAUSES, `offset` a byte of the object where that says more."""

    cause: str
    evidence: str = ""
    offset: int | None = None
