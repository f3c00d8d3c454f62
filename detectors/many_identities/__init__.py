"""One address, used by more principals than any of its sort. See README.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import numpy as np
import polars as pl

from detectors import _tails
from detectors._memory import Keys, joined, keys_of_texts, unique
from detectors._people import People, methods_of, number_of
from detectors._runs import packed, unpacked
from detectors._since import Since
from detectors._text import figure, several, show
from detectors._window import Found, seen_in, tell, values_in
from detectors.many_identities.crowds import Crowds
from pipeline.core.clock import HOUR_US
from pipeline.core.model import DetectorInfo
from pipeline.core.schema import FINDING, empty

if TYPE_CHECKING:
    from detectors._usual import Floats
    from pipeline.core.model import Frames, Ints, Window

INFO: Final = DetectorInfo(
    name="many_identities",
    version="1",
    title="One address, many identities",
    family="source",
    summary="addresses used by more principals of one auth mount in a window than any such address ever was",
    techniques=("T1078", "T1528"),
    measures=("F3",),
)
_MANY: Final = 8  # principals, from which on it is high
_GRANTED: Final = (pl.col("client_ip") != "") & (pl.col("zone") != "") & (pl.col("outcome") == "success")
_NEXT: Final = (
    "Find out what has that address. Unless it is a proxy or a build machine of your own: take the credentials of all"
    " these principals for stolen, revoke their tokens, and see what was read from there (view operations)."
)


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`surprise` is the least -log10 of a probability that is told, from `least` principals on.

    A sort of address is known from `windows` of them on, and nothing is told in the first `settle_hours`. Where
    `together` addresses or more come to it in one window the network was changed. `keys` bounds the memory.
    """

    surprise: float = 5.0
    least: Annotated[int, msgspec.Meta(ge=2)] = 4
    windows: float = 500.0
    settle_hours: float = 72.0
    together: Annotated[int, msgspec.Meta(ge=2)] = 3
    keys: int = 200_000


@dataclass(frozen=True, slots=True)
class _Used:
    """Addresses of a window by auth mount: row i of every array is one of each, in the order of their names."""

    addresses: pl.Series
    who: Ints  # numbers of People, those of one after those of the one before
    first: Ints  # where they begin
    n: Floats
    key: Keys
    sort: Keys


class ManyIdentities:
    """Remembers per address the most principals it had in a window, and per auth mount how many addresses have how
    many.
    """

    info = INFO

    def __init__(self, config: Config) -> None:
        self._config = config
        self._crowds = Crowds(config.keys)
        self._since = Since()

    def inspect(self, window: Window) -> pl.DataFrame:
        """FINDING rows of WINDOW rows."""
        settled = self._since.age_us(window.start_us) >= self._config.settle_hours * HOUR_US
        used = _used(window)
        if used is None:
            return empty(FINDING)
        surprise = self._judge(used, window.start_us) if settled else np.zeros(len(used.n))
        odd = np.flatnonzero(surprise >= self._config.surprise).tolist()
        if used.addresses.gather(odd).n_unique() >= self._config.together:
            odd = []
        found = [self._found(used, i, float(surprise[i]), window) for i in odd]
        if window.closed:
            self._since.begin(window.start_us)
            self._crowds.learn(used.key, used.sort, used.n, window.start_us)
        return tell(self.info, window, found)

    def _judge(self, used: _Used, at_us: int) -> Floats:
        surprise = np.zeros(len(used.n))
        some = np.flatnonzero(used.n >= self._config.least)
        if len(some):
            surprise[some] = self._crowds.surprise(
                used.key[some], used.sort[some], used.n[some], at_us, self._config.windows
            )
        return surprise

    def _found(self, used: _Used, i: int, surprise: float, window: Window) -> Found:
        address, n = str(used.addresses[i]), int(used.n[i])
        names = People.of(window).names.gather(used.who[used.first[i] :][:n]).sort().to_list()
        theirs = (pl.col("client_ip") == address) & pl.col("principal").is_in(names)
        rows = window.operations.filter(_GRANTED & theirs)
        own, most = self._crowds.most(used.key[i : i + 1], used.sort[i : i + 1], window.start_us)
        return Found(
            key=f"{address}:{names[0].partition('/')[0]}",
            severity="high" if n >= _MANY else "medium",
            confidence=0.75,
            score=_tails.score(surprise),
            message=f"{show(address)} was used by {n} principals within an hour, and read {values_in(rows)} values:"
            f" {several(names)}.",
            observed=f"{n} principals at one address",
            expected=f"at most {figure(round(most[0]))} at any address of those who log in as they do, and"
            f" {figure(round(own[0]))} at this one",
            next_step=_NEXT,
            **seen_in(rows),
        )

    def snapshot(self) -> Frames:
        """Frames addresses, sorts, since."""
        return {**self._crowds.snapshot(), "since": self._since.snapshot()}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._crowds.restore(frames)
        self._since.restore(frames["since"])


def _used(window: Window) -> _Used | None:
    people = People.of(window)
    rows = people.rows.filter(_GRANTED)
    if rows.is_empty():
        return None
    coded, methods = people.coded["client_ip"], methods_of(window)
    who, number = rows["who"].to_numpy(), coded.ranks[rows[number_of("client_ip")].to_numpy()]
    pairs = unique(packed(number, who))
    number, who = (part.astype(np.int64) for part in unpacked(pairs))
    order = np.lexsort((who, methods[who], number))
    number, who, method = number[order], who[order], methods[who][order]
    first = np.flatnonzero(np.append(True, (number[1:] != number[:-1]) | (method[1:] != method[:-1])))
    n = np.diff(first, append=len(who)).astype(np.float64)
    place = coded.order[number[first]]
    key = joined(0, keys_of_texts(coded.texts)[place], method[first])
    return _Used(coded.names.gather(place), who, first, n, key, method[first])


def create(config: Config) -> ManyIdentities:
    """The detector, with nothing remembered."""
    return ManyIdentities(config)
