"""What happened of late that gives later reads a meaning: changes, log-ins, lists, refusals, new places."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors._groups import networks
from detectors._memory import Keys, Table, joined, keys_of, unique
from detectors._people import People, somebody
from detectors._runs import begins
from detectors._since import Since
from pipeline.core.clock import DAY_US, HOUR_US
from pipeline.core.owned import owned
from pipeline.core.schema import TIME

if TYPE_CHECKING:
    from detectors._usual import Bools
    from pipeline.core.model import Frames, Ints, Window

# One row a fact: what it is, when, whose, from where, of which token or on which secret, and the operation that tells.
FACTS: Final = pl.Schema(
    {
        "what": pl.String(),  # policy, role, audit, login, list, denied, place, revoked
        "time": TIME,
        "principal": pl.String(),
        "client_ip": pl.String(),
        "zone": pl.String(),
        "session": pl.String(),
        "secret": pl.String(),
        "path": pl.String(),
        "uid": pl.String(),
        "store": pl.String(),
    }
)
SPANS_US: Final = {  # how long a fact may explain what follows
    "policy": HOUR_US, "audit": 2 * HOUR_US, "login": HOUR_US, "list": HOUR_US // 2, "denied": DAY_US, "place": HOUR_US,
    "revoked": DAY_US, "role": HOUR_US,
}  # fmt: skip
_CHANGES: Final = (
    r"^sys/(?:policy|policies/[a-z]+)/.|^auth/.+/(?:role|roles|groups|users|map|config)(?:/|$)|^sys/(?:auth|mounts)/."
    r"|^identity/(?:group|entity|group-alias|entity-alias)(?:/|$)"
)
_AUDIT: Final = r"^sys/audit/."
_SELF: Final = "auth/token/revoke-self"
_SETTLED: Final = 24.0  # windows in which a principal was seen, before a network can be new to it
_MOVERS: Final = 3  # others that came new to a network within a day: then the network is new, not they


class Facts:
    """Facts of the last day, at most `limit`, newest kept; who was seen in which network, 24 bytes a pair."""

    def __init__(self, limit: int, keys: int) -> None:
        self.limit = limit
        self.frame = pl.DataFrame(schema=FACTS)
        self.places = Table(1, keys)
        self._since = Since()

    def age_hours(self, at_us: int) -> float:
        """How long this memory has watched."""
        return self._since.age_us(at_us) / HOUR_US

    def settled(self, principals: Keys) -> Bools:
        """Whether each principal was seen in windows enough to have habits."""
        return self._often(joined(2, principals))

    def _often(self, mine: Keys) -> Bools:
        known: Bools = self.places.get(mine, 0)[:, 0] >= _SETTLED
        return known

    def with_those_of(self, window: Window) -> pl.DataFrame:
        """FACTS rows that still explain anything, this window's with them."""
        rows, facts = window.operations, self._live(window.start_us)
        few = rows.filter(_WORTH)
        new = self._new_places(window)
        parts: list[pl.DataFrame] = [facts, self._of(few), new]
        facts = pl.concat([part for part in parts if len(part)] or [facts])
        if facts.is_empty():
            return facts
        changed = facts.filter((pl.col("what") == "policy") & (pl.col("client_ip") != ""))["client_ip"]
        if changed.is_empty():
            return facts
        # A log-in says something only where rights were changed from the same address.
        there = ~_NO_LOGIN & pl.col("client_ip").is_in(changed.unique().implode())
        return pl.concat([facts, self._of(rows.filter(there))])

    def _live(self, at_us: int) -> pl.DataFrame:
        return self.frame if self.frame.is_empty() else self.frame.filter(at_us < _UNTIL_US)

    @staticmethod
    def _of(rows: pl.DataFrame) -> pl.DataFrame:
        if rows.is_empty():
            return _NONE
        found = rows.with_columns(what=_what()).filter(_TELLS)
        if found.is_empty():
            return _NONE
        # A refusal is a fact from the first on, a log-in or a change from the last on as well.
        late = found.filter(_GOES_ON)
        return pl.concat([found, late.with_columns(time=pl.col("last_time"))]).select(FACTS.names())

    def _new_places(self, window: Window) -> pl.DataFrame:
        """The first operation of a settled principal in a network that is new to it, and not to others of late."""
        rows, seen = window.operations, _Seen.of(window)
        new = np.flatnonzero(~self.places.knows(seen.where))
        new = new[self._often(seen.often)[seen.whose[new]]]
        node = self.places.knows(seen.cluster[new]) & self.places.knows(seen.nodes[new])
        new = new[~(seen.pods[new] & node)]  # a pod runs where the scheduler puts it, among other pods
        if not len(new):
            return _NONE
        used = rows.filter(pl.col("outcome") == "success").join(seen.pairs[new], on=["principal", "zone"], how="semi")
        known = used.sort("time", "uid").unique(["principal", "zone"], keep="first", maintain_order=True)
        lately = self.frame.filter(pl.col("what") == "place").select("principal", "zone")
        movers = pl.concat([lately, known.select("principal", "zone")]).group_by("zone").agg(
            pl.col("principal").n_unique().alias("movers")
        )  # fmt: skip
        alone = known.join(movers, on="zone", how="left", maintain_order="left").filter(pl.col("movers") <= _MOVERS)
        return alone.with_columns(what=pl.lit("place")).select(FACTS.names())

    def learn(self, window: Window, facts: pl.DataFrame) -> None:
        """Add a closed window, with the facts it left."""
        self._since.begin(window.start_us)
        self.frame = owned(facts.sort("time", "uid", "what").tail(self.limit)) if len(facts) else facts
        seen = _Seen.of(window)
        if len(seen.where):
            self.places.put(seen.where, np.ones((len(seen.where), 1)), window.start_us)
            pods = unique(np.concatenate([seen.cluster[seen.pods], seen.nodes[seen.pods]]))
            self.places.put(pods, np.ones((len(pods), 1)), window.start_us)
            self.places.bump(seen.often, window.start_us)

    def snapshot(self) -> Frames:
        """Frames facts, places and age."""
        return {"facts": self.frame, "places": self.places.snapshot(), "age": self._since.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self.frame = frames["facts"]
        self.places.restore(frames["places"])
        self._since.restore(frames["age"])


_NONE: Final = pl.DataFrame(schema=FACTS)


@dataclass(frozen=True, slots=True)
class _Seen:
    """Who succeeded where: each pair of principal and zone once, in order."""

    pairs: pl.DataFrame  # principal, zone
    whose: Ints  # of each pair the place of its principal in `often`
    where: Keys  # of each pair
    cluster: Keys  # of each pair: its principal and the network around the zone
    nodes: Keys  # of each pair: the zone, where pods are
    pods: Bools  # pairs of pods
    often: Keys  # of each principal: under which is counted in how many windows it was seen

    @classmethod
    def of(cls, window: Window) -> _Seen:
        """Worked out once a window."""
        if "seen_where" not in window.memo:
            people = People.of(window)
            used = people.rows.filter((pl.col("zone") != "") & (pl.col("outcome") == "success"))
            pairs, zones, at = people.pairs(used, "zone")
            who, first = pairs.keys, begins(pairs.keys)
            whose = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(who))))
            where, cluster = (joined(tag, who, keys_of(names)[at]) for tag, names in ((1, zones), (3, networks(zones))))
            pods, nodes = (pairs.frame["kind"] == "pod").to_numpy(), joined(4, keys_of(zones))[at]
            window.memo["seen_where"] = cls(
                pairs.frame.select("principal", "zone"), whose, where, cluster, nodes, pods, joined(2, who[first])
            )
        found: _Seen = window.memo["seen_where"]
        return found


