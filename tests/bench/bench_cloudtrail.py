"""What verifying a CloudTrail bucket costs: a signature check, a digest with everything around it, a log, memory.

python tests/bench/bench_cloudtrail.py [HOURS]        default 2,000 hours of one region, 4 logs of 500 events an hour

If a Python with pure-Python `rsa` is named in KEYTRAIL_AWSCLI_PYTHON (one that has awscli), its cost per signature is
measured in the same run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pipeline.integrity.cloudtrail import Scope, parse_keys, verify
from tests.bench import peak
from tests.signed_chains import HOUR, START, Bucket, public_key, signer

CHAIN = ("111111111111", "eu-west-1")
OTHER = """
import rsa, sys, time
key = rsa.PublicKey.load_pkcs1(bytes.fromhex(sys.argv[1]), format="DER")
signature, n = bytes.fromhex(sys.argv[2]), 500
start = time.process_time()
for _ in range(n):
    rsa.verify(b"x" * 500, signature, key)
print((time.process_time() - start) / n)
"""


def signatures() -> tuple[float, float | None]:
    """CPU seconds per signature: ours, and the pure-Python one's."""
    private = signer(CHAIN[1])
    signature = private.sign(b"x" * 500, padding.PKCS1v15(), hashes.SHA256())
    public, scheme, sha = private.public_key(), padding.PKCS1v15(), hashes.SHA256()
    count = 5_000
    start = time.process_time()
    for _ in range(count):
        public.verify(signature, b"x" * 500, scheme, sha)
    ours = (time.process_time() - start) / count
    other = os.environ.get("KEYTRAIL_AWSCLI_PYTHON")
    if not other:
        return ours, None
    der = public.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    done = subprocess.run([other, "-c", OTHER, der.hex(), signature.hex()], capture_output=True, text=True, check=True)
    return ours, float(done.stdout)


def made(root: Path, hours: int, logs: int, events: int) -> Bucket:
    bucket = Bucket(root)
    bucket.keys = {"PublicKeyList": [public_key(CHAIN[1], ValidityEndTime="2030-01-01T00:00:00Z")]}
    before = None
    for number in range(hours):
        start = START + number * HOUR
        listed = [bucket.log(CHAIN, start, f"{number} {log}", events) for log in range(logs)]
        before = bucket.digest(CHAIN, start, listed, before)
    return bucket


def looked(bucket: Bucket, hours: int) -> tuple[float, int, int]:
    """CPU seconds, digests and logs of one verification."""
    end = int((START + hours * HOUR).timestamp()) * 1_000_000
    ring = parse_keys(json.dumps(bucket.keys).encode())
    start = time.process_time()
    verified = verify(bucket.root, ring, Scope(None, end, end + 10**9))
    spent = time.process_time() - start
    assert not verified.broken, verified.integrity
    return spent, verified.digests, verified.logs


def main() -> None:
    hours = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    ours, other = signatures()
    print(f"signature            {ours * 1e6:8.1f} µs")
    if other is not None:
        print(f"signature, rsa       {other * 1e6:8.1f} µs     {other / ours:.1f} times ours")
    with tempfile.TemporaryDirectory() as folder:
        bucket = made(Path(folder) / "idle", hours, 0, 0)
        spent, digests, _ = looked(bucket, hours)
        print(f"idle digest, whole   {spent / digests * 1e6:8.1f} µs     {digests / spent:,.0f} digests/s")
        bucket = made(Path(folder) / "busy", hours // 4, 4, 500)
        size = sum(len(bucket.read(str(path.relative_to(bucket.root)))) for path in bucket.root.rglob("*Z_*.json.gz"))
        spent, digests, logs = looked(bucket, hours // 4)
        print(f"log, 500 events      {spent / logs * 1e6:8.1f} µs     {size / spent / 1e6:,.0f} MB/s inflated")
    print(f"peak memory          {peak.own():8.0f} MB")


if __name__ == "__main__":
    main()
