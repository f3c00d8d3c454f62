"""Who is at home where: tallies of principals, cohorts, folders and secrets, by hashed key in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._memory import Keys, Table, joined, keys_of
from detectors._usual import Bools, Floats
from detectors._window import cohort, place, somebody

if TYPE_CHECKING:
    from pipeline.core.model import Frames, Window

DEPTHS: Final = (1, 2, 3)
_EVERYBODY, _COHORT, _READERS, _OWN, _STRANGE, _ACTIVE, _KIND, _KIND_ACTIVE, _FOLDER, _HOME = range(10)
_FLOOR: Final = 1e-3  # no pair is less likely than this, or one new colleague would weigh like a break-in
_UNKNOWN_FLOOR: Final = 1e-2  # nobody is at home at a secret that nobody has used yet
_BORROWED: Final = 50.0  # windows' worth of belief in the kind's habit of exploring
_BURSTY: Final = 3.0


@dataclass(frozen=True, slots=True)
class Pairs:
    """The (principal, secret) pairs of a window that succeeded; row i of every array is row i of `frame`."""

    frame: pl.DataFrame  # principal, secret, kind, cohort, in the order of names
    principal: Keys
    secret: Keys
    cohort: Keys
    kind: Keys
    folders: tuple[Keys, ...]  # one per depth
    new: Bools  # never succeeded before
    probation: Bools  # of the principal
    unknown: Bools  # the secret was never used by anybody; looked up for new pairs only

    @classmethod
    def of(cls, window: Window, probation_us: int) -> Pairs | None:
        """None when there is no pair."""
        used = somebody() & (pl.col("secret") != "") & (pl.col("outcome") == "success")
        kind = pl.col("principal_type").fill_null("").max().alias("kind")
        frame = window.operations.filter(used).group_by("principal", "secret").agg(kind)
        if frame.is_empty():
            return None
        frame = frame.with_columns(cohort().alias("cohort")).sort("principal", "secret")
        edge = window.profiles.lookup("edge", frame.select("principal", "secret"), window.start_us)
        before = edge["known"] & edge["succeeded"] if "succeeded" in edge.columns else edge["known"]
        owner = window.profiles.lookup("principal", frame.select("principal"), window.start_us)
        young = owner["first_us"].fill_null(window.start_us) > window.start_us - probation_us
        new = ~before.to_numpy()
        unknown = np.zeros(len(frame), dtype=np.bool_)
        if new.any():
            asked = frame.select("secret").filter(pl.Series(new))
            unknown[new] = ~window.profiles.lookup("secret", asked, window.start_us)["known"].to_numpy()
        return cls(
            frame,
            keys_of(frame["principal"]), keys_of(frame["secret"]), keys_of(frame["cohort"]), keys_of(frame["kind"]),
            tuple(keys_of(frame.select(place("secret", depth).alias("place"))["place"]) for depth in DEPTHS),
            new, young.to_numpy(), unknown,
        )  # fmt: skip

    def crowded(self, together: int) -> Bools:
        """New pairs in a folder to which at least `together` principals come new in this window."""
        out = np.zeros(len(self.new), dtype=np.bool_)
        if not self.new.any():
            return out
        rows = pl.DataFrame({"folder": self.folders[1], "principal": self.principal}).filter(pl.Series(self.new))
        out[self.new] = rows.select(pl.col("principal").n_unique().over("folder") >= together).to_series().to_numpy()
        return out


class Acquaintance:
    """Tallies that only grow; past `limit` those not touched for longest go."""

    def __init__(self, limit: int) -> None:
        self._tally = Table(1, limit)
        self._first_us: int | None = None

    def age_us(self, at_us: int) -> int:
        """How long this memory has watched."""
        return 0 if self._first_us is None else at_us - self._first_us

    def _get(self, tag: int, *keys: Keys) -> Floats:
        return np.asarray(self._tally.get(joined(tag, *keys), 0)[:, 0])

    def likelihood(self, pairs: Pairs) -> Floats:
        """How likely each new pair is, by folder and by peers; 1 for a pair that is not new."""
        out = np.ones(len(pairs.new))
        at = np.flatnonzero(pairs.new)
        if not len(at):
            return out
        principal, group = pairs.principal[at], pairs.cohort[at]
        everybody = np.maximum(self._get(_EVERYBODY, np.zeros_like(principal)), 1.0)
        owned = np.maximum(self._get(_OWN, principal), 1.0)
        # One reader is the secret's owner and says nothing about the others.
        readers = np.maximum(self._get(_READERS, group, pairs.secret[at]) - 1, 0.0)
        best = readers / np.maximum(self._get(_COHORT, group) - 1, 1.0)
        for depth, folders in zip(DEPTHS, pairs.folders, strict=True):
            tag = _FOLDER + 2 * depth
            crowd = self._get(tag, folders[at]) / everybody
            mine = self._get(tag + 1, principal, folders[at]) / owned
            best = np.maximum(best, mine * (1 - np.minimum(crowd, 1.0)))
        out[at] = np.clip(best, np.where(pairs.unknown[at], _UNKNOWN_FLOOR, _FLOOR), 1.0)
        return out

    def exploration(self, pairs: Pairs, at: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Mean and size of the number of strange pairs in a window, for the principals of rows `at`."""
        principal, kind = pairs.principal[at], pairs.kind[at]
        habit = (self._get(_KIND, kind) + 0.5) / (self._get(_KIND_ACTIVE, kind) + _BORROWED)
        shape = self._get(_STRANGE, principal) + habit * _BORROWED
        return shape / (self._get(_ACTIVE, principal) + _BORROWED), np.minimum(shape, _BURSTY)

    def learn(self, pairs: Pairs, strange: Bools, at_us: int) -> None:
        """Add a closed window."""
        self._first_us = at_us if self._first_us is None else self._first_us
        _, first = np.unique(pairs.principal, return_index=True)
        principal, kind, group = pairs.principal[first], pairs.kind[first], pairs.cohort[first]
        fresh = self._get(_ACTIVE, principal) == 0
        self._add(at_us, _ACTIVE, principal)
        self._add(at_us, _KIND_ACTIVE, kind)
        self._add(at_us, _EVERYBODY, np.zeros_like(principal[fresh]))
        self._add(at_us, _COHORT, group[fresh])
        self._learn_new(pairs, strange, at_us)

    def _learn_new(self, pairs: Pairs, strange: Bools, at_us: int) -> None:
        at = np.flatnonzero(pairs.new)
        if not len(at):
            return
        principal = pairs.principal[at]
        for depth, folders in zip(DEPTHS, pairs.folders, strict=True):
            tag = _FOLDER + 2 * depth
            here = joined(tag + 1, principal, folders[at])
            _, first = np.unique(here, return_index=True)
            newly = first[self._tally.get(here[first], 0)[:, 0] == 0]
            self._add(at_us, tag, folders[at][newly])
            self._tally.add(here, np.ones((len(here), 1)), at_us)
        self._add(at_us, _OWN, principal)
        self._add(at_us, _READERS, pairs.cohort[at], pairs.secret[at])
        odd = np.flatnonzero(strange & ~pairs.probation)
        self._add(at_us, _STRANGE, pairs.principal[odd])
        self._add(at_us, _KIND, pairs.kind[odd])

    def _add(self, at_us: int, tag: int, *keys: Keys) -> None:
        self._tally.add(joined(tag, *keys), np.ones((len(keys[0]), 1)), at_us)

    def snapshot(self) -> Frames:
        """The tallies, and since when."""
        first = pl.DataFrame({"first_us": [self._first_us]}, schema={"first_us": pl.Int64})
        return {"tally": self._tally.snapshot(), "age": first}

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._tally.restore(frames["tally"])
        self._first_us = frames["age"]["first_us"][0]
