"""What caches answered (M10): told by their own logs, or, where there is but an audit log, an estimate.

A cache's hits never reach the store, so no audit log has them. What it has are the misses, and of these the ones that
were not needed: a session that reads the same version of a secret again within `cache_seconds`. Event time is cut into
slots of that length. In each, the first read of a version by a session is needed, every further one is a miss that a
cache would have answered. A cache that keeps what it fetched for as long fetches at most once in a slot, and each of
its fetches serves two slots at the most: what is counted as needed is what it would have fetched, up to twice that.

So it is a matter of sets: neither the order of the reads within a slot nor the cut of the stream counts.
"""

from __future__ import annotations

from functools import reduce
from operator import xor
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from pipeline.core.schema import CACHE, CACHE_HIT, CACHE_MISS
from pipeline.sli.tally import LEFT_OUT, NEEDED, NO_LOOKUP, REPEATED, SECOND

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipeline.core.hashing import U64
    from pipeline.core.model import Ints
    from pipeline.sli.config import Config

KNOWN: Final = pl.Schema({"slot": pl.Int64(), "key": pl.UInt64()})
_READ: Final = (
    (pl.col("operation") == "read")
    & (pl.col("outcome") == "success")
    & pl.col("discloses_value")
    & (pl.col("secret") != "")
)
# A value that is asked for with something to work on (a ciphertext, a certificate request) is another one each time.
_ASKED: Final = (pl.col("api_operation") == "read") & pl.col("mount_type").ne_missing(pl.lit("totp"))
_WORKED_OUT: Final = r"(?i)crypt|sign|verif|unwrap|decapsulate|datakey|random|mac$"
_SAME: Final = ~pl.col("api_operation").str.contains(_WORKED_OUT)
_LOOKUP: Final = _READ & _ASKED
_LOOKUP_IN_ANY: Final = _READ & pl.when(pl.col("store") == "vault").then(_ASKED).otherwise(_SAME)

# A cache's own log: what it answered was needed by nobody else, what it forwarded was a miss.
_OWN: Final = pl.col("store") == CACHE
_TOLD: Final = (
    pl.when(_OWN & (pl.col("api_operation") == CACHE_HIT)).then(pl.lit(NEEDED, pl.UInt8))
    .when(_OWN & (pl.col("api_operation") == CACHE_MISS)).then(pl.lit(REPEATED, pl.UInt8))
    .otherwise(pl.lit(NO_LOOKUP, pl.UInt8))
)  # fmt: skip

# Who read which version of what; where the store tells no session: who, from where. These hashes may differ between
# versions of Polars. They are remembered for minutes: what an upgrade costs is that a read counts as needed twice.
_ASKING: Final = (
    pl.when((pl.col("session") != "").fill_null(value=False))
    .then(pl.col("session").hash(1))
    .otherwise(pl.col("principal").hash(2) ^ pl.col("client_ip").hash(3))
)
_KEY: Final = reduce(
    xor,
    (pl.col(name).hash(seed) for seed, name in enumerate(("secret", "secret_version", "namespace", "store"), start=4)),
    _ASKING,
).alias("key")


class Cached:
    """Which versions each session has read in the slots that are not over: eight bytes each, at most `max_cached`."""

    def __init__(self, config: Config) -> None:
        self._size = config.cache_seconds * SECOND
        self._grace = config.grace_seconds * SECOND
        self._most = config.max_cached
        self._known: dict[int, U64] = {}  # slot (µs of its start) -> keys in order

    def kinds(self, operations: pl.DataFrame, at: Ints, told: Ints) -> npt.NDArray[np.uint8]:
        """What each operation is to a cache: NO_LOOKUP, NEEDED, REPEATED or LEFT_OUT.

        `at` is when it was, `told` how far event time had come with it, both µs.
        """
        kinds = np.full(len(operations), NO_LOOKUP, np.uint8)
        only_vault = bool((operations["store"] == "vault").all())
        asked = _LOOKUP if only_vault else _LOOKUP_IN_ANY
        found = operations.select(_KEY, asked=asked.fill_null(value=False))
        if not only_vault:
            kinds[:] = operations.select(_TOLD.alias("kind"))["kind"].to_numpy()
        rows = np.flatnonzero(found["asked"].to_numpy())
        keys = found["key"].to_numpy()[rows]
        slots = at[rows] // self._size * self._size
        kinds[rows] = LEFT_OUT
        in_time = slots + self._size + self._grace > told[rows]
        for slot in _distinct(slots[in_time]):
            mine = in_time & (slots == slot)
            kinds[rows[mine]] = self._seen(slot, keys[mine])
        return kinds

    def _seen(self, slot: int, keys: U64) -> npt.NDArray[np.uint8]:
        """NEEDED for those whose key is new in the slot; past the limit new ones are LEFT_OUT, each time."""
        known = self._known.get(slot, np.empty(0, np.uint64))
        kinds = np.full(len(keys), REPEATED, np.uint8)
        first = np.flatnonzero(pl.Series(keys).is_first_distinct().to_numpy())
        new = first[~_among(keys[first], known)]
        room = max(self._most - len(known), 0)
        if len(new) > room:
            kinds[np.isin(keys, keys[new[room:]])] = LEFT_OUT
            new = new[:room]
        kinds[new] = NEEDED
        if len(new):
            self._known[slot] = np.sort(np.concatenate([known, keys[new]]))
        return kinds

    def forget(self, watermark_us: int) -> None:
        """Drop the slots that nothing counts for any more."""
        over = [slot for slot in self._known if slot + self._size + self._grace <= watermark_us]
        for slot in over:
            del self._known[slot]

    def snapshot(self) -> pl.DataFrame:
        """KNOWN rows."""
        frames = [pl.DataFrame({"slot": np.full(len(keys), slot), "key": keys}) for slot, keys in self._known.items()]
        return pl.concat([pl.DataFrame(schema=KNOWN), *frames]).sort("slot", "key")

    def add(self, known: pl.DataFrame) -> None:
        """Know KNOWN rows, too."""
        for (slot,), rows in known.group_by("slot"):
            start: Any = slot
            self._known[start] = np.union1d(self._known.get(start, np.empty(0, np.uint64)), rows["key"].to_numpy())

    def clear(self) -> None:
        """Know nothing."""
        self._known = {}


def _among(keys: U64, known: U64) -> npt.NDArray[np.bool_]:
    """Which keys are in `known`, which is in order."""
    if not len(known):
        return np.zeros(len(keys), np.bool_)
    places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    found: npt.NDArray[np.bool_] = known[places] == keys
    return found


def _distinct(slots: Ints) -> list[int]:
    """Each once, in order; mostly there is one."""
    if not len(slots):
        return []
    least, most = int(slots.min()), int(slots.max())
    return [least] if least == most else np.unique(slots).tolist()
