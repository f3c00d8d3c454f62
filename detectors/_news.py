"""Which secrets the people of a window used for the first time, worked out once for all detectors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors._groups import places
from detectors._memory import Keys, joined, keys_of, keys_of_few, unique
from detectors._people import Each, People, number_of
from detectors._runs import packed, unpacked
from detectors._turns import behind
from detectors._usual import Bools
from detectors._window import known_since

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from pipeline.core.coded import Numbers
    from pipeline.core.model import Ints, Window
    from pipeline.core.ports import Profiles

DEPTHS: Final = (1, 2, 3)  # of folders
_CHANGES: Final = ("write", "delete", "rotate")
_ROLE: Final = r"^[^/]+/([^/]+)$"  # of an engine, as a rule
_FOR: Final = r"[-_](?:r|w|rw|ro|read|write|readonly|readwrite|app|user|role|svc|service|static|dynamic|db)$"
_NAME: Final = r"([^/@]{3,})(?:@[^/]*)?$"
_SPACE: Final = r"^[^/]+/([^/]{3,})/[^/]+$"


@dataclass(frozen=True, slots=True)
class Actors:
    """The principals of a window who used a secret; row i of every array is row i of `frame`."""

    frame: pl.DataFrame  # principal, kind, cohort, in the order of names
    who: Numbers  # of People
    principal: Keys
    kind: Keys
    cohort: Keys
    probation: Bools

    @classmethod
    def of(cls, each: Each) -> Actors:
        """Nobody in probation."""
        return cls(each.frame, each.who, each.keys, each.kinds, each.cohorts, np.zeros(len(each.frame), dtype=np.bool_))


@dataclass(frozen=True, slots=True)
class News:
    """Pairs that never succeeded before; row i of every array is row i of `frame`, `who` a row of Actors."""

    frame: pl.DataFrame  # principal, secret, in the order of names
    who: npt.NDArray[np.int64]
    secret: Keys
    folders: tuple[Keys, ...]  # one per depth, and the deepest by its bare name
    bare: Bools  # the secret lies in no folder but the mount
    unknown: Bools  # the secret was never used by anybody
    made: Bools  # nor is it now, but for being written
    changed: Bools  # it was written, removed or rotated
    own: Bools  # nobody used it and it is named after the principal, who keeps it since its last start; or see `_node`
    among: Bools  # of a store where most have nothing to do with this mount: its users are the estate
    mounts: pl.Series  # distinct names, in order
    profiles: Profiles
    start_us: int

    @classmethod
    def of(cls, rows: pl.DataFrame, actors: Actors, window: Window) -> News:
        """The new ones among the pairs of rows of People, all of them of `actors`."""
        people, at_us = People.of(window), window.start_us
        pairs = _pairs(rows)
        who, secret = (part.astype(np.int64) for part in unpacked(pairs))
        ids = {scope: window.profiles.numbers(scope, window) for scope in ("principal", "secret")}
        asked = pl.DataFrame({"principal": ids["principal"][people.places[who]], "secret": ids["secret"][secret]})
        edge = window.profiles.lookup("edge", asked, at_us, ("known", "succeeded"))
        new = np.flatnonzero(~(edge["known"] & edge["succeeded"]).to_numpy())
        new = new[np.lexsort((people.coded["secret"].ranks[secret[new]], who[new]))]
        known = window.profiles.lookup("secret", asked[new].select("secret"), at_us, ("known",))["known"]
        who, secret = who[new], secret[new]
        frame = pl.DataFrame([people.names.gather(who), people.coded["secret"].names.gather(secret)])
        place_of = np.searchsorted(actors.who, who)
        unknown = ~known.to_numpy()
        folders = [places(frame["secret"], depth) for depth in DEPTHS]
        keys = [keys_of_few(column) for column in folders]
        return cls(
            frame,
            place_of,
            keys_of(frame["secret"]),
            (*keys, keys_of_few(_named(folders[-1]))),
            keys[0] == keys[-1],
            unknown,
            unknown & ~_used(frame, unknown, rows),
            np.isin(pairs[new], _pairs(rows.filter(pl.col("operation").is_in(_CHANGES)))),
            _named_after(frame, unknown) | frame.select(_node()).to_series().to_numpy(),
            _among(rows, secret),
            folders[0].unique().sort(),
            window.profiles,
            window.start_us,
        )

    def elsewhere(self, asked: Bools, mounts: Sequence[str]) -> Bools:
        """Which of the pairs `asked` are of a principal that used a secret of that name in another of the mounts."""
        rows = self.frame.with_columns(row=pl.int_range(pl.len()), name=pl.col("secret").str.replace(r"^[^/]*/", ""))
        twins = rows.filter(pl.Series(asked)).join(pl.DataFrame({"mount": mounts}), how="cross")
        pairs = twins.select("row", "principal", secret=pl.concat_str("mount", "name"))
        edge = self.profiles.lookup("edge", pairs.drop("row"), self.start_us, ("known", "succeeded"))
        found = np.zeros(len(asked), dtype=np.bool_)
        found[pairs.filter(edge["known"] & edge["succeeded"])["row"].to_numpy()] = True
        return found

    def crowded(self, together: int) -> Bools:
        """Pairs in a deepest folder to which at least `together` principals come new in this window.

        Of secrets of a cloud or cluster in no folder, to the secret: everybody would be company to everybody.
        """
        flat = self.bare & self.among
        return self._coming(np.where(flat, self.secret, self.folders[len(DEPTHS) - 1])) >= together

    def followers(self, asked: Bools, window: Window) -> Bools:
        """Those of the pairs `asked` that are behind another one, in this window, in folders of one name: the
        environment does not matter."""
        place, some = self.folders[len(DEPTHS)], np.flatnonzero(asked & ~self.bare)
        found = np.zeros(len(asked), dtype=np.bool_)
        if len(some) > 1:
            found[some] = behind(self.frame[some], pl.Series(place[some]), window)
        return found

    def _coming(self, places: Keys) -> Ints:
        """How many principals have a pair in the place of each pair."""
        _, first = np.unique(joined(0, places, self.who.astype(np.uint64)), return_index=True)
        distinct, count = np.unique(places[first], return_counts=True)
        return np.asarray(count[np.searchsorted(distinct, places)])


def _used(pairs: pl.DataFrame, asked: Bools, rows: pl.DataFrame) -> Bools:
    """Whether each of the pairs `asked` did more in these WINDOW rows than write."""
    if not asked.any():
        return asked
    some = pl.col("secret").is_in(pairs["secret"].filter(pl.Series(asked)).unique().implode())
    used = rows.filter(some & (pl.col("operation") != "write")).select("principal", "secret", used=True).unique()
    return (
        pairs.join(used, on=["principal", "secret"], how="left", maintain_order="left")["used"].is_not_null().to_numpy()
    )


def _named_after(pairs: pl.DataFrame, asked: Bools) -> Bools:
    """Whether the secret of each of the pairs `asked` lies in a folder of its principal's name, or is an engine's role
    of that name, maybe with what it is good for (`db/shop-rw`), or of its team's: a pod's namespace, or what stands
    before a dash in its name."""
    found, some = np.zeros(len(pairs), dtype=np.bool_), np.flatnonzero(asked)
    name, space = (pl.col("principal").str.extract(form, 1) for form in (_NAME, _SPACE))
    folder = pl.col("secret").str.contains(pl.format("/{}/", name), literal=True)
    role = pl.col("secret").str.extract(_ROLE, 1)
    plain = role.str.replace(_FOR, "")
    team = (plain.str.len_chars() >= 3) & ((plain == space) | name.str.starts_with(plain + "-"))
    given = (folder, role == name, plain == name, team)
    named = pl.any_horizontal(each.fill_null(value=False) for each in given)  # short: no name
    found[some] = pairs[some].select(named).to_series().to_numpy()
    return found


def _node() -> pl.Expr:
    """A node of a Kubernetes cluster: it gets what the pods need that were put on it, and is refused all else."""
    return pl.col("principal").str.starts_with("system:node:")


def _among(rows: pl.DataFrame, secret: Ints) -> Bools:
    """Which of the secrets, by number, are of a cloud or cluster: beside another store, each has people of its own."""
    own = (rows["store"] == "vault").fill_null(value=True)
    if own.all():
        return np.zeros(len(secret), dtype=np.bool_)
    return np.isin(secret, rows[number_of("secret")].filter(~own).to_numpy())


def _pairs(rows: pl.DataFrame) -> Keys:
    """Number of the principal and of the secret, packed, of each different pair in rows of People."""
    return unique(packed(rows["who"].to_numpy(), rows[number_of("secret")].to_numpy()))


def _named(folders: pl.Series) -> pl.Series:
    """The last name of each folder; empty for a mount, which is one environment's or one engine's and no team's."""
    return folders.str.extract(r"/([^/]+)/$", 1).fill_null("")


def seen(window: Window, since_us: int, young: Callable[[Keys, int], Bools]) -> tuple[Actors, News] | None:
    """Who used a secret with success, and which of these pairs are new; None when nobody did.

    Worked out once a window, but for who is in probation: that is each detector's own memory. Who has been there since
    `since_us` without using a secret (a token that is only ever renewed) is no newcomer when it does.
    """
    if "news" not in window.memo:
        window.memo["news"] = _seen(window)
    both: tuple[Actors, News] | None = window.memo["news"]
    if both is None:
        return None
    actors, news = both
    probation = young(actors.principal, since_us)
    some = np.flatnonzero(probation)
    if len(some):
        probation[some] = ~known_since(window, actors.frame[some].select("principal"), since_us)
    return replace(actors, probation=probation), news


def _seen(window: Window) -> tuple[Actors, News] | None:
    used = (pl.col("secret") != "") & (pl.col("outcome") == "success")
    people = People.of(window)
    if (rows := people.rows.filter(used)).is_empty():
        return None
    actors = Actors.of(people.each(rows))
    return actors, News.of(rows, actors, window)
