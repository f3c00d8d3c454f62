"""Wrapped secrets: opened in a network where none is ever opened, and those that somebody else comes too late for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from detectors import _tails
from detectors._groups import networks
from detectors._memory import Keys, Table, joined, keys_of_few
from detectors._operation import said_of
from detectors._text import figure, show
from detectors._window import Found
from detectors.token_lifecycle.issued import ROWS
from pipeline.core.clock import DAY_US, HOUR_US
from pipeline.core.owned import added
from pipeline.core.schema import TIME, conform

if TYPE_CHECKING:
    from detectors._usual import Bools, Floats
    from pipeline.core.model import Frames

_WRAPS: Final = 20_000  # wraps remembered until they are opened
_LATE_US: Final = 600_000_000  # a receiver who comes too late comes within ten minutes
_SAME_US: Final = DAY_US  # or later, where the token is known to be the same
_LOOK_US: Final = 300_000_000
_LOOKED: Final = 1.5  # surprise added when it was looked at from there first
_MORE: Final = 0.5  # for each doubling of the openings from one address in that hour
_WIDER: Final = 1
_TOTALS: Final = np.arange(2, dtype=np.uint64)  # of networks, and of wider ones
_SETTLED: Final = 20.0  # openings before a new network means anything
_STRANGE = pl.Schema({"complete_time": TIME, "client_ip": pl.String(), "uid": pl.String(), "maker": pl.String()})
_OPEN: Final = pl.Schema({**ROWS, "maker": pl.String(), "told": pl.Boolean()})
_GONE: Final = pl.Schema({**_STRANGE, "wrapped": pl.String()})
_LOOKS: Final = pl.Schema({"complete_time": TIME, "client_ip": pl.String()})


class Wrapping:
    """In which networks wraps are opened (24 bytes each), and how often an opening comes from a new one, or from a new
    wider one: a cluster or a site."""

    def __init__(self, surprise: float, limit: int) -> None:
        self._surprise = surprise
        self._zones = Table(1, limit)
        self._totals = Table(2, 16)  # openings, of them in a new network; sites: the same of wider networks
        self._wraps = pl.DataFrame(schema={"login_session": pl.String, "maker": pl.String, "complete_time": TIME})
        self._strange = pl.DataFrame(schema=_STRANGE)
        self._gone = pl.DataFrame(schema=_GONE)  # what was opened, by its token
        self._looks = pl.DataFrame(schema=_LOOKS)
        self._hour = 0
        self._open = pl.DataFrame(schema=_OPEN)

    def inspect(self, rows: pl.DataFrame, hour: int) -> list[Found]:
        """Judge ROWS of one hour by what was known before it."""
        if hour > self._hour:
            self._learn()
            self._hour = hour
        rows = rows.filter(pl.col("kind").is_in(["wrap", "lookup", "unwrap"]))
        if rows.is_empty():
            return []
        self._note(rows)
        found: list[Found] = []
        opened = rows.filter((pl.col("kind") == "unwrap") & (pl.col("outcome") == "success"))
        if len(opened):
            made = self._wraps.select("login_session", "maker").unique("login_session", keep="last")
            opened = opened.drop("maker", strict=False).join(
                made, left_on="session", right_on="login_session", how="left", maintain_order="left"
            )
            more, told = self._opened(opened)
            found += more
            opened = opened.with_columns(told=pl.Series(told))
            gone = opened.filter(pl.col("wrapped").is_not_null()).select(_GONE.names())
            self._gone = added(self._gone, gone).tail(_WRAPS)
            self._open = added(self._open, opened.select(self._open.columns))
        refused = rows.filter((pl.col("kind") == "unwrap") & (pl.col("outcome") != "success"))
        return found + self._too_late(refused)

    def _note(self, rows: pl.DataFrame) -> None:
        """Wraps of the last day and looks of the last minutes; the oldest go."""
        wraps = rows.filter((pl.col("kind") == "wrap") & pl.col("login_session").is_not_null())
        made = wraps.select("login_session", pl.col("principal").alias("maker"), "complete_time")
        since = pl.lit(self._hour * HOUR_US - DAY_US).cast(TIME)
        kept = self._wraps.filter(pl.col("complete_time") > since)
        self._wraps = added(kept, made).tail(_WRAPS)
        looks = rows.filter(pl.col("kind") == "lookup").select(_LOOKS.names())
        self._looks = added(self._looks, looks).tail(_WRAPS)

    def _opened(self, opened: pl.DataFrame) -> tuple[list[Found], Bools]:
        """What is told of those opened in a network that is new to this, and of which of them."""
        at_us = self._hour * HOUR_US
        (count, new), (since, sites) = self._totals.get(_TOTALS, at_us)
        strange, abroad = (~self._zones.knows(keys) for keys in _places(opened))
        if not strange.any():
            return [], np.zeros(len(opened), dtype=np.bool_)
        rare = np.maximum(_rare(new, count), np.where(abroad, _rare(sites, since), 0.0))
        looked = np.array([self._was_looked_at(row) for row in opened.iter_rows(named=True)])
        nth = self._so_far(opened["client_ip"])
        surprise: Floats = np.where(strange, rare + _LOOKED * looked + _MORE * np.log2(nth), 0.0)
        odd = opened.filter(pl.Series(strange)).select("complete_time", "client_ip", "uid", "maker")
        if count >= _SETTLED:
            self._strange = added(self._strange, odd).tail(_WRAPS)
        loud = self._first(opened, (surprise >= self._surprise) & (count >= _SETTLED))
        rows = opened.with_columns(looked=pl.Series(looked), surprise=pl.Series(surprise), nth=pl.Series(nth))
        return [self._found(row, int(count)) for row in rows.filter(pl.Series(loud)).iter_rows(named=True)], loud

    def _first(self, opened: pl.DataFrame, loud: Bools) -> Bools:
        """Of the loud ones the first of each address and maker in this hour: the others are the same leak."""
        by = ("client_ip", "maker")
        told = set(self._open.filter("told").select(by).iter_rows())
        first = np.zeros(len(loud), dtype=np.bool_)
        for i in np.flatnonzero(loud).tolist():
            whose = opened.row(i, named=True)
            first[i] = (whose["client_ip"], whose["maker"]) not in told
            told.add((whose["client_ip"], whose["maker"]))
        return first

    def _so_far(self, addresses: pl.Series) -> Floats:
        """How many openings each of these addresses has in this hour, each one counted with those before it."""
        every = pl.concat([self._open["client_ip"], addresses]).to_frame("address")
        counts = every.select(pl.int_range(1, pl.len() + 1).over("address")).to_series().tail(len(addresses))
        return np.asarray(counts.to_numpy().astype(np.float64))

    def _was_looked_at(self, row: dict[str, Any]) -> bool:
        at = row["complete_time"]
        lately = (pl.col("complete_time") <= at) & (pl.col("complete_time").dt.timestamp("us") > _us(at) - _LOOK_US)
        return bool(len(self._looks.filter(lately & (pl.col("client_ip") == row["client_ip"]))))

    def _found(self, row: dict[str, Any], count: int) -> Found:
        maker = f" made by {show(row['maker'])}" if row["maker"] else ""
        first = ", after a look at its wrapping token from there" if row["looked"] else ""
        more = f" It is number {row['nth']:.0f} from there in this hour." if row["nth"] > 3 else ""
        return Found(
            key=row["uid"],
            cause="unwrapped_elsewhere",
            title="Wrapped secret opened in a strange network",
            severity="medium",
            confidence=0.6,
            score=_tails.score(row["surprise"]),
            message=f"A wrapped secret{maker} was opened from {show(row['client_ip'])}, in a network where none was"
            f" opened before{first}.{more}",
            observed=f"opened in {show(row['zone'])}",
            expected=f"networks that {count} earlier wraps were opened in",
            next_step="Ask the intended receiver whether they have the secret. If not: revoke and re-issue what was"
            " wrapped; whoever had the wrapping token on its way has it now.",
            principal=row["maker"] or row["principal"],
            **said_of(row),
        )

    def _too_late(self, refused: pl.DataFrame) -> list[Found]:
        """Somebody comes to open what was opened elsewhere before."""
        both = ((row, self._taken(row)) for row in refused.iter_rows(named=True))
        return [self._intercepted(row, first) for row, first in both if first is not None]

    def _taken(self, row: dict[str, Any]) -> dict[str, Any] | None:
        """The opening that took it away: of the same token, else one in a strange network minutes before."""
        at, elsewhere = row["complete_time"], pl.col("client_ip") != row["client_ip"]
        since = pl.col("complete_time").dt.timestamp("us") > _us(at) - pl.lit(_SAME_US)
        same = self._gone.filter(
            (pl.col("wrapped") == pl.lit(row["wrapped"], pl.String)) & (pl.col("complete_time") < at) & since
        )
        if len(same):
            first = same.row(-1, named=True)
            return first if first["client_ip"] != row["client_ip"] else None
        minutes = (pl.col("complete_time") < at) & (pl.col("complete_time").dt.timestamp("us") > _us(at) - _LATE_US)
        before = self._strange.filter(minutes & elsewhere)
        return before.row(-1, named=True) if len(before) else None

    def _intercepted(self, row: dict[str, Any], first: dict[str, Any]) -> Found:
        maker = f" of {show(first['maker'])}" if first["maker"] else ""
        same = bool(first.get("wrapped"))
        again, strange = ("it", "") if same else ("one", ", where none was opened before")
        return Found(
            key=row["uid"],
            cause="wrap_intercepted",
            title="Wrapped secret opened by somebody else",
            severity="high",
            confidence=0.9 if same else 0.75,
            score=0.85 if same else 0.75,
            message=f"A wrapped secret{maker} was opened from {show(first['client_ip'])}{strange}; {_later(first, row)}"
            f" later {show(row['client_ip'])} came to open {again} and was refused.",
            observed="an opening, then a refused one "
            + ("of the same token from another address" if same else "elsewhere within ten minutes"),
            expected="each wrapping token is opened once, by its receiver",
            next_step="Revoke what was wrapped and issue it anew. Find out who could read the wrapping token on its way"
            " (build logs, chat, tickets) and who sits at the first address.",
            principal=first["maker"],
            **said_of(row, [first["uid"], row["uid"]]),
        )

    def _learn(self) -> None:
        """Add the openings of the hour that is over."""
        at_us = self._hour * HOUR_US
        if len(self._open):
            places = [np.unique(keys) for keys in _places(self._open)]
            fresh = [float((~self._zones.knows(keys)).sum()) for keys in places]
            every = np.concatenate(places)
            self._zones.put(every, np.ones((len(every), 1)), at_us)
            self._totals.add(_TOTALS, np.array([[float(len(self._open)), new] for new in fresh]), at_us)
            self._open = self._open.clear()
        since = pl.lit(at_us - HOUR_US).cast(TIME)
        self._strange = self._strange.filter(pl.col("complete_time") > since)
        self._looks = self._looks.filter(pl.col("complete_time") > since)
        self._gone = self._gone.filter(pl.col("complete_time") > pl.lit(at_us - _SAME_US).cast(TIME))

    def snapshot(self) -> Frames:
        """Networks and totals; wraps and openings of a day, strange ones, looks, and the current hour's openings."""
        return {
            "wrap.zones": self._zones.snapshot(),
            "wrap.totals": self._totals.snapshot(),
            "wrap.made": self._wraps,
            "wrap.strange": self._strange,
            "wrap.looks": self._looks,
            "wrap.gone": self._gone,
            "wrap.open": self._open,
            "wrap.hour": pl.DataFrame({"hour": [self._hour]}),
        }

    def restore(self, frames: Frames) -> None:
        """Continue from a snapshot."""
        self._zones.restore(frames["wrap.zones"])
        self._totals.restore(frames["wrap.totals"])
        self._wraps, self._strange, self._looks = (frames[f"wrap.{name}"] for name in ("made", "strange", "looks"))
        self._gone = frames.get("wrap.gone", pl.DataFrame(schema=_GONE))  # unknown to an earlier version
        self._open = conform(frames["wrap.open"], _OPEN).with_columns(pl.col("told").fill_null(value=False))
        self._hour = frames["wrap.hour"]["hour"][0]


def _places(opened: pl.DataFrame) -> tuple[Keys, Keys]:
    """The network of each opening, and the wider one around it."""
    return keys_of_few(opened["zone"]), joined(_WIDER, keys_of_few(networks(opened["zone"])))


def _rare(new: float, count: float) -> float:
    return -math.log10((new + 0.5) / (count + 1.0))


def _later(first: dict[str, Any], row: dict[str, Any]) -> str:
    minutes = (row["complete_time"] - first["complete_time"]).total_seconds() / 60
    return f"{figure(round(minutes))} minutes" if minutes >= 1 else "less than a minute"


def _us(at: Any) -> int:
    return int(pl.Series([at], dtype=TIME).to_physical()[0])
