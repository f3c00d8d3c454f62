"""CloudTrail buckets for tests: digest chains signed with keys of our own, as a mirror leaves them on disk.

Built after the documented format (AWS CloudTrail user guide) with none of the verifier's code, so that one can be held
against the other. Keys are made once a process.
"""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import hashlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

START = dt.datetime(2026, 3, 2, 0, 10, 30, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
ACCOUNTS = ("111111111111", "222222222222")
REGIONS = ("eu-west-1", "us-east-1")
BUCKET = "org-audit-trail"
Chain = tuple[str, str]  # account, region


@lru_cache
def signer(name: str) -> rsa.RSAPrivateKey:
    """The key of a region, or of somebody else."""
    return rsa.generate_private_key(65537, 2048)


def fingerprint(name: str) -> str:
    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()


def public_key(name: str, **changes: Any) -> dict[str, Any]:
    """One entry of what list-public-keys prints."""
    der = signer(name).public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    validity = {"ValidityStartTime": "2026-02-20T00:00:00+00:00", "ValidityEndTime": "2026-03-20T00:00:00+00:00"}
    return {"Value": base64.b64encode(der).decode(), "Fingerprint": fingerprint(name), **validity, **changes}


def stamp(at: dt.datetime, form: str = "%Y-%m-%dT%H:%M:%SZ") -> str:
    return at.strftime(form)


def pack(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


@dataclass
class Made:
    """A digest as it was delivered; times are those it states."""

    key: str
    start: dt.datetime
    end: dt.datetime
    said: dict[str, Any]
    logs: list[str]


@dataclass
class Bucket:
    """A mirrored bucket. `chains` and `backfills` hold its digests, oldest first."""

    root: Path
    name: str = BUCKET
    trail: str = "management"
    home: str = "eu-west-1"
    prefix: str = "AWSLogs"
    chains: dict[Chain, list[Made]] = field(default_factory=dict)
    backfills: dict[Chain, list[Made]] = field(default_factory=dict)
    keys: dict[str, Any] = field(default_factory=dict)  # the keys file: every region's own key

    def path(self, key: str) -> Path:
        return self.root / key

    def read(self, key: str) -> bytes:
        return gzip.decompress(self.path(key).read_bytes())

    def put(self, key: str, data: bytes) -> None:
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def metadata(self, key: str) -> dict[str, str]:
        told: dict[str, str] = json.loads(self.path(key + ".metadata.json").read_bytes())
        return told

    def describe(self, key: str, metadata: dict[str, str]) -> None:
        self.put(key + ".metadata.json", json.dumps(metadata, indent=4).encode())

    def remove(self, *keys: str) -> None:
        for key in keys:
            self.path(key).unlink()
            self.path(key + ".metadata.json").unlink(missing_ok=True)

    def sign(self, key: str, said: dict[str, Any], region: str, extra: dict[str, str] | None = None) -> None:
        """Writes a digest with the region's signature in its metadata."""
        body = json.dumps(said).encode()
        previous = said["previousDigestSignature"]
        to_sign = "\n".join(
            [
                said["digestEndTime"],
                said["digestS3Bucket"] + "/" + said["digestS3Object"],
                hashlib.sha256(body).hexdigest(),
                "null" if previous is None else previous,
            ]
        )
        signature = signer(region).sign(to_sign.encode(), padding.PKCS1v15(), hashes.SHA256()).hex()
        self.put(key, pack(body))
        self.describe(key, {"signature": signature, "signature-algorithm": "SHA256withRSA", **(extra or {})})

    def log_key(self, chain: Chain, at: dt.datetime, unique: str) -> str:
        account, region = chain
        folder = f"{self.prefix}/{account}/CloudTrail/{region}/{stamp(at, '%Y/%m/%d')}"
        return f"{folder}/{account}_CloudTrail_{region}_{stamp(at, '%Y%m%dT%H%MZ')}_{unique}.json.gz"

    def digest_key(self, chain: Chain, end: dt.datetime, suffix: str = "") -> str:
        account, region = chain
        folder = f"{self.prefix}/{account}/CloudTrail-Digest/{region}/{stamp(end, '%Y/%m/%d')}"
        name = f"{account}_CloudTrail-Digest_{region}_{self.trail}_{self.home}_{stamp(end, '%Y%m%dT%H%M%SZ')}"
        return f"{folder}/{name}{suffix}.json.gz"

    def log(self, chain: Chain, at: dt.datetime, seed: str, events: int = 3) -> dict[str, Any]:
        """Writes a log object and says how a digest lists it."""
        unique = hashlib.sha256(seed.encode()).hexdigest()[:16]
        key = self.log_key(chain, at, unique)
        body = json.dumps({"Records": list(_events(chain, at, seed, events))}).encode()
        self.put(key, pack(body))
        return {
            "s3Bucket": self.name,
            "s3Object": key,
            "hashValue": hashlib.sha256(body).hexdigest(),
            "hashAlgorithm": "SHA-256",
            "newestEventTime": stamp(at),
            "oldestEventTime": stamp(at - dt.timedelta(minutes=4)),
        }

    def digest(
        self, chain: Chain, start: dt.datetime, logs: list[dict[str, Any]], before: Made | None, suffix: str = ""
    ) -> Made:
        """Writes the digest of the hour from `start`, linked to the one before."""
        end = start + HOUR
        key = self.digest_key(chain, end, suffix)
        said: dict[str, Any] = {
            "awsAccountId": chain[0],
            "digestStartTime": stamp(start),
            "digestEndTime": stamp(end),
            "digestS3Bucket": self.name,
            "digestS3Object": key,
            "digestPublicKeyFingerprint": fingerprint(chain[1]),
            "digestSignatureAlgorithm": "SHA256withRSA",
            "newestEventTime": logs[-1]["newestEventTime"] if logs else None,
            "oldestEventTime": logs[0]["oldestEventTime"] if logs else None,
            **self.link(before),
            "logFiles": logs,
        }
        extra = {"backfill-generation-timestamp": stamp(end + 3 * HOUR)} if suffix else None
        self.sign(key, said, chain[1], extra)
        return Made(key, start, end, said, [listed["s3Object"] for listed in logs])

    def link(self, before: Made | None) -> dict[str, Any]:
        names = ("S3Bucket", "S3Object", "HashValue", "HashAlgorithm", "Signature")
        if before is None:
            return {f"previousDigest{name}": None for name in names}
        content = hashlib.sha256(self.read(before.key)).hexdigest()
        signature = self.metadata(before.key)["signature"]
        values = (before.said["digestS3Bucket"], before.key, content, "SHA-256", signature)
        return {f"previousDigest{name}": value for name, value in zip(names, values, strict=True)}

    def hour(self, chain: Chain, start: dt.datetime, number: int, logs: int = 2) -> Made:
        """One more digest of a chain, with its logs; every fifth hour is idle."""
        made = self.chains.setdefault(chain, [])
        minutes = range(8, 8 + 20 * (0 if number % 5 == 4 else logs), 20)
        listed = [
            self.log(chain, start + dt.timedelta(minutes=minute), f"{chain}{number}{minute}") for minute in minutes
        ]
        made.append(self.digest(chain, start, listed, made[-1] if made else None))
        return made[-1]

    def extend(self, chain: Chain, hours: int, start: dt.datetime = START) -> None:
        """A chain of `hours` digests."""
        for number in range(hours):
            self.hour(chain, start + number * HOUR, number)

    def backfill(self, chain: Chain, hours: tuple[int, ...]) -> None:
        """Late digests for some hours, each with one log that the hour's own digest did not list."""
        made = self.backfills.setdefault(chain, [])
        for number in hours:
            start = START + number * HOUR
            log = self.log(chain, start + dt.timedelta(minutes=50), f"late {chain}{number}")
            made.append(self.digest(chain, start, [log], made[-1] if made else None, "_backfill"))

    def resign(self, chain: Chain, number: int, **changes: Any) -> Made:
        """Changes what a digest says and signs it anew, as only a holder of the key can; also all that follow it."""
        made = self.chains[chain]
        for index in range(number, len(made)):
            digest = made[index]
            if index > number:
                changes = self.link(made[index - 1])
            digest.said.update(changes)
            self.sign(digest.key, digest.said, chain[1])
        return made[number]


def _events(chain: Chain, at: dt.datetime, seed: str, count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {
            "eventVersion": "1.11",
            "eventTime": stamp(at - dt.timedelta(minutes=4) + number * dt.timedelta(seconds=50)),
            "eventSource": "secretsmanager.amazonaws.com",
            "eventName": "GetSecretValue",
            "awsRegion": chain[1],
            "eventID": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{seed}{number}")),
            "recipientAccountId": chain[0],
        }


def build(
    root: Path,
    *,
    accounts: tuple[str, ...] = ACCOUNTS,
    regions: tuple[str, ...] = REGIONS,
    hours: int = 8,
    **about: Any,
) -> Bucket:
    """Every account in every region, a digest each hour, every fifth hour idle, one backfill chain."""
    bucket = Bucket(root, **about)
    for account in accounts:
        for region in regions:
            bucket.extend((account, region), hours)
    bucket.keys = {region: {"PublicKeyList": [public_key(region)]} for region in regions}
    if hours > 3:
        bucket.backfill((accounts[0], regions[0]), (1, 3))
    return bucket