_UNTIL_US: Final = pl.col("time").dt.timestamp("us") + pl.col("what").replace_strict(SPANS_US, return_dtype=pl.Int64)
_NO_LOGIN: Final = pl.col("operation") != "auth"
_KINDS: Final = ("policy", "audit_control", "list", "revoke")
_WORTH: Final = (pl.col("operation").is_in(_KINDS) | (pl.col("outcome") == "denied")) & _NO_LOGIN
_TELLS: Final = pl.col("what").is_not_null() & (somebody() | (pl.col("what") == "revoked"))
_GOES_ON: Final = (pl.col("last_time") > pl.col("time")) & pl.col("what").is_in(["policy", "role", "audit", "login"])


@cache
def _what() -> pl.Expr:
    """Which fact an operation is; null for none."""
    worked, path = pl.col("outcome") == "success", pl.col("act").fill_null("")
    secret = pl.col("secret") != ""
    return (
        pl.when((pl.col("operation") == "policy") & worked & path.str.contains(_CHANGES)).then(pl.lit("policy"))
        .when((pl.col("operation") == "policy") & worked & secret).then(pl.lit("role"))
        .when((pl.col("operation") == "audit_control") & worked & path.str.contains(_AUDIT)).then(pl.lit("audit"))
        .when((pl.col("operation") == "auth") & worked & (pl.col("mount") != "auth/token/")).then(pl.lit("login"))
        .when((pl.col("operation") == "list") & worked & secret).then(pl.lit("list"))
        .when((pl.col("operation") == "read") & (pl.col("outcome") == "denied") & secret).then(pl.lit("denied"))
        .when((pl.col("operation") == "revoke") & worked & (pl.col("path") == _SELF)).then(pl.lit("revoked"))
    )  # fmt: skip
