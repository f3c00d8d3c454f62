"""CloudTrail's digest chains, verified offline on a mirrored bucket: what is unchanged, and what is not all there.

The algorithm is the vendor's (see `digest`); the states are those of the vendor's own validator, and what that lets
pass: the newest or all digests gone, logs that no digest lists, hours without a digest, links that do not fit.
"""

from pipeline.integrity.cloudtrail.coverage import merged
from pipeline.integrity.cloudtrail.heads import Head, read_heads, write_heads
from pipeline.integrity.cloudtrail.keys import Changed, KeyRing, PublicKey, load_keys, parse_keys, told_key
from pipeline.integrity.cloudtrail.names import micros
from pipeline.integrity.cloudtrail.scope import Scope
from pipeline.integrity.cloudtrail.verify import Verified, verify

__all__ = [
    "Changed", "Head", "KeyRing", "PublicKey", "Scope", "Verified", "load_keys", "merged", "micros", "parse_keys",
    "read_heads", "told_key", "verify", "write_heads",
]  # fmt: skip
